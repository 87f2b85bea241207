"""Many worlds as a tree: ls, tree, du, rm, copy, mv, put_many, get_many, open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from elastik import paths
from elastik.commits import Commits, puts_of
from elastik.history import History
from elastik.responses import Entry, Written
from elastik.sending import Data
from elastik.trees import receipts

if TYPE_CHECKING:
    from elastik.worlds import WorldReader, WorldWriter

Item = TypeVar("Item")
Result = TypeVar("Result")
Paths = list[str]
Sizes = dict[str, int]


class Hierarchy(Commits, History):
    """Directories that are only prefixes, and whole-tree operations on them."""

    def list_paths(self) -> Paths:
        """All stored paths in byte order."""
        return self.list()

    def list_keys(self) -> Paths:
        """The same as list_paths(), for who thinks in keys."""
        return self.list()

    def entries(self, prefix: str = "", *, depth: int = -1) -> Iterator[Entry]:
        """What is stored below `prefix`, in byte order, read as it is consumed.

        A world has ``path``, ``size`` (bytes), ``etag``, ``type``, ``modified`` (RFC 3339) and
        ``events`` (number); with `depth` > 0, what lies deeper appears as a directory: only
        ``path``, with ``/`` at its end. An older core gives ``path`` and ``size``.
        """
        root = paths.canonical_prefix(prefix)
        listing = self._do(self._plans.listing(root, depth))
        entries = map(listing.entry, self._lines(listing.target, listing.target))
        return (entry for entry in entries if entry is not None)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(path, bytes) of each world at or below `prefix`, in byte order."""
        root = paths.canonical_prefix(prefix)
        size = self._do(self._plans.itself(root))
        if size is not None:
            yield root, size
        for entry in self.entries(root):
            yield entry["path"], entry["size"]

    def ls(self, prefix: str = "", *, depth: int = 1) -> Paths:
        """Paths at or below `prefix`, cut at `depth` levels; what is cut ends in ``/``.

        ``depth=1`` is like a directory listing, ``depth=-1`` like ``find``.
        """
        return self._do(self._plans.ls(prefix, depth))

    def tree(self, prefix: str = "") -> str:
        """The worlds at or below `prefix` as a drawn tree; ``(empty)`` when there are none."""
        from elastik.drawing import draw

        root = paths.canonical_prefix(prefix)
        return draw(self.ls(root, depth=-1), root)

    def du(self, prefix: str = "", *, max_workers: int = 4) -> Sizes:
        """{path: bytes} of each world at or below `prefix`, by one request.

        `max_workers` is checked and otherwise unused; 8.3 sent one HEAD for each path.
        """
        if max_workers < 1:
            raise ValueError("max_workers must be greater than 0")
        return dict(self.walk(prefix))

    def rm(self, path: str, *, recursive: bool = False, force: bool = False) -> int:
        """Delete one world, or with `recursive` all at and below `path`; how many are gone.

        A recursive removal of everything or of a namespace needs `force`.
        """
        return self._do(self._plans.rm(path, recursive, force))

    # -- copy and move -------------------------------------------------------------------------

    def copy(
        self, src: str, dst: str, *, overwrite: bool = True, atomic: bool = False, **meta: Any
    ) -> Written:
        """Copy body, type and stored headers of `src` to `dst`; `meta` adds ``X-Meta-*``.

        The core does it in one commit (COPY). An older core, and any core when `meta` is given,
        gets GET and PUT; `atomic=True` raises Unsupported instead. `overwrite=False` raises
        FileExistsError when `dst` exists.
        """
        return self._do(self._plans.copy(src, dst, overwrite, atomic, meta))

    def mv(
        self,
        src: str,
        dst: str,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        atomic: bool = False,
    ) -> int:
        """Move one world, or with `recursive` all at and below `src`; how many were moved.

        The core does it in one commit (MOVE). An older core, or a tree beyond the core's limit for
        one commit, gets one world after the other; `atomic=True` raises Unsupported instead.
        FileExistsError unless `overwrite`.
        """
        return self._do(self._plans.mv(src, dst, recursive, overwrite, atomic))

    # -- many at once --------------------------------------------------------------------------

    def put_many(
        self,
        items: Mapping[str, Data],
        *,
        max_workers: int = 4,
        atomic: bool = False,
        **kwargs: Any,
    ) -> dict[str, Written]:
        """PUT each item, `max_workers` at a time; the first failure raises.

        With `atomic` all of them are one commit, or nothing is done (see `batch` for its limits;
        Unsupported on a core before 9).
        """
        if atomic:
            return receipts(items, self.batch(puts_of(items, **kwargs)) if items else [])
        return _each(lambda path: self.put(path, items[path], **kwargs), items, max_workers)

    def get_many(self, paths: Iterable[str], *, max_workers: int = 4) -> dict[str, bytes]:
        """{path: bytes} by GETs, `max_workers` at a time. The first failure raises."""
        return _each(self.get, paths, max_workers)

    # -- files ---------------------------------------------------------------------------------

    @overload
    def open(self, path: str, mode: Literal["rb"] = "rb") -> WorldReader: ...

    @overload
    def open(self, path: str, mode: Literal["wb", "ab"], **kwargs: Any) -> WorldWriter: ...

    @overload
    def open(self, path: str, mode: str, **kwargs: Any) -> WorldReader | WorldWriter: ...

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> WorldReader | WorldWriter:
        """A file-like view: ``rb`` reads with read-ahead, ``wb`` replaces, ``ab`` appends.

        A writer stores when it is closed, and nothing when its `with` block fails; `kwargs` go to
        its `put`. Text modes are not offered: wrap it in `io.TextIOWrapper`.
        """
        from elastik.worlds import WorldReader, WorldWriter

        if mode == "rb" and not kwargs:
            return WorldReader(self, path)
        if mode in ("wb", "ab"):
            return WorldWriter(self, path, mode, **kwargs)
        raise ValueError(f"mode must be 'rb', 'wb' or 'ab', not {mode!r}")

    def download(self, path: str, file: str | os.PathLike[str], *, tries: int = 5) -> int:
        """GET into a local file; how many bytes. A broken transfer is resumed where it stopped.

        Bytes gather in ``FILE.part`` beside it; a later call goes on from there as long as the
        world is unchanged, and `file` appears, whole, only at the end.
        """
        from elastik.downloads import download

        return self._do(download(self._plans, path, os.fspath(file), tries))


def _each(
    work: Callable[[str], Result], items: Iterable[str], max_workers: int
) -> dict[str, Result]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=max_workers) as pool:
        futures = {item: pool.submit(work, item) for item in items}
        return {item: future.result() for item, future in futures.items()}
