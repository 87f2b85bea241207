"""CoAP messages as bytes and as values (RFC 7252 §3, RFC 7959 §2.2): pure, no socket, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from elastik.coap import formats

CON, NON, ACK, RST = range(4)
EMPTY, GET, POST, PUT, DELETE = range(5)
METHODS = {"GET": GET, "POST": POST, "PUT": PUT, "DELETE": DELETE}

IF_MATCH, URI_HOST, ETAG, IF_NONE_MATCH, OBSERVE, URI_PORT = 1, 3, 4, 5, 6, 7
LOCATION_PATH, URI_PATH, CONTENT_FORMAT, MAX_AGE, URI_QUERY, ACCEPT = 8, 11, 12, 14, 15, 17
BLOCK2, BLOCK1, SIZE2, PROXY_URI, PROXY_SCHEME, SIZE1 = 23, 27, 28, 35, 39, 60
ECHO, REQUEST_TAG = 252, 292
# The core's private option: the raw token, as `Authorization: Bearer` would carry it.
AUTH = 65001

CREATED, DELETED, VALID, CHANGED, CONTENT, CONTINUE = 65, 66, 67, 68, 69, 95
BAD_REQUEST, UNAUTHORIZED, BAD_OPTION, FORBIDDEN = 128, 129, 130, 131
NOT_FOUND, METHOD_NOT_ALLOWED, INCOMPLETE = 132, 133, 136
NOT_ACCEPTABLE, CONFLICT, PRECONDITION_FAILED = 134, 137, 140
TOO_LARGE, UNSUPPORTED_FORMAT, TOO_MANY = 141, 143, 157
SERVER_ERROR, UNAVAILABLE, GATEWAY_TIMEOUT, NO_PROXYING = 160, 163, 164, 165


class BadMessage(ValueError):
    """A datagram that is no CoAP message. `resettable` is the id a reset may name, or None."""

    def __init__(self, reason: str, resettable: int | None = None) -> None:
        super().__init__(reason)
        self.resettable = resettable


@dataclass(frozen=True)
class Message:
    """One CoAP message; `options` in order of their numbers, repeated ones in their order."""

    type: int
    code: int
    mid: int
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()
    payload: bytes = b""

    @property
    def is_request(self) -> bool:
        return 1 <= self.code < 32

    @property
    def is_response(self) -> bool:
        return self.code >= 64

    @property
    def ok(self) -> bool:
        return 64 <= self.code < 96

    def values(self, number: int) -> list[bytes]:
        """Every value of an option."""
        return [value for n, value in self.options if n == number]

    def value(self, number: int) -> bytes | None:
        """The first value of an option; None without one."""
        return next((value for n, value in self.options if n == number), None)

    def uint(self, number: int) -> int | None:
        """The first value of an option as a number (RFC 7252 §3.2); None without one."""
        value = self.value(number)
        return None if value is None else int.from_bytes(value, "big")

    def block(self, number: int) -> Block | None:
        """A Block1 or Block2 option; None without one, BadMessage for a reserved size."""
        value = self.value(number)
        return None if value is None else block_of(value)

    def sound_block(self, number: int) -> Block | None:
        """A Block1 or Block2 option, or None without one that makes sense."""
        try:
            return self.block(number)
        except BadMessage:
            return None

    def without(self, *numbers: int) -> Message:
        return replace(self, options=tuple(o for o in self.options if o[0] not in numbers))

    def plus(self, *more: tuple[int, bytes]) -> Message:
        """The same with more options, each after those of the same number."""
        return replace(self, options=ordered([*self.options, *more]))

    def reply(
        self, code: int, payload: bytes = b"", options: Iterable[tuple[int, bytes]] = ()
    ) -> Message:
        """The answer to this request: piggybacked on its acknowledgement when it is a CON."""
        kind = ACK if self.type == CON else NON
        return Message(kind, code, self.mid, self.token, ordered(options), payload)


def ordered(options: Iterable[tuple[int, bytes]]) -> tuple[tuple[int, bytes], ...]:
    return tuple(sorted(options, key=lambda option: option[0]))


def empty(kind: int, mid: int) -> Message:
    """A ping (CON), an acknowledgement or a reset."""
    return Message(kind, EMPTY, mid)


def uint(value: int) -> bytes:
    """A number as an option carries it: big-endian, without leading zeros, zero as nothing."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def code_text(code: int) -> str:
    """`69` -> `2.05`."""
    return f"{code >> 5}.{code & 31:02d}"


# -- blocks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """One block of a body: its number, whether more follow, its size exponent 0 to 6."""

    number: int
    more: bool
    szx: int

    @property
    def size(self) -> int:
        return 16 << self.szx

    @property
    def start(self) -> int:
        return self.number << (self.szx + 4)

    def encoded(self) -> bytes:
        return uint(self.number << 4 | self.more << 3 | self.szx)


def block_of(value: bytes) -> Block:
    """The block that an option's value names; BadMessage for size 7 or more than 3 bytes."""
    number = int.from_bytes(value, "big")
    if number & 7 == 7 or len(value) > 3:
        raise BadMessage("reserved block size")
    return Block(number >> 4, bool(number & 8), number & 7)


def szx_for(room: int) -> int:
    """The exponent of the largest block that fits into `room` bytes; 0 when not even 16 do."""
    return max(0, min(6, room.bit_length() - 5))


# -- bytes -----------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """The datagram of a message."""
    head = bytes([0x40 | message.type << 4 | len(message.token), message.code])
    out = bytearray(head + message.mid.to_bytes(2, "big") + message.token)
    before = 0
    for number, value in message.options:
        delta, delta_more = _nibble(number - before)
        length, length_more = _nibble(len(value))
        out.append(delta << 4 | length)
        out += delta_more + length_more + value
        before = number
    if message.payload:
        out += b"\xff" + message.payload
    return bytes(out)


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, (value - 269).to_bytes(2, "big")


def decode(data: bytes) -> Message:
    """The message in a datagram.

    Raises:
        BadMessage: when there is none; it says whether a reset may answer (RFC 7252 §4.2).
    """
    if len(data) < 4:
        raise BadMessage("shorter than a header")
    if data[0] >> 6 != 1:
        raise BadMessage("not version 1")
    kind, length = data[0] >> 4 & 3, data[0] & 15
    mid = int.from_bytes(data[2:4], "big")
    try:
        if length > 8 or 4 + length > len(data):
            raise ValueError("token too long")
        if data[1] == EMPTY and len(data) > 4:
            raise ValueError("bytes after an empty message")
        if data[1] >> 5 in (1, 6, 7):
            raise ValueError("reserved class")
        options, payload = _options(data, 4 + length)
    except (ValueError, IndexError) as error:
        raise BadMessage(str(error), mid if kind == CON else None) from None
    return Message(kind, data[1], mid, data[4 : 4 + length], options, payload)


def _options(data: bytes, at: int) -> tuple[tuple[tuple[int, bytes], ...], bytes]:
    options: list[tuple[int, bytes]] = []
    number = 0
    while at < len(data):
        if data[at] == 0xFF:
            if at + 1 == len(data):
                raise ValueError("payload marker without payload")
            return tuple(options), data[at + 1 :]
        delta, length, at = data[at] >> 4, data[at] & 15, at + 1
        delta, at = _extended(delta, data, at)
        length, at = _extended(length, data, at)
        number += delta
        if at + length > len(data) or number > 65535:
            raise ValueError("truncated option")
        options.append((number, data[at : at + length]))
        at += length
    return tuple(options), b""


def _extended(nibble: int, data: bytes, at: int) -> tuple[int, int]:
    if nibble < 13:
        return nibble, at
    if nibble == 15:
        raise ValueError("reserved option nibble")
    size = nibble - 12
    if at + size > len(data):
        raise ValueError("truncated option")
    return int.from_bytes(data[at : at + size], "big") + (13 if size == 1 else 269), at + size


def path_of(message: Message) -> list[bytes]:
    """The segments of a request's path."""
    return message.values(URI_PATH)


def path_options(path: str) -> list[tuple[int, bytes]]:
    """`a/b?x=1` as Uri-Path and Uri-Query options."""
    path, _, query = path.partition("?")
    segments = [(URI_PATH, part.encode()) for part in path.strip("/").split("/") if part]
    return segments + [(URI_QUERY, part.encode()) for part in query.split("&") if part]


def media_type(message: Message) -> str | None:
    """The media type of a message's Content-Format; None without one."""
    number = message.uint(CONTENT_FORMAT)
    return None if number is None else formats.media_type(number)
