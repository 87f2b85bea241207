"""`Elastik("coap://…")`: requests of the SDK in CoAP's terms (RFC 8075 turned round).

PUT, GET, HEAD, POST and DELETE of worlds, with what CoAP has for their headers. Everything else is
NotOverCoap: nothing is left out in silence.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from elastik.coap import formats, messages, udp
from elastik.coap.messages import Message
from elastik.coap.responses import status_of
from elastik.errors import ElastikError, NotOverCoap
from elastik.transport import Answer, Body, pieces, unreachable

PORT = 5683
# RFC 7252 §4.8.2: after so many seconds nobody answers a request any more.
MAX_TRANSMIT_WAIT_S = 93.0
# An answer that only describes the body: its first block, which comes with Size2.
FIRST_BLOCK = (messages.BLOCK2, messages.Block(0, False, 6).encoded())
# A core gives the first 8 bytes of the hash that its HTTP ETag shows in hexadecimal.
_ETAG = re.compile(r'(?:W/)?"?(?:hmac-|sha256-)?([0-9a-fA-F]{2,})"?')
ETAG_DIGITS = 16


class CoapTransport:
    """Requests to one server over UDP, each from an endpoint of its own."""

    def __init__(self, url: str, *, timeout: float | None = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme.lower() != "coap" or not parts.hostname:
            raise ValueError(f"not a coap URL: {url!r}")
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise ValueError(f"a coap URL of a server is coap://HOST:PORT, not {url!r}")
        self.url, self.timeout = url, timeout
        self.host, self.port = parts.hostname, parts.port or PORT

    def has_idle(self) -> bool:
        """There are no connections."""
        return False

    def close(self) -> None:
        """Nothing is kept open."""

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = None,
        *,
        timeout: float | None = None,
        fresh: bool = False,
        again: bool = True,
    ) -> Answer:
        """One request and its answer, whole. Raises NotOverCoap, Unreachable or TimedOut."""
        request = self.request(method, target, headers, _bytes_of(body))
        wait = self.timeout if timeout is None else timeout
        wait = MAX_TRANSMIT_WAIT_S if wait is None else wait
        try:
            # A HEAD asks for one block and wants no other.
            answer, _ = udp.ask(self.host, self.port, request, wait)
        except OSError as error:
            raise self._no_answer(error, wait, method, target) from error
        conjured = request.value(messages.IF_MATCH) == b""
        return answered(method, answer, conjured=conjured)

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Message:
        """The CoAP request that does the same."""
        if method not in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            raise NotOverCoap(self.url)
        path, query, _ = target.lstrip("/").partition("?")
        if query or path.split("/", 1)[0] in ("proc", "listen"):
            raise NotOverCoap(self.url)
        options = [(messages.URI_PATH, unquote(part).encode()) for part in path.split("/")]
        options += self._options(method, {name.lower(): v for name, v in headers.items()})
        code = messages.METHODS["GET" if method == "HEAD" else method]
        return Message(messages.CON, code, 0, b"", messages.ordered(options), body)

    def _options(self, method: str, headers: dict[str, str]) -> list[tuple[int, bytes]]:
        options: list[tuple[int, bytes]] = []
        for name, value in headers.items():
            found = OPTIONS[name](method, value) if name in OPTIONS else None
            if found is None:
                raise NotOverCoap(self.url, f"{name}: {value}" if name in OPTIONS else name)
            options += found
        if method in ("DELETE", "POST") and "if-match" not in headers:
            # CoAP deletes what is not there and appends to it: with an empty If-Match it must be
            # there, whatever its version (RFC 7252 §5.10.8.1), as with HTTP.
            options.append((messages.IF_MATCH, b""))
        return [*options, FIRST_BLOCK] if method == "HEAD" else options

    def _no_answer(self, error: OSError, wait: float, method: str, target: str) -> ElastikError:
        if isinstance(error, TimeoutError):
            error = TimeoutError(f"silent for {wait:g} s")
        return unreachable(error, method, target)


def answered(method: str, answer: Message, *, conjured: bool = False) -> Answer:
    """An answer in HTTP's terms. `conjured`: its If-Match was ours and says "there is none"."""
    status = status_of(answer.code)
    headers: dict[str, str] = {}
    if answer.code == messages.VALID:
        status = 304
    elif answer.code == messages.PRECONDITION_FAILED and conjured:
        status = 404
    elif answer.ok and answer.code != messages.CREATED:
        status = 200
    if tag := answer.value(messages.ETAG):
        headers["etag"] = f'"{tag.hex()}"'
    if kind := messages.media_type(answer):
        headers["content-type"] = kind
    if answer.code in (messages.UNAVAILABLE, messages.TOO_MANY):
        headers["retry-after"] = str(answer.uint(messages.MAX_AGE) or 1)
    body = b"" if method == "HEAD" and answer.ok else answer.payload
    if method in ("GET", "HEAD") and answer.code == messages.CONTENT:
        block = answer.sound_block(messages.BLOCK2)
        partial = block is not None and block.more
        size = answer.uint(messages.SIZE2) if partial else len(answer.payload)
        if size is not None:
            headers["content-length"] = str(size)
    return Answer(status, headers, io.BytesIO(body))


def _bytes_of(body: Body) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else b"".join(pieces(body))


# -- headers ---------------------------------------------------------------------------------------

Converted = list[tuple[int, bytes]] | None


def _tag(text: str) -> bytes | None:
    """The CoAP ETag of an ETag in HTTP's form; None when it cannot be one of a core's."""
    match = _ETAG.fullmatch(text.strip())
    if match is None or len(match[1]) % 2:
        return None
    return bytes.fromhex(match[1][:ETAG_DIGITS])


def _if_match(method: str, value: str) -> Converted:
    if value.strip() == "*":
        return [(messages.IF_MATCH, b"")]
    tag = _tag(value)
    return None if tag is None else [(messages.IF_MATCH, tag)]


def _if_none_match(method: str, value: str) -> Converted:
    if method == "PUT":
        return [(messages.IF_NONE_MATCH, b"")] if value.strip() == "*" else None
    tag = _tag(value)
    return None if tag is None or method not in ("GET", "HEAD") else [(messages.ETAG, tag)]


def _content_type(method: str, value: str) -> Converted:
    number = formats.number(value)
    return None if number is None else [(messages.CONTENT_FORMAT, messages.uint(number))]


def _authorization(method: str, value: str) -> Converted:
    scheme, _, token = value.partition(" ")
    return [(messages.AUTH, token.encode())] if scheme == "Bearer" else None


def _not_needed(method: str, value: str) -> Converted:
    return []


# A key of an operation is not needed: the core knows a repeated datagram by its bytes.
OPTIONS: dict[str, Callable[[str, str], Converted]] = {
    "authorization": _authorization,
    "content-type": _content_type,
    "if-match": _if_match,
    "if-none-match": _if_none_match,
    "idempotency-key": _not_needed,
}
