"""Bodies that arrive in blocks (RFC 7959 §2.5), put together for a server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace

from elastik.coap import messages
from elastik.coap.messages import BLOCK1, SIZE1, Message


class Assembler:
    """Bodies that arrive in Block1 steps; bounded in number, size and age (seconds)."""

    def __init__(self, *, bodies: int = 16, largest: int = 1 << 16, idle: float = 60.0) -> None:
        self._bodies, self._largest, self._idle = bodies, largest, idle
        self._open: OrderedDict[Hashable, tuple[float, bytearray]] = OrderedDict()

    def take(self, key: Hashable, message: Message, now: float) -> tuple[Message | None, Message]:
        """The request as a whole when its last block came, else None; and the answer to give."""
        block = message.sound_block(BLOCK1)
        if block is None:
            return None, message.reply(messages.BAD_REQUEST, b"bad block")
        echo = [(BLOCK1, block.encoded())]
        self._forget(now)
        begun = self._open.pop(key, (now, bytearray()))[1] if block.number else bytearray()
        if block.start != len(begun):
            return None, message.reply(messages.INCOMPLETE, b"", echo)
        body = begun + message.payload
        if len(body) > self._largest:
            return None, message.reply(messages.TOO_LARGE, b"", echo)
        if not block.more:
            whole = replace(message, payload=bytes(body)).without(BLOCK1, SIZE1)
            return whole, message.reply(messages.CHANGED, b"", echo)
        self._open[key] = (now, body)
        while len(self._open) > self._bodies:
            self._open.popitem(last=False)
        return None, message.reply(messages.CONTINUE, b"", echo)

    def _forget(self, now: float) -> None:
        while self._open:
            key, (since, _) = next(iter(self._open.items()))
            if now - since < self._idle:
                return
            del self._open[key]
