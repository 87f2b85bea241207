"""A board's requests on their way to the core, and the answers back: one endpoint per board.

Transparent at the message layer: type, id and token stay, retransmission is the board's and
duplicate detection the core's. No socket here: `Wire` sends, the caller gives what arrives.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from elastik.coap import messages
from elastik.coap.messages import ACK, CON, EMPTY, MAX_AGE, NON, RST, Message
from elastik_cli.serialio.rewrite import Profile, Refused, downward, upward

# RFC 7252 §4.8.2: how long a sender may repeat a message, and how long an id stays its own.
MAX_TRANSMIT_SPAN_S = 45.0
EXCHANGE_LIFETIME_S = 247.0
REMEMBERED = 1024
MAX_AGE_AWAY_S = 10
NON_PER_SECOND = 100


class Wire(Protocol):
    """Datagrams to the core. Each `generation` is an endpoint of its own."""

    def open(self, generation: int) -> None: ...
    def close(self, generation: int) -> None: ...
    def send(self, generation: int, data: bytes) -> bool:
        """False when it is certain that nothing listens there; True says nothing."""


@dataclass
class Sent:
    """A request that went up: when first, by which endpoint, answered or not."""

    at: float
    generation: int
    message: Message
    times: int = 0
    answered: bool = False


@dataclass
class Lifted:
    """What happened, as counters."""

    up: int = 0
    repeated: int = 0
    answered: int = 0
    refused: int = 0
    away: int = 0
    too_large: int = 0
    dropped: int = 0
    replayed: int = 0


class Uplink:
    """The way up for one board."""

    def __init__(self, profile: Profile, wire: Wire, send: Callable[[Message], None]) -> None:
        self.profile, self.wire, self.send = profile, wire, send
        self.generation = 0
        self.counted = Lifted()
        self._sent: OrderedDict[bytes, Sent] = OrderedDict()
        # Message ids that the core chose for its own messages to the board.
        self._core_mids: OrderedDict[int, float] = OrderedDict()
        self._non_second, self._non_count = 0, 0
        self.own_mid: Callable[[], int | None] = lambda: None
        wire.open(0)

    def renew(self) -> None:
        """Be a new endpoint: the board may have been reset and count its ids anew.

        The old endpoint stays for repetitions of what it sent (MAX_TRANSMIT_SPAN): a board that
        lost only its line repeats a request that the core may have answered already.
        """
        if self.generation:
            self.wire.close(self.generation - 1)
        self.generation += 1
        self.wire.open(self.generation)
        self._core_mids.clear()

    def close(self) -> None:
        for generation in {max(0, self.generation - 1), self.generation}:
            self.wire.close(generation)

    # -- from the board ------------------------------------------------------------------------

    def request(self, message: Message, now: float) -> None:
        """Send a board's request up, or answer at once why not."""
        try:
            lifted = upward(message, self.profile)
        except Refused as refusal:
            self.counted.refused += 1
            self._answer(message, refusal.code, refusal.reason.encode())
            return
        if message.type == NON and self._flooding(now):
            self.counted.dropped += 1
            return
        data = messages.encode(lifted)
        sent = self._remember(hashlib.sha256(data).digest(), lifted, now)
        sent.times += 1
        self.counted.up += 1
        self.counted.repeated += sent.times > 1
        if not self.wire.send(sent.generation, data):
            self._nobody(sent)

    def _remember(self, digest: bytes, lifted: Message, now: float) -> Sent:
        known = self._sent.get(digest)
        recent = known is not None and now - known.at < (
            EXCHANGE_LIFETIME_S if known.generation == self.generation else MAX_TRANSMIT_SPAN_S
        )
        if known is None or not recent or known.generation < self.generation - 1:
            known = Sent(now, self.generation, lifted)
        self._sent.pop(digest, None)
        self._sent[digest] = known
        while self._sent and (
            len(self._sent) > REMEMBERED
            or now - next(iter(self._sent.values())).at > EXCHANGE_LIFETIME_S
        ):
            self._sent.popitem(last=False)
        return known

    def _flooding(self, now: float) -> bool:
        if int(now) != self._non_second:
            self._non_second, self._non_count = int(now), 0
        self._non_count += 1
        return self._non_count > NON_PER_SECOND

    def _nobody(self, sent: Sent) -> None:
        """Nothing listens. What may have been heard before is not answered: nobody knows."""
        self.counted.away += 1
        if sent.times == 1:
            sent.times = 0
            self._unavailable(sent.message)

    def _unavailable(self, message: Message) -> None:
        if message.type == CON:
            age = [(MAX_AGE, messages.uint(MAX_AGE_AWAY_S))]
            self.send(message.reply(messages.UNAVAILABLE, b"the core is away", age))

    def _answer(self, message: Message, code: int, text: bytes) -> None:
        if message.type == CON:
            self.send(message.reply(code, text[:60]))

    def control(self, message: Message) -> bool:
        """A board's empty ACK or RST for a message of the core; False if it is not for one."""
        if message.mid not in self._core_mids:
            return False
        self.wire.send(self.generation, messages.encode(message))
        return True

    def uses(self, mid: int) -> bool:
        """Whether the core has lately used this message id towards the board."""
        return mid in self._core_mids

    # -- from the core -------------------------------------------------------------------------

    def received(self, generation: int, data: bytes, now: float) -> None:
        """Take a datagram of the core for the board."""
        try:
            message = messages.decode(data)
        except messages.BadMessage:
            self.counted.dropped += 1
            return
        if message.is_request or (message.code == EMPTY and message.type in (CON, NON)):
            self.counted.dropped += 1
            return
        if message.type in (CON, NON) and not self._may_pass(generation, message, now):
            return
        # An acknowledgement bears the board's own id; only the newest endpoint may also speak.
        asked = self._asked(message, generation)
        if asked is not None:
            asked.answered = True
            self.counted.answered += 1
        room = self._room(asked)
        answer = downward(message, room)
        self.counted.too_large += answer is not message and message.ok
        self.send(answer)

    def _may_pass(self, generation: int, message: Message, now: float) -> bool:
        if generation != self.generation and self._asked(message, generation) is None:
            # An observation of a board that is no more: RFC 7641 §3.6.
            if message.type == CON:
                self.wire.send(generation, messages.encode(messages.empty(RST, message.mid)))
            return False
        if message.mid == self.own_mid():
            # The same id is open on the line in our own name; the core repeats a CON.
            self.counted.dropped += 1
            return False
        self._core_mids[message.mid] = now
        while self._core_mids and (
            len(self._core_mids) > REMEMBERED
            or now - next(iter(self._core_mids.values())) > EXCHANGE_LIFETIME_S
        ):
            self._core_mids.popitem(last=False)
        return True

    def _asked(self, message: Message, generation: int) -> Sent | None:
        for sent in reversed(self._sent.values()):
            mine = sent.message.mid == message.mid and message.type in (ACK, RST)
            if sent.generation == generation and (mine or sent.message.token == message.token):
                return sent
        return None

    def _room(self, asked: Sent | None) -> int:
        block = asked.message.sound_block(messages.BLOCK2) if asked else None
        # A board that asks for larger blocks than we would knows what it can take.
        return max(self.profile.mtu, block.size + 40 if block else 0)

    def refused(self, generation: int) -> None:
        """The network said later that nothing listens: certain only when one request was out."""
        waiting = [s for s in self._sent.values() if s.generation == generation and not s.answered]
        if len(waiting) == 1 and waiting[0].times == 1 and waiting[0].message.type == CON:
            self.counted.away += 1
            waiting[0].times = 0
            self._unavailable(waiting[0].message)
