"""What the client returns: raw responses, write receipts, header dicts, byte streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from types import TracebackType

    from elastik.transport import Answer


@dataclass(frozen=True)
class Response:
    """One HTTP answer as it came: `status`, lower-case `headers`, whole `body`."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Below 400."""
        return self.status < 400

    @property
    def etag(self) -> str:
        """With its quotes; empty when there is none."""
        return self.headers.get("etag", "")

    @property
    def not_modified(self) -> bool:
        """304."""
        return self.status == 304

    @property
    def created(self) -> bool:
        """201."""
        return self.status == 201


class Written(TypedDict):
    """Receipt of a write: HTTP status (201 new, 200 replaced or appended) and the quoted ETag."""

    status: int
    etag: str


class Entry(TypedDict, total=False):
    """One line of a listing; see `Elastik.entries`."""

    path: str
    size: int
    etag: str
    type: str
    modified: str
    events: int


# Response headers by their names on the wire; all optional, values always text.
WorldMeta = TypedDict(
    "WorldMeta",
    {
        "etag": str,
        "content-type": str,
        "content-length": str,
        "content-encoding": str,
        "content-language": str,
        "content-disposition": str,
        "cache-control": str,
        "accept-ranges": str,
        "last-modified": str,
        "link": str,
        "access-control-allow-origin": str,
        "access-control-allow-methods": str,
        "access-control-allow-headers": str,
        "access-control-expose-headers": str,
        "access-control-max-age": str,
        "content-security-policy": str,
        "x-frame-options": str,
        "x-content-type-options": str,
        "strict-transport-security": str,
        "permissions-policy": str,
        "cross-origin-opener-policy": str,
        "cross-origin-embedder-policy": str,
        "cross-origin-resource-policy": str,
    },
    total=False,
)


class ByteStream(Iterator[bytes]):
    """A body that is read piece by piece; iterate it or `read()`, and close it (or use `with`)."""

    def __init__(self, answer: Answer, chunk: int = 64 * 1024) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.answer = answer
        self._chunk = chunk
        self._kept = b""

    @property
    def etag(self) -> str:
        """With its quotes; empty when there is none."""
        return self.headers.get("etag", "")

    @property
    def size(self) -> int | None:
        """Bytes in this answer (of the range, if one was asked for), when the server says it."""
        length = self.headers.get("content-length")
        return int(length) if length is not None else None

    def __iter__(self) -> ByteStream:
        return self

    def __next__(self) -> bytes:
        piece = self._kept or self.answer.read1(self._chunk)
        self._kept = b""
        if not piece:
            raise StopIteration
        return piece

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes unless the body ends before; all that is left when negative."""
        parts, missing = [], size
        while size < 0 or missing > 0:
            piece = next(self, b"")
            if not piece:
                break
            if size >= 0:
                piece, self._kept = piece[:missing], piece[missing:]
                missing -= len(piece)
            parts.append(piece)
        return b"".join(parts)

    def close(self) -> None:
        """Stop reading."""
        self.answer.close()

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def etag_value(value: str | None) -> str | None:
    """A validator for the wire: quoted unless it is `*`, weak or quoted already."""
    if value is None:
        return None
    text = str(value).strip()
    if text == "*" or text.startswith(("W/", '"')):
        return text
    return f'"{text}"'


def header_int(headers: dict[str, str], name: str) -> int | None:
    """A decimal header, or None when it is missing or no number."""
    value: Any = headers.get(name)
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
