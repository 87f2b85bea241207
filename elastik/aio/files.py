"""One world as a file for asyncio."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from elastik.pinned import Pin, Window, piece
from elastik.responses import Written
from elastik.spool import Spool

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from elastik.aio.hierarchy import Hierarchy


class WorldReader:
    """A world as a read-only, seekable binary file; open it by ``async with``.

    It shows the version that was opened, as `elastik.WorldReader` does.
    """

    def __init__(self, e: Hierarchy, path: str) -> None:
        self._e = e
        self._path = path
        self.closed = True

    async def __aenter__(self) -> Self:
        meta = await self._e.head(self._path)
        self._window = Window(int(meta.get("content-length", "0")))
        self._pin = Pin(self._path, meta.get("etag", ""))
        self.closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Reading is over."""
        self.closed = True

    def tell(self) -> int:
        """Bytes from the start."""
        return self._window.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; before the start is the start."""
        return self._window.seek(offset, whence)

    async def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, fewer only at the end; everything that is left when negative."""
        if self.closed:
            raise ValueError("I/O operation on closed elastik world")
        count = self._window.wanted(size)
        missing = self._window.missing(count)
        if missing is not None:
            self._window.fill(await self._e._do(piece(self._e._plans, self._pin, *missing)))
        return self._window.take(count)


class WorldWriter:
    """A world as a write-only binary file: stored by one PUT or POST at the end of its block.

    Leaving the ``async with`` block by an exception stores nothing. `written` is the receipt.
    """

    def __init__(self, e: Hierarchy, path: str, mode: str = "wb", **kwargs: Any) -> None:
        self._e = e
        self._spool = Spool(path, mode, kwargs)
        self.written: Written | None = None

    @property
    def closed(self) -> bool:
        """Stored, or discarded."""
        return self._spool.closed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
        await self.close()

    async def write(self, data: Buffer) -> int:
        """Keep all of `data` until close."""
        return self._spool.write(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._spool.tell()

    def discard(self) -> None:
        """Close without storing anything."""
        self._spool.discard()

    async def close(self) -> None:
        """Store what was written."""
        if self.closed:
            return
        self.written = await self._e._do(self._spool.stored(self._e._plans))
