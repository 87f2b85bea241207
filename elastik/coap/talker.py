"""Asking one peer: own message ids and tokens, one exchange at a time (RFC 7252 §4, §5).

No socket and no clock: `send` takes messages out, `received` and `tick` get the time.
"""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from elastik.coap import messages
from elastik.coap.blocks import TOKEN_BYTES, Limits, Steps, once, transfer
from elastik.coap.messages import ACK, CON, EMPTY, OBSERVE, RST, Message

NEVER = float("inf")
QUEUE = 64
# A serial line answers within milliseconds; RFC 7252 §4.8.1 allows a shorter wait there.
LINE_ACK_TIMEOUT_S = 0.4
# A line has no strangers who guess tokens (RFC 7252 §5.3.1), and each byte on it takes its time.
LINE_TOKEN_BYTES = 2
RETRANSMISSIONS = 4
# How long an answer may still belong to an exchange that has ended, in seconds.
REMEMBERED_S = 93.0


@dataclass
class Outcome:
    """How an operation ended: the board's answer, or why there is none.

    Failures: timeout, reset, down (the line went away), busy (too many wait), gone.
    """

    message: Message | None = None
    failure: str = ""
    seconds: float = 0.0


Done = Callable[[Outcome], None]
Notified = Callable[[Message, float], None]


@dataclass
class Operation:
    """A request with everything it takes, as its asker sees it."""

    steps: Steps | None
    done: Done
    attempts: int
    notified: Notified | None = None
    ping: bool = False
    cancelled: bool = False
    begun: float = 0.0
    token: bytes = b""


@dataclass
class Exchange:
    """One message of an operation that waits for its answer."""

    operation: Operation
    message: Message
    wait: float
    deadline: float
    tries: int = 0
    acknowledged: bool = False


@dataclass
class Talked:
    """What happened, as counters."""

    asked: int = 0
    retransmitted: int = 0
    timeouts: int = 0
    late: int = 0
    resets: int = 0
    refused_busy: int = 0
    rtt_ms: float = 0.0


@dataclass
class Talker:
    """The client side of one line or socket.

    An answer is awaited `ack_timeout` seconds, times a random factor from 1 to
    `ack_random_factor`, and as long as `baud` needs for the bytes; then twice as long, four times.
    """

    send: Callable[[Message], None]
    limits: Limits = field(default_factory=Limits)
    baud: float = 115200
    response_timeout: float = 30.0
    ack_timeout: float = LINE_ACK_TIMEOUT_S
    ack_random_factor: float = 1.0
    retransmissions: int = RETRANSMISSIONS
    token_bytes: int = TOKEN_BYTES
    rand: random.Random = field(default_factory=random.Random)
    taken: Callable[[int], bool] = lambda mid: False

    def __post_init__(self) -> None:
        self.counted = Talked()
        self._queue: deque[Operation] = deque()
        self._current: Exchange | None = None
        self._watches: dict[bytes, Notified] = {}
        # token or message id of an ended exchange -> when it ended
        self._ended: OrderedDict[bytes | int, float] = OrderedDict()
        self._mid = self.rand.randrange(0x10000)

    # -- asking --------------------------------------------------------------------------------

    def ask(
        self,
        request: Message,
        done: Done,
        now: float,
        *,
        notified: Notified | None = None,
        token: bytes = b"",
    ) -> Operation:
        """Send `request` in its turn; `done` gets the whole answer, `notified` what follows.

        An observation that is renewed keeps its `token` (RFC 7641 §3.3.1).
        """
        steps = transfer(request, self.limits)
        operation = Operation(steps, done, self.retransmissions, notified, begun=now, token=token)
        return self._enqueue(operation, now)

    def exchange(self, step: Message, done: Done, now: float) -> Operation:
        """Send exactly this message in its turn: blocks are the caller's."""
        return self._enqueue(Operation(once(step), done, self.retransmissions, begun=now), now)

    def ping(self, done: Done, now: float, *, attempts: int = 0) -> Operation:
        """Ask for a sign of life: an empty CON, which RFC 7252 §4.3 answers with a reset."""
        return self._enqueue(Operation(None, done, attempts, ping=True, begun=now), now)

    def forget(self, token: bytes) -> None:
        """Take no more notifications with this token."""
        self._watches.pop(token, None)

    @property
    def idle(self) -> bool:
        return self._current is None and not self._queue

    @property
    def deadline(self) -> float:
        return self._current.deadline if self._current else NEVER

    @property
    def open_mid(self) -> int | None:
        """The message id that waits for an answer now."""
        return self._current.message.mid if self._current else None

    def _enqueue(self, operation: Operation, now: float) -> Operation:
        if len(self._queue) >= QUEUE:
            self.counted.refused_busy += 1
            operation.done(Outcome(failure="busy"))
            return operation
        self._queue.append(operation)
        self._next(now)
        return operation

    def _next(self, now: float) -> None:
        while self._current is None and self._queue:
            operation = self._queue.popleft()
            if operation.cancelled:
                continue
            self.counted.asked += 1
            if operation.steps is None:
                self._begin(operation, Message(CON, EMPTY, 0), now)
                return
            try:
                first = next(operation.steps)
            except StopIteration as end:
                operation.done(Outcome(end.value))
                continue
            self._begin(operation, first, now)

    def _begin(self, operation: Operation, step: Message, now: float) -> None:
        token = b"" if operation.ping else self.rand.randbytes(self.token_bytes)
        if step.value(OBSERVE) is not None:
            token = operation.token = operation.token or token
        message = replace(step, type=CON, mid=self._new_mid(), token=token)
        # Both directions at 10 bits a byte, and a little for the board.
        wait = self._ack_wait() + len(messages.encode(message)) * 20 / self.baud
        self._current = Exchange(operation, message, wait, now + wait)
        self.send(message)

    def _ack_wait(self) -> float:
        spread = self.ack_random_factor
        return self.ack_timeout * (self.rand.uniform(1, spread) if spread > 1 else 1)

    def _new_mid(self) -> int:
        for _ in range(0x10000):
            self._mid = (self._mid + 1) & 0xFFFF
            if not self.taken(self._mid):
                break
        return self._mid

    # -- answers -------------------------------------------------------------------------------

    def received(self, message: Message, now: float) -> bool:
        """Take an answer that is ours; False when it belongs to somebody else."""
        if message.code == EMPTY:
            return self._control(message, now)
        if not message.is_response:
            return False
        current = self._current
        if current and not current.operation.ping and _answers(message, current.message):
            self._acknowledge(message)
            self._answered(current, message, now)
            return True
        if watch := self._watches.get(message.token):
            self._acknowledge(message)
            watch(message, now)
            return True
        if message.token in self._ended:
            self._acknowledge(message)
            self.counted.late += 1
            return True
        return False

    def _control(self, message: Message, now: float) -> bool:
        current = self._current
        if message.type not in (ACK, RST) or not current or message.mid != current.message.mid:
            return message.mid in self._ended and message.type in (ACK, RST)
        if message.type == ACK:
            current.acknowledged = True
            current.deadline = now + self.response_timeout
        elif current.operation.ping:
            self._finish(Outcome(message, seconds=now - current.operation.begun), now)
        else:
            self.counted.resets += 1
            self._finish(Outcome(failure="reset"), now)
        return True

    def _acknowledge(self, message: Message) -> None:
        if message.type == CON:
            self.send(messages.empty(ACK, message.mid))

    def _answered(self, current: Exchange, message: Message, now: float) -> None:
        operation = current.operation
        if current.tries == 0 and not current.acknowledged:
            sample = (now - (current.deadline - current.wait)) * 1000
            self.counted.rtt_ms += (sample - self.counted.rtt_ms) / 8
        self._close(now)
        registered = message.ok and message.value(OBSERVE) is not None
        if operation.notified and message.token == operation.token and registered:
            self._watches[message.token] = operation.notified
        assert operation.steps is not None
        try:
            step = operation.steps.send(message)
        except StopIteration as end:
            operation.done(Outcome(end.value, seconds=now - operation.begun))
            self._next(now)
            return
        if operation.cancelled:
            self._next(now)
        else:
            self._begin(operation, step, now)

    # -- time ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Repeat or give up what is overdue."""
        current = self._current
        if current is None or now < current.deadline:
            return
        span = current.wait * 2 ** (current.operation.attempts + 1)
        # After a sleep of the machine an old request is given up, not repeated.
        stale = now - current.deadline > span
        if current.acknowledged or stale or current.tries >= current.operation.attempts:
            self.counted.timeouts += not current.operation.ping
            self._finish(Outcome(failure="timeout"), now)
            return
        current.tries += 1
        current.deadline = now + current.wait * 2**current.tries
        self.counted.retransmitted += 1
        self.send(current.message)

    def fail_all(self, failure: str, now: float) -> None:
        """End everything that waits, and every observation: the line is gone."""
        waiting = [self._current.operation] if self._current else []
        waiting += [op for op in self._queue if not op.cancelled]
        self._current = None
        self._queue.clear()
        self._watches.clear()
        for operation in waiting:
            operation.done(Outcome(failure=failure))

    def _finish(self, outcome: Outcome, now: float) -> None:
        assert self._current is not None
        operation = self._current.operation
        self._close(now)
        operation.done(outcome)
        self._next(now)

    def _close(self, now: float) -> None:
        assert self._current is not None
        message, self._current = self._current.message, None
        for mark in (message.mid, message.token):
            if mark != b"":
                self._ended.pop(mark, None)
                self._ended[mark] = now
        while self._ended and (
            now - next(iter(self._ended.values())) > REMEMBERED_S or len(self._ended) > 512
        ):
            self._ended.popitem(last=False)


def _answers(message: Message, request: Message) -> bool:
    """RFC 7252 §5.3.2: the token matches, and on an acknowledgement the message id, too."""
    same_id = message.type != ACK or message.mid == request.mid
    return same_id and message.token == request.token
