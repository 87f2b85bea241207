"""Bodies that need more than one message (RFC 7959): a transfer as steps, and an assembler."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, replace

from elastik_cli.serialio import messages
from elastik_cli.serialio.messages import (
    BLOCK1,
    BLOCK2,
    ETAG,
    OBSERVE,
    SIZE1,
    SIZE2,
    Block,
    Message,
)

# A RIOT board takes 128 bytes a message and drops a longer frame without a word.
DEFAULT_MTU = 128
TOKEN_BYTES = 4
LONGEST_BODY = 64 << 20

Steps = Generator[Message, Message, Message]
# Told how many bytes are over, and of how many (0: not known).
Progress = Callable[[int, int], None]


@dataclass
class Limits:
    """What one peer can take: the largest message in bytes, the largest block exponent."""

    mtu: int = DEFAULT_MTU
    szx: int = 6

    def fits(self, request: Message) -> bool:
        token = b"\0" * TOKEN_BYTES
        return len(messages.encode(replace(request, token=token))) <= self.mtu

    def block_szx(self, request: Message) -> int:
        """The exponent of the largest block of `request`'s body that fits one message."""
        # The longest Block1 and Size1 options take five bytes each, the payload marker one.
        head = len(messages.encode(replace(request, token=b"\0" * TOKEN_BYTES, payload=b"")))
        return min(self.szx, messages.szx_for(self.mtu - head - 11))


def transfer(request: Message, limits: Limits, progress: Progress = lambda *_: None) -> Steps:
    """All exchanges that `request` needs; yields each message, returns the whole answer."""
    for _ in range(2):
        response = yield from _upload(request, limits, progress)
        whole = yield from download(request, response, progress)
        if whole is not None:
            return whole
    return _own(messages.SERVER_ERROR, b"the resource changes faster than it can be read")


def _own(code: int, text: bytes) -> Message:
    """An answer that no peer gave."""
    return Message(messages.ACK, code, 0, payload=text)


def _upload(request: Message, limits: Limits, progress: Progress) -> Steps:
    if limits.fits(request) and len(request.payload) <= 16 << limits.szx:
        response = yield request
        if response.code != messages.TOO_LARGE or not _learn(response, request, limits):
            return response
    for _ in range(3):
        response = yield from _in_blocks(request, limits, progress)
        retry = response.code == messages.INCOMPLETE or (
            response.code == messages.TOO_LARGE and _learn(response, request, limits)
        )
        if not retry:
            return response
    return response


def _learn(response: Message, request: Message, limits: Limits) -> bool:
    """Take a smaller block size from a 4.13; whether there was one."""
    before = limits.szx
    block = response.sound_block(BLOCK1)
    if block is not None:
        limits.szx = min(limits.szx, block.szx)
    elif (size := response.uint(SIZE1)) and size < min(len(request.payload), 16 << limits.szx):
        limits.szx = messages.szx_for(size)
    return limits.szx < before


def _in_blocks(request: Message, limits: Limits, progress: Progress) -> Steps:
    body, at, szx = request.payload, 0, limits.block_szx(request)
    if not limits.fits(replace(request, payload=b"\0" * 16).plus((BLOCK1, b"\0\0\0"))):
        return _own(messages.TOO_LARGE, b"the path leaves no room in a message of this board")
    while True:
        piece = body[at : at + (16 << szx)]
        block = Block(at >> (szx + 4), at + len(piece) < len(body), szx)
        step = replace(request, payload=piece).plus((BLOCK1, block.encoded()))
        response = yield step if at else step.plus((SIZE1, messages.uint(len(body))))
        if response.code == messages.BAD_OPTION:
            return _own(
                messages.TOO_LARGE,
                b"the board takes %d bytes at once and knows no blocks" % limits.mtu,
            )
        if not block.more or response.code != messages.CONTINUE:
            return response
        at += len(piece)
        progress(at, len(body))
        if (answered := response.sound_block(BLOCK1)) and answered.szx < szx:
            szx = limits.szx = answered.szx


def download(
    request: Message, response: Message, progress: Progress = lambda *_: None
) -> Generator[Message, Message, Message | None]:
    """The rest of a body that came as a first block; None when it must be read again."""
    first = response.sound_block(BLOCK2)
    if first is None or first.number or not first.more or request.value(BLOCK2):
        return response
    body, szx = bytearray(response.payload), first.szx
    follow = replace(request, payload=b"").without(OBSERVE, BLOCK1, SIZE1)
    while True:
        block = Block(len(body) >> (szx + 4), False, szx)
        following = yield follow.plus((BLOCK2, block.encoded()))
        if not following.ok:
            return following
        got = following.sound_block(BLOCK2)
        if got is None or got.start != len(body) or _changed(response, following):
            return None
        body += following.payload
        szx = got.szx
        progress(len(body), response.uint(SIZE2) or 0)
        if len(body) > LONGEST_BODY:
            return _own(messages.SERVER_ERROR, b"the body is larger than 64 MiB")
        if not got.more:
            return replace(response, payload=bytes(body)).without(BLOCK2)


def _changed(first: Message, later: Message) -> bool:
    return first.value(ETAG) != later.value(ETAG)


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
