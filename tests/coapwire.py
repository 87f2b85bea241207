"""CoAP for the tests: builds and reads datagrams by RFC 7252 §3, shares no line with the core."""

from __future__ import annotations

import itertools
import re
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from realcore import APPROVE, Core

CON, NON, ACK, RST = 0, 1, 2, 3
GET, POST, PUT, DELETE, FETCH, PATCH, IPATCH = 1, 2, 3, 4, 5, 6, 7
IF_MATCH, ETAG, IF_NONE_MATCH, OBSERVE, LOCATION_PATH, URI_PATH = 1, 4, 5, 6, 8, 11
CONTENT_FORMAT, MAX_AGE, URI_QUERY, ACCEPT, BLOCK2, BLOCK1 = 12, 14, 15, 17, 23, 27
SIZE2, SIZE1, ECHO, NO_RESPONSE, CREDENTIAL = 28, 60, 252, 258, 65001
ADDRESS = re.compile(rb"^coap: +coap://(\S+):(\d+)/$")

Options = Iterable[tuple[int, bytes]]


class Message(NamedTuple):
    """A datagram that was read; `code` is text such as 2.05."""

    kind: int
    code: str
    mid: int
    token: bytes
    options: list[tuple[int, bytes]]
    payload: bytes
    raw: bytes

    def option(self, number: int) -> bytes | None:
        """The first option with this number."""
        return next((value for known, value in self.options if known == number), None)

    def number(self, number: int) -> int | None:
        value = self.option(number)
        return None if value is None else int.from_bytes(value, "big")


def nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def uint(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def block(number: int, more: bool, size: int) -> bytes:
    return uint(number << 4 | more << 3 | (size.bit_length() - 5))


def build(
    kind: int, code: int, mid: int, token: bytes = b"", options: Options = (), payload: bytes = b""
) -> bytes:
    out = bytes((0x40 | kind << 4 | len(token), code)) + mid.to_bytes(2, "big") + token
    last = 0
    for number, value in sorted(options, key=lambda option: option[0]):
        (delta, more_delta), (length, more_length) = nibble(number - last), nibble(len(value))
        out += bytes((delta << 4 | length,)) + more_delta + more_length + value
        last = number
    return out + (b"\xff" + payload if payload else b"")


def read(raw: bytes) -> Message:
    first, code = raw[0], raw[1]
    assert first >> 6 == 1
    at = 4 + (first & 15)
    token, number, options = raw[4:at], 0, []

    def extended(value: int) -> int:
        nonlocal at
        if value < 13:
            return value
        size = value - 12
        at += size
        return int.from_bytes(raw[at - size : at], "big") + (13 if size == 1 else 269)

    while at < len(raw) and raw[at] != 0xFF:
        delta, length = raw[at] >> 4, raw[at] & 15
        at += 1
        number += extended(delta)
        length = extended(length)
        options.append((number, raw[at : at + length]))
        at += length
    mid = int.from_bytes(raw[2:4], "big")
    text = f"{code >> 5}.{code & 31:02d}"
    return Message(first >> 4 & 3, text, mid, token, options, raw[at + 1 :], raw)


def segments(path: str) -> list[tuple[int, bytes]]:
    return [(URI_PATH, part.encode()) for part in path.strip("/").split("/")]


class Peer:
    """One UDP endpoint that speaks to a core; message ids count up from where it is told."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        token: str | None = APPROVE,
        mid: int = 1,
        here: tuple[str, int] | None = None,
    ):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if here is not None:
            self.socket.bind(here)
        self.socket.connect(address)
        self.mids = itertools.count(mid)
        self.credential = [] if token is None else [(CREDENTIAL, token.encode())]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(
        self,
        code: int,
        path: str = "",
        payload: bytes = b"",
        options: Options = (),
        *,
        kind: int = CON,
        token: bytes = b"\xca\xfe",
        mid: int | None = None,
    ) -> bytes:
        """The bytes of a request with this endpoint's credential."""
        every = [*(segments(path) if path else []), *options, *self.credential]
        return build(kind, code, next(self.mids) if mid is None else mid, token, every, payload)

    def send(self, raw: bytes) -> None:
        self.socket.send(raw)

    def receive(self, seconds: float = 5) -> Message:
        """The next datagram; TimeoutError when none comes."""
        if not select.select([self.socket], [], [], seconds)[0]:
            raise TimeoutError(f"no datagram in {seconds} s")
        return read(self.socket.recv(65535))

    def silence(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for so long."""
        return not select.select([self.socket], [], [], seconds)[0]

    def ask(
        self, code: int, path: str = "", payload: bytes = b"", *args: Any, **kw: Any
    ) -> Message:
        self.send(self.request(code, path, payload, *args, **kw))
        return self.receive()

    def acknowledge(self, message: Message) -> None:
        self.send(build(ACK, 0, message.mid))

    def reset(self, message: Message) -> None:
        self.send(build(RST, 0, message.mid))


def coap_address(core: Core, seconds: float = 10) -> tuple[str, int]:
    """Where the core's CoAP door really is, from its banner."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for line in list(core.log):
            if match := ADDRESS.match(line.rstrip()):
                return match[1].decode().strip("[]"), int(match[2])
        time.sleep(0.01)
    raise TimeoutError(f"no coap: line: {core.stderr()}")


def settled(look: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether this becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if look():
            return True
        time.sleep(0.02)
    return False
