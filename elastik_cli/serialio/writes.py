"""A board's writes when the bridge stores them over HTTP: answered once, stored once."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from elastik.coap import messages
from elastik.coap.messages import (
    BLOCK1,
    CON,
    DELETE,
    IF_MATCH,
    IF_NONE_MATCH,
    MAX_AGE,
    POST,
    PUT,
    Message,
)
from elastik_cli.serialio import textline
from elastik_cli.serialio.assembling import Assembler
from elastik_cli.serialio.outbox import KEPT, UNKNOWN, Fate, Outbox
from elastik_cli.serialio.rewrite import Profile, Refused, world_of
from elastik_cli.serialio.spool import Reading
from elastik_cli.serialio.uplink import EXCHANGE_LIFETIME_S, MAX_TRANSMIT_SPAN_S, REMEMBERED

VERBS = {PUT: "PUT", POST: "POST", DELETE: "DELETE"}
MAX_AGE_AWAY_S, MAX_AGE_FULL_S = 10, 60


@dataclass
class Heard:
    """A write that was heard: when, how long it may be repeated, and its answer once known."""

    at: float
    until: float
    answer: Message | None = None


class Writes:
    """Requests in, readings out; what is repeated gets the first answer again."""

    def __init__(
        self,
        profile: Profile,
        outbox: Outbox,
        send: Callable[[Message], None],
        wall: Callable[[], float],
    ) -> None:
        self.profile, self.outbox, self.send, self.wall = profile, outbox, send, wall
        self.counted: Counter[str] = Counter()
        self._heard: OrderedDict[str, Heard] = OrderedDict()
        self._assembler = Assembler()
        self._recall()

    def _recall(self) -> None:
        """Know again what a bridge before us put into the spool and may not have answered."""
        for reading in self.outbox.spool.recent if self.outbox.spool else ():
            age = self.wall() - reading.observed_at
            if reading.world.startswith(self.profile.prefix + "/") and age < MAX_TRANSMIT_SPAN_S:
                self._heard[reading.digest] = Heard(0.0, float("inf"))

    def renew(self, now: float) -> None:
        """The line was interrupted: only a repetition within the usual span is one."""
        for heard in self._heard.values():
            heard.until = min(heard.until, heard.at + MAX_TRANSMIT_SPAN_S)

    def take(self, message: Message, raw: bytes, now: float) -> bool:
        """Store what `message` writes; False for what must reach the core as it is."""
        conditional = {IF_MATCH, IF_NONE_MATCH} & {number for number, _ in message.options}
        if message.code not in VERBS or conditional:
            return False
        try:
            world = world_of(message, self.profile.prefix)
        except Refused as refusal:
            self._reply(message, message.reply(refusal.code, str(refusal).encode()[:60]))
            return True
        digest = hashlib.sha256(raw).hexdigest()
        if self._repeated(message, digest, now):
            return True
        heard = self._heard[digest] = Heard(now, now + EXCHANGE_LIFETIME_S)
        while len(self._heard) > REMEMBERED or now > next(iter(self._heard.values())).until:
            self._heard.popitem(last=False)
        self._store(message, world, digest, heard, now)
        return True

    def _repeated(self, message: Message, digest: str, now: float) -> bool:
        heard = self._heard.get(digest)
        if heard is None or now > heard.until:
            self._heard.pop(digest, None)
            return False
        self.counted["repeated"] += 1
        if heard.at == 0.0 and heard.answer is None:
            heard.answer = message.reply(messages.CHANGED)
        if heard.answer is not None:
            self._reply(message, heard.answer)
        return True

    def _store(self, message: Message, world: str, digest: str, heard: Heard, now: float) -> None:
        last: list[tuple[int, bytes]] = []
        if message.value(BLOCK1) is not None:
            whole, answer = self._assembler.take((world, message.code), message, now)
            if whole is None:
                heard.answer = answer
                self._reply(message, answer)
                return
            last = list(answer.options)
            message = whole
        kind = messages.media_type(message) or "application/octet-stream"
        reading = Reading(
            VERBS[message.code],
            world,
            message.payload,
            kind,
            self.wall(),
            os.urandom(16).hex(),
            digest,
        )

        def told(fate: Fate) -> None:
            if fate == UNKNOWN:
                return
            heard.answer = answer_for(message, fate, last)
            self.counted[f"answered_{messages.code_text(heard.answer.code)}"] += 1
            self._reply(message, heard.answer)
            if not fate.stored:
                # Refused is refused, but a later try is a new one.
                self._heard.pop(digest, None)

        self.outbox.reading(reading, told, now)

    def _reply(self, message: Message, answer: Message) -> None:
        if message.type == CON:
            self.send(answer)

    # -- what is no request --------------------------------------------------------------------

    def text(self, reading: textline.Reading, now: float, told: Callable[[Fate], None]) -> None:
        """Store a reading that came as a line of text."""
        self._plain(reading.path, reading.body, reading.type, told, now)

    def observed(self, path: str, message: Message, now: float) -> None:
        """Store the newest value of an observed resource."""
        kind = messages.media_type(message) or "application/octet-stream"
        told: Callable[[Fate], None] = lambda fate: None  # noqa: E731
        self._plain(path.partition("?")[0], message.payload, kind, told, now, latest=True)

    def _plain(
        self,
        path: str,
        body: bytes,
        kind: str,
        told: Callable[[Fate], None],
        now: float,
        latest: bool = False,
    ) -> None:
        segments = [(messages.URI_PATH, part.encode()) for part in path.strip("/").split("/")]
        try:
            world = world_of(Message(0, PUT, 0, options=tuple(segments)), self.profile.prefix)
        except Refused as refusal:
            told(Fate(400, str(refusal)))
            return
        reading = Reading("PUT", world, body, kind, self.wall(), os.urandom(16).hex())
        if latest and self.outbox.spool is None:
            self.outbox.state(reading)
        else:
            self.outbox.reading(reading, told, now)


def answer_for(message: Message, fate: Fate, options: list[tuple[int, bytes]]) -> Message:
    """The CoAP answer that an HTTP outcome becomes (RFC 8075 §7, the other way round)."""
    if fate.stored:
        code = {201: messages.CREATED}.get(fate.status, messages.CHANGED)
        if message.code == DELETE:
            code = messages.DELETED
        return message.reply(code, b"", options)
    if fate.status == 0 or fate.status in (429, 503):
        age = MAX_AGE_FULL_S if "full" in fate.text else MAX_AGE_AWAY_S
        return message.reply(
            messages.UNAVAILABLE, fate.text.encode()[:60], [(MAX_AGE, messages.uint(age))]
        )
    if message.code == DELETE and fate.status == 404:
        return message.reply(messages.DELETED, b"", options)
    family, detail = divmod(fate.status, 100)
    code = family << 5 | (detail if detail < 32 else 0)
    return message.reply(code, fate.text.encode()[:60])


__all__ = ["KEPT", "Writes", "answer_for"]
