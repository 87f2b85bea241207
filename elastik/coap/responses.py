"""What a CoAP server answered, and which error it stands for."""

from __future__ import annotations

from dataclasses import dataclass, field

from elastik.coap import messages
from elastik.errors import error_for

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
    "4.29": "Too Many Requests",
    "5.00": "Internal Server Error",
    "5.01": "Not Implemented",
    "5.02": "Bad Gateway",
    "5.03": "Service Unavailable",
    "5.04": "Gateway Timeout",
    "5.05": "Proxying Not Supported",
    "5.07": "Insufficient Storage",
}


def code_text(code: int) -> str:
    """``69`` -> ``2.05 Content`` (class in three bits, detail in five)."""
    dotted = messages.code_text(code)
    return f"{dotted} {_MEANINGS[dotted]}" if dotted in _MEANINGS else dotted


def status_of(code: int) -> int:
    """The HTTP status with the same digits: ``0x84`` (4.04) -> 404."""
    return (code >> 5) * 100 + (code & 0x1F)


@dataclass(frozen=True)
class CoapResponse:
    """One answer: numeric `code`, `payload`, `content_format` (or None), datagram `raw`.

    `payload` is the whole body, however many blocks it came in; `raw` is then the first datagram.
    """

    code: int
    payload: bytes
    content_format: int | None
    raw: bytes
    options: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """A 2.xx code."""
        return 64 <= self.code < 96

    @property
    def status(self) -> str:
        """Like ``2.05 Content``."""
        return code_text(self.code)

    @property
    def etag(self) -> str:
        """The ETag in hexadecimal; empty when there is none."""
        return (self.option(messages.ETAG) or b"").hex()

    @property
    def location(self) -> str:
        """Location-Path, the path of what a POST made; empty when there is none."""
        segments = [value for n, value in self.options if n == messages.LOCATION_PATH]
        return "/".join(segment.decode("utf-8", "replace") for segment in segments)

    def option(self, number: int) -> bytes | None:
        """The first value of an option; None without one."""
        return next((value for n, value in self.options if n == number), None)

    def raise_for_status(self, *, method: str = "COAP", path: str = "") -> None:
        """Raise the ElastikError of the HTTP status that corresponds, unless `ok`."""
        if not self.ok:
            raise error_for(status_of(self.code), self.payload, method=method, path=path)


def response_of(message: messages.Message, raw: bytes) -> CoapResponse:
    """An answer as callers see it."""
    kind = message.uint(messages.CONTENT_FORMAT)
    return CoapResponse(message.code, message.payload, kind, raw, message.options)


def parse(data: bytes) -> CoapResponse:
    """A datagram as a response; ValueError when it is not well formed."""
    return response_of(messages.decode(data), data)
