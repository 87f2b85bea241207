"""Talk to one board from a command: over its port, or through the bridge that has it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from elastik.coap import messages
from elastik.coap.blocks import DEFAULT_MTU, Limits
from elastik.coap.messages import CON, EMPTY, RST, URI_PATH, Message
from elastik.coap.talker import LINE_TOKEN_BYTES, Outcome, Talker
from elastik_cli.coapio.refusals import refusal
from elastik_cli.exits import Exit, Failure
from elastik_cli.serialio import ports, slipmux, whereabouts
from elastik_cli.serialio.diagnostics import Lines
from elastik_cli.serialio.line import Line, LineError, LineSettings
from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.observing import Observer
from elastik_cli.serialio.whereabouts import Bridged

DOOR_MTU = 1152
KINDS = {
    "absent": Exit.UNREACHABLE,
    "unplugged": Exit.UNREACHABLE,
    "busy": Exit.DENIED,
    "denied": Exit.DENIED,
    "failed": Exit.FAILED,
}
FAILURES = {
    "timeout": (Exit.TIMED_OUT, "the board does not answer"),
    "reset": (Exit.FAILED, "the board rejected the message"),
    "down": (Exit.UNREACHABLE, "the board was unplugged"),
    "busy": (Exit.UNREACHABLE, "too many requests wait for this board"),
}


@dataclass(frozen=True)
class TalkSettings:
    """How to talk: the port's settings, the board's largest message, how long it may take."""

    line: LineSettings = field(default_factory=LineSettings)
    mtu: int = DEFAULT_MTU
    response_timeout: float = 30.0


def failure_of(error: LineError) -> Failure:
    """What a port's trouble means for a command."""
    hint = ""
    if error.kind == "denied":
        hint = "add yourself to the group that may: sudo usermod -aG dialout $USER, then log in"
    if error.kind == "absent":
        hint = "elastik serial ls"
    return Failure(str(error), KINDS[error.kind], hint)


def must_find(spec: str) -> ports.Device:
    """The port that `spec` means; a Failure with exit code 7 when there is none."""
    try:
        device = ports.find(spec)
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from None
    if device is None:
        raise failure_of(LineError("absent", f"{spec}: no such device or board"))
    return device


def bridged(spec: str) -> Bridged | None:
    """The running bridge's board that `spec` names, by its name or by its port."""
    known = list(whereabouts.bridged())
    by_name = next((b for b in known if b.id == spec), None)
    if by_name is not None or not known:
        return by_name
    with contextlib.suppress(ValueError):
        device = ports.find(spec)
        if device is not None:
            real = os.path.realpath(device.device)
            return next((b for b in known if os.path.realpath(b.device) == real), None)
    return None


def converse(spec: str, settings: TalkSettings, show: Callable[[str], None]) -> Conversation:
    """Open a conversation with the board `spec`: a name, or a port as `ports.find` takes it."""
    if (board := bridged(spec)) is not None:
        return DoorConversation(board, settings)
    device = must_find(spec)
    try:
        return LineConversation(Line(device.device, settings.line), settings, show)
    except LineError as error:
        raise failure_of(error) from None


class Conversation:
    """One board, asked from a command. Use it as a context manager."""

    prefix: tuple[tuple[int, bytes], ...] = ()

    def __init__(self, settings: TalkSettings, mtu: int) -> None:
        self.loop = Loop()
        self.talker = Talker(
            self.send,
            Limits(mtu),
            settings.line.baud,
            settings.response_timeout,
            token_bytes=LINE_TOKEN_BYTES,
        )
        self.trouble: LineError | None = None
        self.loop.parts.append(self.talker)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self.loop.close()

    def send(self, message: Message) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def ask(self, request: Message) -> Message:
        """The board's answer, whatever its code; Failure when there is none."""
        outcomes: list[Outcome] = []
        own = [*self.prefix, *request.options]
        request = replace(request, options=messages.ordered(own))
        self.talker.ask(request, outcomes.append, self.loop.now)
        self._until(lambda: bool(outcomes))
        return self._judged(outcomes[0])

    def ping(self) -> float:
        """Seconds until the board gave a sign of life."""
        outcomes: list[Outcome] = []
        if self.prefix:
            # Through a bridge a ping would reach the bridge: any answer of the board will do.
            request = Message(CON, messages.GET, 0, options=self.prefix)
            self.talker.ask(request, outcomes.append, self.loop.now)
        else:
            self.talker.ping(outcomes.append, self.loop.now, attempts=1)
        self._until(lambda: bool(outcomes))
        answer = self._judged(outcomes[0])
        unheard = answer.code in (messages.GATEWAY_TIMEOUT, messages.UNAVAILABLE)
        if unheard and (failure := refusal(answer, "ping")):
            raise failure
        return outcomes[0].seconds

    def observe(
        self, path: str, value: Callable[[Message], None], say: Callable[[str], None]
    ) -> Observer:
        """Begin to observe a resource; `run` lets the values come."""
        where = "/".join(v.decode() for n, v in self.prefix if n == URI_PATH)
        observer = Observer(
            f"{where}/{path}" if where else path,
            self.talker,
            lambda observer, message: value(message),
            say,
            lambda: self.loop.now,
        )
        self.loop.parts.append(observer)
        observer.start(self.loop.now)
        return observer

    def run(self, until: Callable[[], bool], deadline: float = float("inf")) -> bool:
        """Let things happen until `until` holds; False when the time ran out first."""
        while not until():
            left = deadline - self.loop.now
            if left <= 0:
                return False
            self.loop.turn(min(left, 60.0))
            if self.trouble:
                raise failure_of(self.trouble)
        return True

    def _until(self, done: Callable[[], bool]) -> None:
        self.run(done)

    def _judged(self, outcome: Outcome) -> Message:
        if outcome.message is not None:
            return outcome.message
        code, text = FAILURES[outcome.failure]
        raise Failure(text, code)


class LineConversation(Conversation):
    """Over the port itself; nobody else may use it meanwhile."""

    def __init__(self, line: Line, settings: TalkSettings, show: Callable[[str], None]) -> None:
        self.line = line
        self.decoder = slipmux.Decoder()
        self.lines = Lines(show)
        super().__init__(settings, settings.mtu)
        self.loop.parts.append(self.lines)
        self.loop.watch(line.fd, self._readable)
        self._write(b"\xc0\xc0")

    def send(self, message: Message) -> None:
        self._write(slipmux.encode_coap(messages.encode(message)))

    def _write(self, data: bytes) -> None:
        if self.line.write(data):
            self._writable()

    def _writable(self) -> None:
        try:
            self.line.flush(self.loop.now)
        except LineError as error:
            self.trouble = error
            return
        self.loop.on_writable(self.line.fd, self._writable if self.line.pending else None)

    def _readable(self) -> None:
        try:
            data = self.line.read()
        except LineError as error:
            self.trouble = error
            return
        now = self.loop.now
        for frame in self.decoder.feed(data):
            if frame.kind == "diag":
                self.lines.feed(frame.data, now)
            elif frame.kind == "coap":
                self._message(frame.data, now)

    def _message(self, data: bytes, now: float) -> None:
        with contextlib.suppress(messages.BadMessage):
            message = messages.decode(data)
            if message.code == EMPTY and message.type == CON:
                self.send(messages.empty(RST, message.mid))
            else:
                self.talker.received(message, now)

    def close(self) -> None:
        self.loop.forget(self.line.fd)
        self.line.close()


class DoorConversation(Conversation):
    """Through the bridge that has the board's port."""

    def __init__(self, board: Bridged, settings: TalkSettings) -> None:
        self.prefix = ((URI_PATH, board.id.encode()),)
        self._place = tempfile.TemporaryDirectory(prefix="elastik-")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # On Linux an address that the kernel makes up: a bridge of another user, which may not
        # enter our directory, can still answer to it.
        linux = sys.platform == "linux"
        try:
            self.sock.bind("" if linux else str(Path(self._place.name) / "client.sock"))
            self.sock.connect(board.socket)
        except OSError as error:
            self.sock.close()
            self._place.cleanup()
            text = f"the bridge that has {board.id} cannot be asked: {error.strerror}"
            raise Failure(text, Exit.DENIED) from None
        self.sock.setblocking(False)
        super().__init__(replace(settings, response_timeout=120.0), DOOR_MTU)
        self.loop.watch(self.sock, self._readable)

    def send(self, message: Message) -> None:
        try:
            self.sock.send(messages.encode(message))
        except BlockingIOError:
            pass
        except OSError:
            self.trouble = LineError("unplugged", "the bridge has ended")

    def _readable(self) -> None:
        for data in self._datagrams():
            with contextlib.suppress(messages.BadMessage):
                self.talker.received(messages.decode(data), self.loop.now)

    def _datagrams(self) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                yield self.sock.recv(65535)

    def close(self) -> None:
        self.loop.forget(self.sock)
        self.sock.close()
        self._place.cleanup()
