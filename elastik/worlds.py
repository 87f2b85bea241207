"""One world as a path, a readable file, a writable file."""

from __future__ import annotations

import fnmatch
import io
from typing import TYPE_CHECKING, Any, Literal, overload

from elastik.errors import NotFound
from elastik.pinned import Pin, Window, piece
from elastik.responses import WorldMeta, Written
from elastik.spool import Spool

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import WriteableBuffer
    from typing_extensions import Buffer

    from elastik.hierarchy import Hierarchy
    from elastik.sending import Data


class WorldRef:
    """A path bound to a client, in the manner of pathlib: ``e / "home" / "note"``."""

    def __init__(self, e: Hierarchy, path: str) -> None:
        self._e = e
        self._path = path.strip("/")

    @property
    def path(self) -> str:
        """Without leading slash, as it was composed."""
        return self._path

    def __truediv__(self, child: str) -> WorldRef:
        return WorldRef(self._e, f"{self._path}/{child.strip('/')}")

    def read(self) -> bytes:
        """The body."""
        return self._e.get(self._path)

    def read_text(self, *, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body, decoded."""
        return self.read().decode(encoding, errors)

    def write(self, data: Data, **kwargs: Any) -> Written:
        """PUT; the keywords are those of `Elastik.put`."""
        return self._e.put(self._path, data, **kwargs)

    def exists(self) -> bool:
        """False only for 404."""
        try:
            self.stat()
        except NotFound:
            return False
        return True

    def unlink(self) -> bool:
        """DELETE; False when there was nothing."""
        return self._e.delete(self._path)

    def stat(self) -> WorldMeta:
        """HEAD."""
        return self._e.head(self._path)

    @overload
    def open(self, mode: Literal["rb"] = "rb") -> WorldReader: ...

    @overload
    def open(self, mode: Literal["wb", "ab"], **kwargs: Any) -> WorldWriter: ...

    @overload
    def open(self, mode: str, **kwargs: Any) -> WorldReader | WorldWriter: ...

    def open(self, mode: str = "rb", **kwargs: Any) -> WorldReader | WorldWriter:
        """As `Elastik.open`."""
        return self._e.open(self._path, mode, **kwargs)

    def iterdir(self, depth: int = 1) -> list[WorldRef]:
        """What `ls` finds below, as references; virtual directories too."""
        return [WorldRef(self._e, path) for path in self._e.ls(self._path, depth=depth)]

    def walk(self) -> list[WorldRef]:
        """All worlds at or below."""
        return self.iterdir(depth=-1)

    def glob(self, pattern: str) -> list[WorldRef]:
        """Children whose last segment matches a shell pattern."""
        return [ref for ref in self.iterdir() if fnmatch.fnmatch(ref.name, pattern)]

    def rglob(self, pattern: str) -> list[WorldRef]:
        """Descendants whose last segment matches a shell pattern."""
        return [ref for ref in self.walk() if fnmatch.fnmatch(ref.name, pattern)]

    def rename(self, dst: str, *, overwrite: bool = False) -> WorldRef:
        """Move to the path `dst`; returns the new reference."""
        self._e.mv(self._path, dst, overwrite=overwrite)
        return WorldRef(self._e, dst)

    def rmtree(self, *, force: bool = False) -> int:
        """Delete everything at and below."""
        return self._e.rm(self._path, recursive=True, force=force)

    @property
    def parent(self) -> WorldRef:
        """One segment up; the empty path at the top."""
        return WorldRef(self._e, self._path.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The last segment."""
        return self._path.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """From the last dot of the name on; empty for none and for dot-files."""
        dot = self.name.rfind(".")
        return self.name[dot:] if dot > 0 else ""

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name[: len(self.name) - len(self.suffix)]

    def __fspath__(self) -> str:
        return self._path

    def __str__(self) -> str:
        return self._path

    def __repr__(self) -> str:
        return f"WorldRef({self._path!r})"


class WorldReader(io.RawIOBase):
    """A world as a read-only, seekable binary file; Range requests with read-ahead.

    It shows the version that was opened: bytes appended later are not seen, and when the world is
    replaced, the version is read from the core's history. PreconditionFailed when it is not kept.
    """

    def __init__(self, e: Hierarchy, path: str) -> None:
        super().__init__()
        self._e = e
        meta = e.head(path)
        self._window = Window(int(meta.get("content-length", "0")))
        self._pin = Pin(path, meta.get("etag", ""))

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes from the start."""
        return self._window.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; before the start is the start, as in 8.3."""
        return self._window.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, fewer only at the end; everything that is left when negative."""
        if self.closed:
            raise ValueError("I/O operation on closed elastik world")
        count = self._window.wanted(size)
        missing = self._window.missing(count)
        if missing is not None:
            self._window.fill(self._e._do(piece(self._e._plans, self._pin, *missing)))
        return self._window.take(count)

    def readall(self) -> bytes:
        """Everything that is left."""
        return self.read()

    def readinto(self, buf: WriteableBuffer) -> int:
        """Fill the buffer; 0 at the end."""
        view = memoryview(buf).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


class WorldWriter(io.RawIOBase):
    """A world as a write-only binary file: stored by one PUT or POST when it is closed.

    Leaving its `with` block by an exception stores nothing. `written` is the receipt afterwards.
    """

    def __init__(self, e: Hierarchy, path: str, mode: str = "wb", **kwargs: Any) -> None:
        super().__init__()
        self._e = e
        self._spool = Spool(path, mode, kwargs)
        self.written: Written | None = None

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Buffer) -> int:
        """Keep all of `data` until close."""
        return self._spool.write(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._spool.tell()

    def discard(self) -> None:
        """Close without storing anything."""
        self._spool.discard()
        super().close()

    def close(self) -> None:
        """Store what was written."""
        if self.closed:
            return
        try:
            self.written = self._e._do(self._spool.stored(self._e._plans))
        finally:
            self.discard()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        # Forgotten, not finished: half a file must not replace a whole one.
        if not self.closed:
            self.discard()
