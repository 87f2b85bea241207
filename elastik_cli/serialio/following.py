"""What the commands do with one line: follow a value, watch, send, record, replay, simulate."""

from __future__ import annotations

import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elastik.coap import messages
from elastik.coap.messages import Message
from elastik_cli.exits import Exit, Failure, Quit, SignalDeath
from elastik_cli.feed import in_json
from elastik_cli.quantities import rfc3339
from elastik_cli.serialio import slipmux
from elastik_cli.serialio.conversation import Conversation, failure_of, must_find
from elastik_cli.serialio.line import Line, LineError, LineSettings
from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.recording import Recorder, read_recording
from elastik_cli.serialio.watching import Screen

NEVER = float("inf")


def follow(
    session: Any, board: Conversation, path: str, count: int | None, timeout: float | None
) -> None:
    """Print each value of an observed resource; Ctrl-C deregisters and ends."""
    shown = 0

    def value(message: Message) -> None:
        nonlocal shown
        shown += 1
        if session.out.json:
            record: dict[str, Any] = {"time": rfc3339(time.time()), "path": path}
            record["observe"] = message.uint(messages.OBSERVE)
            session.out.record(record | in_json(message.payload))
        else:
            session.out.bytes(message.payload.removesuffix(b"\n") + b"\n")
            session.out.flush()

    begun = board.loop.now
    observer = board.observe(path, value, session.say)
    stopped = signals(board.loop)
    # A resource that cannot be observed gives one value and nothing more.
    over = lambda: bool(stopped) or shown >= (count or NEVER) or _plain(observer, shown)  # noqa: E731
    in_time = board.run(over, begun + (timeout or NEVER))
    observer.cancel(board.loop.now)
    board.run(lambda: board.talker.idle, board.loop.now + 1.0)
    if stopped:
        raise SignalDeath(stopped[0])
    if not in_time:
        raise Quit(Exit.TIMED_OUT)
    if _plain(observer, shown) and (count is None or shown < count):
        raise Failure(f"{path} cannot be observed", Exit.FAILED)


def _plain(observer: Any, shown: int) -> bool:
    return bool(shown) and not observer.active and observer.deadline == NEVER


def signals(loop: Loop) -> list[int]:
    """Note SIGINT and SIGTERM in the list instead of dying of them."""
    stopped: list[int] = []

    def noting(number: int) -> Callable[[], None]:
        return lambda: stopped.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.on_signal(number, noting(number))
    return stopped


class Listening:
    """An open line and a loop, for commands that only take what comes."""

    def __init__(
        self, device: str, settings: LineSettings, arrived: Callable[[bytes], None]
    ) -> None:
        try:
            self.line = Line(must_find(device).device, settings)
        except LineError as error:
            raise failure_of(error) from None
        self.loop, self.arrived = Loop(), arrived
        self.trouble: LineError | None = None
        self.loop.watch(self.line.fd, self._readable)
        self.stopped = signals(self.loop)

    def _readable(self) -> None:
        try:
            data = self.line.read()
        except LineError as error:
            self.trouble = error
            return
        if data:
            self.arrived(data)

    def run(self, done: Callable[[], bool], seconds: float | None) -> bool:
        """Until `done`, a signal or the end of time; False for the last."""
        until = self.loop.now + (NEVER if seconds is None else seconds)
        try:
            while not done() and not self.stopped:
                if self.loop.now >= until:
                    return False
                self.loop.turn(min(1.0, until - self.loop.now))
                if self.trouble:
                    raise failure_of(self.trouble)
            return True
        finally:
            self.loop.forget(self.line.fd)
            self.line.close()
            self.loop.close()

    def write(self, data: bytes) -> None:
        """Write all of it, or fail within a few seconds."""
        until = self.loop.now + 5.0
        self.line.write(data)
        while self.line.pending:
            if self.loop.now > until:
                raise Failure("the port takes nothing", Exit.TIMED_OUT)
            try:
                self.line.flush(self.loop.now)
            except LineError as error:
                raise failure_of(error) from None
            self.loop.turn(0.01)


def monitor(
    session: Any,
    device: str,
    settings: LineSettings,
    *,
    hexed: bool,
    raw: bool,
    count: int | None,
    timeout: float | None,
) -> None:
    """Show what comes over a line."""
    screen = Screen(session.out, hexed, time.time)
    decoder = slipmux.Decoder()

    def arrived(data: bytes) -> None:
        if raw:
            session.out.bytes(data)
            session.out.flush()
            screen.shown += data.count(b"\n")
            return
        for frame in decoder.feed(data):
            screen.frame("<", frame)

    line = Listening(device, settings, arrived)
    in_time = line.run(lambda: screen.shown >= (count or NEVER), timeout)
    if line.stopped:
        raise SignalDeath(line.stopped[0])
    if not in_time:
        raise Quit(Exit.TIMED_OUT)


def send(
    session: Any,
    device: str,
    settings: LineSettings,
    text: bytes | None,
    *,
    plain: bool,
    hexed: str | None,
    wait: float,
) -> None:
    """Send lines, a frame each unless `plain`, or the very bytes of `hexed`."""
    if hexed is not None:
        try:
            pieces = [bytes.fromhex(hexed)]
        except ValueError:
            raise Failure(f"not bytes in hex: {hexed}", Exit.USAGE) from None
    else:
        lines = [text] if text is not None else sys.stdin.buffer.read().splitlines()
        ended = [line + b"\n" for line in lines]
        pieces = ended if plain else [slipmux.encode_diagnostic(line) for line in ended]
    screen = Screen(session.out, False, time.time)
    decoder = slipmux.Decoder()

    def arrived(data: bytes) -> None:
        if plain:
            session.out.bytes(data)
            session.out.flush()
            return
        for frame in decoder.feed(data):
            screen.frame("<", frame)

    line = Listening(device, settings, arrived)
    for piece in pieces:
        line.write(piece)
    line.run(lambda: False, wait)


def record(
    session: Any, device: str, settings: LineSettings, output: str, timeout: float | None
) -> None:
    """Record a line to a file until stopped."""
    from contextlib import nullcontext

    with nullcontext(sys.stdout) if output == "-" else open(output, "w", encoding="utf-8") as file:
        recorder = Recorder(file, device)
        line = Listening(device, settings, lambda data: recorder.bytes("<", data))
        line.run(lambda: False, timeout)
    session.say(f"{recorder.pieces} pieces recorded")


def replay(
    session: Any, file: str, *, hexed: bool, pty: bool, link: str | None, speed: float
) -> None:
    """Show a recording, or play it to a pty."""
    from contextlib import nullcontext

    with nullcontext(sys.stdin) if file == "-" else open(file, encoding="utf-8") as source:
        try:
            pieces = list(read_recording(source))
        except ValueError as error:
            raise Failure(f"{file}: {error}", Exit.USAGE) from None
    if pty:
        from elastik_cli.serialio.simulated import replayed

        where = Path(link) if link else None
        board = [(piece.at / speed, piece.data) for piece in pieces if piece.way == "<"]
        replayed(board, where, lambda text: (session.out.line(text), session.out.flush())[0])
        return
    screen = Screen(session.out, hexed, time.time)
    decoders: defaultdict[tuple[str, str], slipmux.Decoder] = defaultdict(slipmux.Decoder)
    for piece in pieces:
        for frame in decoders[piece.device, piece.way].feed(piece.data):
            screen.frame(piece.way, frame, f"{piece.at:.3f}")


def simulate(
    session: Any, link: str | None, text: bool, how: dict[str, Any], timeout: float | None
) -> None:
    """Be a board on a pty until stopped; its port's name is the answer."""
    from elastik_cli.serialio.simulated import PtyBoard
    from elastik_cli.serialio.simulator import Behaviour

    board = PtyBoard(Behaviour(**how), Path(link) if link else None, text)
    session.out.line(link or board.device)
    session.out.flush()
    number = board.run(NEVER if timeout is None else timeout)
    if number:
        raise SignalDeath(number)
