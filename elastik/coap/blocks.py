"""Bodies that need more than one message (RFC 7959), as steps: no socket, no clock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from elastik.coap import messages
from elastik.coap.messages import (
    BLOCK1,
    BLOCK2,
    ETAG,
    OBSERVE,
    REQUEST_TAG,
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
    """What one peer can take: the largest message in bytes, the largest block exponent.

    A `tag` marks each upload (Request-Tag, RFC 9175 §3): its blocks never mix with those of another
    attempt at the same path. With `early` a GET asks for blocks of this size (RFC 7959 §2.4).
    """

    mtu: int = DEFAULT_MTU
    szx: int = 6
    tag: bytes = b""
    early: bool = False

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
    asked = request
    if limits.early and request.code == messages.GET and request.value(BLOCK2) is None:
        asked = request.plus((BLOCK2, Block(0, False, limits.szx).encoded()))
    for _ in range(2):
        response = yield from _upload(asked, limits, progress)
        whole = yield from download(request, response, progress)
        if whole is not None:
            return whole
    return _own(messages.SERVER_ERROR, b"the resource changes faster than it can be read")


def once(request: Message) -> Steps:
    """One exchange and no more, blocks or not."""
    return (yield request)


def _own(code: int, text: bytes) -> Message:
    """An answer that no peer gave."""
    return Message(messages.ACK, code, 0, payload=text)


def _upload(request: Message, limits: Limits, progress: Progress) -> Steps:
    if limits.fits(request) and len(request.payload) <= 16 << limits.szx:
        response = yield request
        if response.code != messages.TOO_LARGE or not _learn(response, request, limits):
            return response
    for attempt in range(3):
        tag = [(REQUEST_TAG, limits.tag + bytes([attempt]))] if limits.tag else []
        response = yield from _in_blocks(request.plus(*tag), limits, progress)
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
    follow = replace(request, payload=b"").without(OBSERVE, BLOCK1, SIZE1, REQUEST_TAG)
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
