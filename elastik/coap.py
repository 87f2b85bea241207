"""One CoAP request over UDP: GET and PUT as the core's door speaks them (RFC 7252, core.md §7)."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from elastik import paths
from elastik.errors import error_for

# The core's private option: the raw token, as `Authorization: Bearer` would carry it.
AUTH_OPTION = 65001
URI_PATH, CONTENT_FORMAT = 11, 12
MAX_DATAGRAM = 1152
CONTENT_FORMATS = {"text/plain": 0, "application/octet-stream": 42}

CON, NON, ACK, RST = range(4)
EMPTY, GET, PUT = 0, 1, 3
# RFC 7252 §4.8: first wait in seconds, spread of its start, number of repetitions.
ACK_TIMEOUT, ACK_RANDOM_FACTOR, MAX_RETRANSMIT = 2.0, 1.5, 4
# RFC 8085 §3.1.1 allows a shorter first wait, but none below one second.
SHORTEST_WAIT = 1.0

_MEANINGS = {
    "2.01": "Created",
    "2.02": "Deleted",
    "2.03": "Valid",
    "2.04": "Changed",
    "2.05": "Content",
    "2.31": "Continue",
    "4.00": "Bad Request",
    "4.01": "Unauthorized",
    "4.02": "Bad Option",
    "4.03": "Forbidden",
    "4.04": "Not Found",
    "4.05": "Method Not Allowed",
    "4.06": "Not Acceptable",
    "4.08": "Request Entity Incomplete",
    "4.09": "Conflict",
    "4.12": "Precondition Failed",
    "4.13": "Request Entity Too Large",
    "4.15": "Unsupported Content-Format",
    "5.00": "Internal Server Error",
    "5.01": "Not Implemented",
    "5.03": "Service Unavailable",
    "5.07": "Insufficient Storage",
}


def code_text(code: int) -> str:
    """``69`` -> ``2.05 Content`` (class in three bits, detail in five)."""
    dotted = f"{code >> 5}.{code & 0x1F:02d}"
    return f"{dotted} {_MEANINGS[dotted]}" if dotted in _MEANINGS else dotted


@dataclass(frozen=True)
class CoapResponse:
    """One answer: numeric `code`, `payload`, `content_format` (or None), datagram `raw`."""

    code: int
    payload: bytes
    content_format: int | None
    raw: bytes

    @property
    def ok(self) -> bool:
        """A 2.xx code."""
        return 64 <= self.code < 96

    @property
    def status(self) -> str:
        """Like ``2.05 Content``."""
        return code_text(self.code)

    def raise_for_status(self, *, method: str = "COAP", path: str = "") -> None:
        """Raise the ElastikError of the HTTP status that corresponds, unless `ok`."""
        if not self.ok:
            status = (self.code >> 5) * 100 + (self.code & 0x1F)
            raise error_for(status, self.payload, method=method, path=path)


class CoapClient:
    """An endpoint with its token, so that they are named once.

    `timeout` is seconds for a whole exchange, repetitions included. Failures of the network are
    TimeoutError or OSError; with `raise_errors` a refusal raises as in `raise_for_status`.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | str = 5683,
        *,
        token: str | bytes | None = None,
        timeout: float = 2.0,
        raise_errors: bool = False,
    ) -> None:
        self.host = host
        self.port = int(port)
        self.token = token
        self.timeout = float(timeout)
        self.raise_errors = bool(raise_errors)

    def get(
        self,
        path: str,
        *,
        token: str | bytes | None = None,
        timeout: float | None = None,
        raise_errors: bool | None = None,
    ) -> CoapResponse:
        """GET a world of at most about 1,140 bytes (core.md §7)."""
        return coap_get(
            self.host,
            self.port,
            path,
            token=self.token if token is None else token,
            timeout=self.timeout if timeout is None else timeout,
            raise_errors=self.raise_errors if raise_errors is None else raise_errors,
        )

    def put(
        self,
        path: str,
        payload: bytes | str,
        *,
        token: str | bytes | None = None,
        content_type: str | None = None,
        timeout: float | None = None,
        raise_errors: bool | None = None,
    ) -> CoapResponse:
        """PUT as ``text/plain`` (str) or ``application/octet-stream`` (bytes)."""
        return coap_put(
            self.host,
            self.port,
            path,
            payload,
            token=self.token if token is None else token,
            content_type=content_type,
            timeout=self.timeout if timeout is None else timeout,
            raise_errors=self.raise_errors if raise_errors is None else raise_errors,
        )


def coap_get(
    host: str,
    port: int | str,
    path: str,
    *,
    token: str | bytes | None = None,
    timeout: float = 2.0,
    raise_errors: bool = False,
) -> CoapResponse:
    """One confirmable GET. See `CoapClient`."""
    response = exchange(host, int(port), request(GET, path, auth=token), timeout)
    if raise_errors:
        response.raise_for_status(method="COAP GET", path=path)
    return response


def coap_put(
    host: str,
    port: int | str,
    path: str,
    payload: bytes | str,
    *,
    token: str | bytes | None = None,
    content_type: str | None = None,
    timeout: float = 2.0,
    raise_errors: bool = False,
) -> CoapResponse:
    """One confirmable PUT; ValueError when it does not fit a datagram. See `CoapClient`."""
    text = isinstance(payload, str)
    kind = content_type or ("text/plain" if text else "application/octet-stream")
    body = payload.encode("utf-8") if isinstance(payload, str) else payload
    packet = request(PUT, path, body, auth=token, content_format=_format_of(kind))
    response = exchange(host, int(port), packet, timeout)
    if raise_errors:
        response.raise_for_status(method="COAP PUT", path=path)
    return response


def _format_of(content_type: str) -> int:
    base = content_type.partition(";")[0].strip().lower()
    if base not in CONTENT_FORMATS:
        known = ", ".join(sorted(CONTENT_FORMATS))
        raise ValueError(f"unsupported CoAP content_type {content_type!r}; supported: {known}")
    return CONTENT_FORMATS[base]


# -- the exchange ----------------------------------------------------------------------------------


def exchange(host: str, port: int, packet: bytes, timeout: float) -> CoapResponse:
    """Send a confirmable request until it is answered; TimeoutError after `timeout` seconds."""
    if len(packet) > MAX_DATAGRAM:
        raise ValueError(
            f"CoAP packet ({len(packet)} bytes) exceeds {MAX_DATAGRAM} byte datagram limit; "
            "use HTTP for large payloads"
        )
    refused: Exception | None = None
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as sock:
            try:
                # Connected: datagrams of other peers never reach us, refusals do.
                sock.connect(address)
                return _converse(sock, packet, time.monotonic() + timeout, timeout)
            except ConnectionError as exc:
                refused = exc
            except TimeoutError:
                late = f"CoAP timeout after {timeout}s waiting for {host}:{port}"
                raise TimeoutError(late) from None
    raise TimeoutError(f"CoAP target {host}:{port} did not respond: {refused}")


def _converse(sock: socket.socket, packet: bytes, deadline: float, timeout: float) -> CoapResponse:
    for wait in _waits(timeout):
        sock.send(packet)
        until = min(deadline, time.monotonic() + wait)
        while (left := until - time.monotonic()) > 0:
            response = _receive(sock, packet, left)
            if response is not None:
                return response
        if time.monotonic() >= deadline:
            break
    raise TimeoutError


def _waits(timeout: float) -> Iterator[float]:
    """Seconds to wait after each sending: doubling, the last as long as time is left."""
    first = min(ACK_TIMEOUT * random.uniform(1, ACK_RANDOM_FACTOR), timeout / 4)
    first = max(first, SHORTEST_WAIT)
    yield from (first * 2**n for n in range(MAX_RETRANSMIT))
    yield timeout


def _receive(sock: socket.socket, packet: bytes, wait: float) -> CoapResponse | None:
    """The answer to `packet`; None when the wait ends or something else arrives."""
    sock.settimeout(wait)
    try:
        data = sock.recv(MAX_DATAGRAM + 1)
    except TimeoutError:
        return None
    if len(data) < 4 or data[0] >> 6 != 1:
        return None
    kind, mid = (data[0] >> 4) & 3, data[2:4]
    own_mid, own_token = packet[2:4], packet[4 : 4 + (packet[0] & 0x0F)]
    if kind == RST and mid == own_mid:
        raise ConnectionResetError("the peer rejected the message")
    if kind == ACK and mid == own_mid and data[1] == EMPTY:
        # The answer comes by itself, later: stop repeating and wait for our token.
        return _separate(sock, own_token, wait)
    token = data[4 : 4 + (data[0] & 0x0F)]
    if token != own_token or (kind == ACK and mid != own_mid):
        return None
    if kind == CON:
        sock.send(bytes([0x40 | ACK << 4, EMPTY]) + mid)
    return parse(data)


def _separate(sock: socket.socket, token: bytes, wait: float) -> CoapResponse | None:
    sock.settimeout(wait)
    while True:
        try:
            data = sock.recv(MAX_DATAGRAM + 1)
        except TimeoutError:
            return None
        if len(data) < 4 or data[4 : 4 + (data[0] & 0x0F)] != token or data[1] == EMPTY:
            continue
        if (data[0] >> 4) & 3 == CON:
            sock.send(bytes([0x40 | ACK << 4, EMPTY]) + data[2:4])
        return parse(data)


# -- the packet ------------------------------------------------------------------------------------


def request(
    method: int,
    path: str,
    payload: bytes = b"",
    *,
    auth: str | bytes | None = None,
    content_format: int | None = None,
) -> bytes:
    """A confirmable request with random message id and token."""
    options = [(URI_PATH, part.encode("utf-8")) for part in paths.canonical(path).split("/")]
    if content_format is not None:
        size = (content_format.bit_length() + 7) // 8
        options.append((CONTENT_FORMAT, content_format.to_bytes(size, "big")))
    if auth:
        options.append((AUTH_OPTION, auth.encode("utf-8") if isinstance(auth, str) else auth))
    token = os.urandom(4)
    head = bytes([0x40 | CON << 4 | len(token), method]) + os.urandom(2) + token
    return head + _encoded(options) + (b"\xff" + payload if payload else b"")


def _encoded(options: list[tuple[int, bytes]]) -> bytes:
    """Options in order of number, each by its distance from the one before (RFC 7252 §3.1)."""
    out, before = bytearray(), 0
    for number, value in options:
        delta, delta_more = _nibble(number - before)
        length, length_more = _nibble(len(value))
        out += bytes([delta << 4 | length]) + delta_more + length_more + value
        before = number
    return bytes(out)


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, (value - 269).to_bytes(2, "big")


def parse(data: bytes) -> CoapResponse:
    """A datagram as a response; ValueError when it is not well formed."""
    if len(data) < 4 or data[0] >> 6 != 1:
        raise ValueError("not a CoAP message of version 1")
    at = 4 + (data[0] & 0x0F)
    if data[0] & 0x0F > 8 or at > len(data):
        raise ValueError("invalid CoAP token")
    number, content_format = 0, None
    while at < len(data) and data[at] != 0xFF:
        first, at = data[at], at + 1
        delta, at = _extended(first >> 4, data, at)
        length, at = _extended(first & 0x0F, data, at)
        number += delta
        value, at = data[at : at + length], at + length
        if at > len(data):
            raise ValueError("truncated CoAP option")
        if number == CONTENT_FORMAT:
            content_format = int.from_bytes(value, "big")
    return CoapResponse(data[1], data[at + 1 :], content_format, data)


def _extended(nibble: int, data: bytes, at: int) -> tuple[int, int]:
    if nibble < 13:
        return nibble, at
    size = nibble - 12
    if size > 2:
        raise ValueError("reserved CoAP option nibble")
    if at + size > len(data):
        raise ValueError("truncated CoAP option")
    more = int.from_bytes(data[at : at + size], "big")
    return more + (13 if size == 1 else 269), at + size
