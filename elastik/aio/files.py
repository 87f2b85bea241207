"""One world as a file for asyncio, and downloads into local files."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from contextlib import aclosing, suppress
from typing import IO, TYPE_CHECKING, Any

from elastik import paths
from elastik.downloads import finished, forget, pause_before, receiving, state
from elastik.errors import ElastikError, NotFound, PreconditionFailed, Unreachable, Unsupported
from elastik.pinned import EVENTS, Pin, Window
from elastik.responses import Written
from elastik.sending import get_headers
from elastik.worlds import SPOOL

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
        piece = self._window.missing(count)
        if piece is not None:
            self._window.fill(await self._fetch(*piece))
        return self._window.take(count)

    async def _fetch(self, first: int, last: int) -> bytes:
        while True:
            response = await self._e.page("GET", self._pin.target, self._pin.headers(first, last))
            if not self._pin.is_other(response):
                return self._pin.bytes_of(response, first, last)
            await self._pin_again()

    async def _pin_again(self) -> None:
        with suppress(Unsupported, NotFound):
            if not self._pin.is_old:
                events = [event async for event in self._e.events(self._path, limit=EVENTS)]
                if self._pin.grown(events):
                    return
                if self._pin.kept([version async for version in self._e.history(self._path)]):
                    return
        raise self._pin.changed()


class WorldWriter:
    """A world as a write-only binary file: stored by one PUT or POST at the end of its block.

    Leaving the ``async with`` block by an exception stores nothing. `written` is the receipt.
    """

    def __init__(self, e: Hierarchy, path: str, mode: str = "wb", **kwargs: Any) -> None:
        self._e = e
        self._path = path
        self._append = mode == "ab"
        self._kwargs = kwargs
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115
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
        if self.closed:
            raise ValueError("I/O operation on closed elastik world")
        return self._spool.write(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._spool.tell()

    def discard(self) -> None:
        """Close without storing anything."""
        self._spool.close()

    async def close(self) -> None:
        """Store what was written."""
        if self.closed:
            return
        try:
            self._spool.seek(0)
            self.written = await self._store()
        finally:
            self.discard()

    async def _store(self) -> Written:
        if not self._append:
            return await self._e.put(self._path, self._spool, **self._kwargs)
        try:
            return await self._e.post(self._path, self._spool)
        except NotFound:
            self._spool.seek(0)
        try:
            return await self._e.put(self._path, self._spool, create_only=True, **self._kwargs)
        except PreconditionFailed:
            # Somebody created it between the two: append after all.
            self._spool.seek(0)
            return await self._e.post(self._path, self._spool)


async def download(client: Hierarchy, path: str, file: str, tries: int) -> int:
    """See `elastik.Elastik.download`."""
    part = file + ".part"
    for attempt in range(1, max(1, tries) + 1):
        try:
            size = await _fetch(client, path, part)
            break
        except Unreachable:
            if attempt >= tries:
                raise
            await asyncio.sleep(pause_before(attempt))
    finished(part, file)
    return size


async def _fetch(client: Hierarchy, path: str, part: str) -> int:
    have, etag = state(part)
    sent = get_headers((have, None) if have else None, None, etag if have else None, None)
    try:
        source = await client._opened_page(paths.target(path), path, sent)
        async with aclosing(client._chunks(source, path)) as pieces:
            start = have if source.status == 206 else 0
            with receiving(part, source.headers.get("ETag", ""), start) as out:
                async for piece in pieces:
                    out.write(piece)
                return await asyncio.to_thread(_settled, out)
    except ElastikError as exc:
        if exc.status != 416 or not have:
            raise
        # Nothing left to send: the part is the whole, if the tag is still the same.
        if (await client.head(path)).get("etag") == etag:
            return have
        forget(part)
        os.unlink(part)
        return await _fetch(client, path, part)


def _settled(out: IO[bytes]) -> int:
    out.flush()
    os.fsync(out.fileno())
    return out.tell()
