"""A board that is not there: CoAP server and client behind slipmux, with faults on demand.

For people without hardware and for the tests. Bytes and time in, bytes out; `simulated.py` puts
it on a pty. Its temperature is a slow sine and means nothing.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from elastik.coap import messages
from elastik.coap.messages import (
    ACK,
    BLOCK1,
    BLOCK2,
    CON,
    CONTENT_FORMAT,
    EMPTY,
    ETAG,
    GET,
    MAX_AGE,
    NON,
    OBSERVE,
    POST,
    PUT,
    RST,
    Block,
    Message,
)
from elastik_cli.serialio import slipmux
from elastik_cli.serialio.assembling import Assembler

NEVER = float("inf")
BOOT_TEXT = b"simulated board: up\n"
WELL_KNOWN = (
    b'</temp>;obs;rt="temperature";ct=0,</hum>;obs;rt="humidity";ct=0,</led>;rt="light";ct=0,'
    b"</blob>;ct=42,</slow>;ct=0"
)
# RFC 7252 §4.8, as a small board has it compiled in.
ACK_TIMEOUT_S, RANDOM_FACTOR, MAX_RETRANSMIT = 2.0, 1.5, 4


@dataclass
class Behaviour:
    """How the board is, and what is wrong with it; rates are 0 to 1, times seconds."""

    interval: float = 10.0
    path: str = "reading"
    method: int = PUT
    confirm: bool = True
    mtu: int = 128
    blocks: bool = True
    answers_ping: bool = True
    chatter: float = 0.0
    slow: float = 2.0
    bad_fcs: float = 0.0
    lost: float = 0.0
    reboot_every: float = 0.0
    one_late: bool = False
    deaf: bool = False
    first_mid: int = 1


@dataclass
class Told:
    """What became of the board's own readings, for the tests."""

    sent: int = 0
    accepted: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    unanswered: list[bytes] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)


@dataclass
class Waiting:
    """A CON of the board that is not answered yet."""

    message: Message
    deadline: float
    wait: float
    tries: int = 0
    acknowledged: bool = False


class SimulatedBoard:
    """Server of a few resources, observed or not, and client that sends readings."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        behaviour: Behaviour | None = None,
        rand: random.Random | None = None,
        keep: int | None = None,
    ) -> None:
        self.write, self.behaviour = write, behaviour or Behaviour()
        self.rand = rand or random.Random()
        self.told = Told()
        self.keep = keep
        self.queue: deque[bytes] = deque()
        self.values = {"led": b"0", "blob": bytes(range(256)) * 12}
        self.boots = self.readings = 0
        self.value: Callable[[int, float], bytes] = lambda n, now: b"%.2f" % temperature(now)

    # -- life ----------------------------------------------------------------------------------

    def boot(self, now: float) -> None:
        """Start, or start again: ids, observers and open exchanges are forgotten."""
        if self.boots and self._waiting is not None:
            # A reading that was under way is lost with the memory that held it.
            self.told.unanswered.append(self.queue.popleft())
        self.boots += 1
        self._decoder = slipmux.Decoder()
        self._mid = self.behaviour.first_mid
        self._observers: dict[str, tuple[bytes, int]] = {}
        self._assembler = Assembler(bodies=1)
        self._slow: list[tuple[float, Message]] = []
        self._waiting: Waiting | None = None
        self._held: Message | None = None
        self._retry_at = 0.0
        self._answered: OrderedDict[bytes, bytes] = OrderedDict()
        self._next_reading = now + self.behaviour.interval if self.behaviour.interval else NEVER
        self._next_chatter = now + self.behaviour.chatter if self.behaviour.chatter else NEVER
        every = self.behaviour.reboot_every
        self._next_reboot = now + every * self.rand.uniform(0.5, 1.5) if every else NEVER
        self._next_value = now + 5.0
        self._raw(b"\x00ets boot rom\r\n")
        self.say(BOOT_TEXT)

    def say(self, text: bytes) -> None:
        """Print, as a diagnostic frame."""
        self._raw(slipmux.encode_diagnostic(text))

    @property
    def deadline(self) -> float:
        due = [self._next_reading, self._next_chatter, self._next_reboot, self._next_value]
        due += [at for at, _ in self._slow]
        if self._retry_at:
            due.append(self._retry_at)
        if self._waiting:
            due.append(self._waiting.deadline)
        return min(due)

    def tick(self, now: float) -> None:
        if now >= self._next_reboot:
            self.boot(now)
        if now >= self._next_reading:
            self._next_reading = now + self.behaviour.interval
            self.readings += 1
            self.read(self.value(self.readings, now), now)
        if self._retry_at and now >= self._retry_at:
            self._next(now)
        if now >= self._next_chatter:
            self._next_chatter = now + self.behaviour.chatter
            self.say(b"temperature %.2f\n" % temperature(now))
        if now >= self._next_value:
            self._next_value = now + 5.0
            self._notify(now)
        for entry in [e for e in self._slow if now >= e[0]]:
            self._slow.remove(entry)
            self._send(replace(entry[1], type=CON, mid=self._new_mid()))
        self._repeat(now)

    # -- client --------------------------------------------------------------------------------

    def read(self, value: bytes, now: float) -> None:
        """Take a reading; it goes out when the one before is answered."""
        self.queue.append(value)
        while len(self.queue) > 1000:
            self.queue.popleft()
        self._next(now)

    def _next(self, now: float) -> None:
        if self._waiting is not None or not self.queue or now < self._retry_at:
            return
        self._retry_at = 0.0
        value = self.queue[0]
        kind = CON if self.behaviour.confirm else NON
        options = (*messages.path_options(self.behaviour.path), (CONTENT_FORMAT, b""))
        mid = self._new_mid()
        message = Message(kind, self.behaviour.method, mid, mid.to_bytes(2, "big"), options, value)
        self.told.sent += 1
        self._send(message)
        if kind == NON:
            self.queue.popleft()
            return
        wait = ACK_TIMEOUT_S * self.rand.uniform(1, RANDOM_FACTOR)
        self._waiting = Waiting(message, now + wait, wait)

    def _repeat(self, now: float) -> None:
        waiting = self._waiting
        if waiting is None or now < waiting.deadline:
            return
        if waiting.tries >= MAX_RETRANSMIT:
            self._over(self.told.unanswered, now)
            return
        waiting.tries += 1
        waiting.wait *= 2
        waiting.deadline = now + waiting.wait
        self._send(waiting.message)

    def _over(self, fate: list[bytes], now: float) -> None:
        self._waiting = None
        fate.append(self.queue.popleft())
        if self.keep is not None:
            del fate[: -self.keep]
        self._next(now)

    def _answer_to_me(self, message: Message, now: float) -> None:
        waiting = self._waiting
        if message.type == CON:
            self._send(messages.empty(ACK, message.mid))
        if waiting is None or (message.code != EMPTY and message.token != waiting.message.token):
            return
        if message.code == EMPTY:
            if message.type == ACK and message.mid == waiting.message.mid:
                waiting.tries = MAX_RETRANSMIT
                waiting.deadline = now + 30
            return
        self.told.codes.append(message.code)
        if message.code == messages.UNAVAILABLE:
            # Not stored; the same reading again, as a new message, when Max-Age is over.
            self._waiting = None
            age = message.uint(MAX_AGE) or 60
            self._retry_at = now + age
            return
        self._over(self.told.accepted if message.ok else self.told.refused, now)

    # -- server --------------------------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> None:
        """Bytes from the host."""
        if self.behaviour.deaf:
            return
        for frame in self._decoder.feed(data):
            if frame.kind != "coap" or len(frame.data) > self.behaviour.mtu:
                continue
            try:
                message = messages.decode(frame.data)
            except messages.BadMessage:
                continue
            self._message(message, now)

    def _message(self, message: Message, now: float) -> None:
        if message.code == EMPTY and message.type == CON:
            if self.behaviour.answers_ping:
                self._send(messages.empty(RST, message.mid))
        elif message.is_request:
            self._served(message, now)
        else:
            if message.type == RST:
                gone = [p for p, (_, mid) in self._observers.items() if mid == message.mid]
                for path in gone:
                    del self._observers[path]
            self._answer_to_me(message, now)

    def _served(self, message: Message, now: float) -> None:
        path = b"/".join(messages.path_of(message)).decode("utf-8", "replace")
        if message.value(BLOCK1) is not None:
            if not self.behaviour.blocks:
                self._send(message.reply(messages.BAD_OPTION))
                return
            whole, answer = self._assembler.take(path, message, now)
            if whole is None:
                self._send(answer)
                return
            self._changed(path, whole.payload, now)
            self._send(answer)
        elif message.code in (PUT, POST):
            known = path in self.values
            if known:
                self._changed(path, message.payload, now)
            code = messages.CHANGED if known else messages.NOT_FOUND
            self._send(message.reply(code))
        elif message.code == GET:
            self._got(message, path, now)
        else:
            self._send(message.reply(messages.METHOD_NOT_ALLOWED))

    def _got(self, message: Message, path: str, now: float) -> None:
        body = self._body(path, now)
        if body is None:
            self._send(message.reply(messages.NOT_FOUND))
            return
        options = [(CONTENT_FORMAT, messages.uint(40 if path.startswith(".") else 0))]
        if path in ("temp", "hum") and message.value(OBSERVE) == b"":
            self._observers[path] = (message.token, 0)
            options += [(OBSERVE, messages.uint(int(now * 10) & 0xFFFFFF)), (MAX_AGE, b"\x0f")]
        answer = message.reply(messages.CONTENT, body, options)
        if message.value(OBSERVE) == b"\x01":
            self._observers.pop(path, None)
        if path == "slow":
            self._send(messages.empty(ACK, message.mid))
            self._slow.append((now + self.behaviour.slow, answer))
            return
        self._send(self._piece(message, answer))

    def _piece(self, message: Message, answer: Message) -> Message:
        block = message.sound_block(BLOCK2)
        if block is None and len(answer.payload) + 40 <= self.behaviour.mtu:
            return answer
        szx = messages.szx_for(self.behaviour.mtu - 40)
        if block is None:
            block = Block(0, False, szx)
        elif block.szx > szx:
            block = Block(block.start >> (szx + 4), False, szx)
        body = answer.payload
        piece = body[block.start : block.start + block.size]
        more = block.start + len(piece) < len(body)
        tag = messages.uint(len(body)) or b"\0"
        sized = replace(answer, payload=piece).plus((ETAG, tag))
        return sized.plus((BLOCK2, Block(block.number, more, block.szx).encoded()))

    def _body(self, path: str, now: float) -> bytes | None:
        if path == ".well-known/core":
            return WELL_KNOWN
        if path in ("temp", "hum"):
            return b"%.2f" % (temperature(now) if path == "temp" else 40 + temperature(now))
        return b"done" if path == "slow" else self.values.get(path)

    def _changed(self, path: str, body: bytes, now: float) -> None:
        self.values[path] = body
        self.say(b"%s is now %d bytes\n" % (path.encode(), len(body)))

    def _notify(self, now: float) -> None:
        for path, (token, _) in list(self._observers.items()):
            mid = self._new_mid()
            self._observers[path] = (token, mid)
            number = (OBSERVE, messages.uint(int(now * 10) & 0xFFFFFF))
            options = messages.ordered([number, (CONTENT_FORMAT, b""), (MAX_AGE, b"\x0f")])
            body = self._body(path, now) or b""
            self._send(Message(NON, messages.CONTENT, mid, token, options, body))

    # -- line ----------------------------------------------------------------------------------

    def _new_mid(self) -> int:
        self._mid = (self._mid + 1) & 0xFFFF
        return self._mid

    def _send(self, message: Message) -> None:
        if self.behaviour.one_late:
            # RIOT after a bad frame: each answer leaves when the next one comes.
            held, self._held = self._held, message
            if held is None:
                return
            message = held
        frame = slipmux.encode_coap(messages.encode(message))
        if self.rand.random() < self.behaviour.lost:
            return
        if self.rand.random() < self.behaviour.bad_fcs:
            spot = self.rand.randrange(1, len(frame) - 1)
            frame = frame[:spot] + bytes([frame[spot] ^ 1]) + frame[spot + 1 :]
        self._raw(frame)

    def _raw(self, data: bytes) -> None:
        self.write(data)


def temperature(now: float) -> float:
    """A sine of ten minutes around 21 degrees."""
    return 21 + 4 * math.sin(now * math.tau / 600)
