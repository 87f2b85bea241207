"""Many worlds as a tree: ls, tree, du, rm, copy, mv, put_many, get_many, open."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from elastik import paths
from elastik.commits import Commits, puts_of
from elastik.errors import NotFound, PreconditionFailed, Unsupported
from elastik.headers import stored_headers
from elastik.history import History
from elastik.responses import Entry, Written
from elastik.sending import Data
from elastik.trees import (
    OldEntries,
    check_depth,
    count_of,
    destination,
    entries_target,
    entry_of,
    fixed,
    receipts,
    refuse_everything,
    transferred,
)

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
        if not self._knows("collections"):
            older = map(OldEntries(root, depth).entry, self._lines("/proc/du", "/proc/du"))
            return (entry for entry in older if entry is not None)
        target = entries_target(root, depth)
        return (entry_of(line) for line in self._lines(target, target))

    def walk(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(path, bytes) of each world at or below `prefix`, in byte order."""
        root = paths.canonical_prefix(prefix)
        if root not in paths.RESERVED and root and self._knows("collections"):
            with contextlib.suppress(NotFound):
                yield root, self._size(root)
        for entry in self.entries(root):
            yield entry["path"], entry["size"]

    def _size(self, path: str) -> int:
        return int(self.head(path).get("content-length", "0"))

    def ls(self, prefix: str = "", *, depth: int = 1) -> Paths:
        """Paths at or below `prefix`, cut at `depth` levels; what is cut ends in ``/``.

        ``depth=1`` is like a directory listing, ``depth=-1`` like ``find``.
        """
        check_depth(depth)
        root = paths.canonical_prefix(prefix)
        if depth == -1:
            return [path for path, _ in self.walk(root)]
        found = [entry["path"] for entry in self.entries(root, depth=depth)]
        itself = root and root not in paths.RESERVED and self._knows("collections")
        if itself and self._is_there(root):
            found.insert(0, root)
        return found

    def _is_there(self, path: str) -> bool:
        try:
            self.head(path)
        except NotFound:
            return False
        return True

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
        if not recursive:
            return int(self.delete(path))
        root = paths.canonical_prefix(path)
        refuse_everything(root, force)
        count = None
        if root and root not in paths.RESERVED:
            count = self._whole_tree("DELETE", root, {})
        if count is not None:
            return count + self.delete(root)
        # Older cores, whole namespaces, and trees beyond the limit of one commit.
        return sum(self.delete(target) for target in self.ls(root, depth=-1) if not fixed(target))

    # -- copy and move -------------------------------------------------------------------------

    def copy(
        self, src: str, dst: str, *, overwrite: bool = True, atomic: bool = False, **meta: Any
    ) -> Written:
        """Copy body, type and stored headers of `src` to `dst`; `meta` adds ``X-Meta-*``.

        The core does it in one commit (COPY). An older core, and any core when `meta` is given,
        gets GET and PUT; `atomic=True` raises Unsupported instead. `overwrite=False` raises
        FileExistsError when `dst` exists.
        """
        if not meta:
            done = self._transfer("COPY", src, dst, overwrite)
            if done is not None:
                return done
        if atomic:
            raise Unsupported("an atomic copy needs a core with COPY, and no extra metadata")
        with self.stream(src) as source:
            sent = stored_headers(source.headers)
            kind = source.headers.get("content-type", "application/octet-stream")
            try:
                return self.put(
                    dst,
                    source,
                    content_type=kind,
                    create_only=not overwrite,
                    headers=sent,
                    **meta,
                )
            except PreconditionFailed:
                raise FileExistsError(paths.with_namespace(dst)) from None

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
        source, target = paths.canonical_prefix(src), paths.canonical_prefix(dst)
        if source == target:
            raise ValueError("mv() source and destination must be different")
        if not recursive:
            return self._move(source, target, overwrite, atomic)
        if not (source and target):
            raise ValueError("mv(recursive=True) needs a source and a destination prefix")
        sent = destination(target, overwrite)
        moved = self._whole_tree("MOVE", source, sent)
        if moved is not None:
            return moved + (self._is_there(source) and self._move(source, target, overwrite, False))
        if atomic:
            raise Unsupported("this core cannot move that tree in one commit")
        names = self.ls(source, depth=-1)
        pairs = [(name, target + name[len(source) :]) for name in names]
        taken = set() if overwrite else set(self.list()).intersection(new for _, new in pairs)
        if taken:
            raise FileExistsError(min(taken))
        return sum(self._move(old, new, overwrite, False) for old, new in pairs)

    def _move(self, source: str, target: str, overwrite: bool, atomic: bool) -> int:
        try:
            if self._transfer("MOVE", source, target, overwrite) is not None:
                return 1
        except NotFound:
            # 8.3 looked at the destination first.
            if not overwrite and self._is_there(target):
                raise FileExistsError(target) from None
            raise
        if atomic:
            raise Unsupported("an atomic move needs a core with MOVE")
        if not overwrite and self._is_there(target):
            raise FileExistsError(target)
        self.copy(source, target, overwrite=overwrite)
        self.delete(source)
        return 1

    def _whole_tree(self, method: str, root: str, sent: dict[str, str]) -> int | None:
        """MOVE or DELETE of all below `root` by the core; None when it must be done here."""
        if not self._knows("copy and move"):
            return None
        response = self.request(method, root, None, {"Depth": "infinity", **sent})
        count = count_of(response, method, root, sent)
        if count:
            self.clear_cache()
        return count

    def _transfer(self, method: str, src: str, dst: str, overwrite: bool) -> Written | None:
        """COPY or MOVE by the core (RFC 4918 §9.8, §9.9); None when it cannot."""
        if not self._knows("copy and move"):
            return None
        response = self.request(method, src, None, destination(dst, overwrite))
        if response.status in (405, 501):
            self._lacks.add("copy and move")
            return None
        done = transferred(response, method, src, dst, overwrite)
        self.clear_cache(src)
        self.clear_cache(dst)
        return done

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

        return download(self, path, os.fspath(file), tries)


def _each(
    work: Callable[[str], Result], items: Iterable[str], max_workers: int
) -> dict[str, Result]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=max_workers) as pool:
        futures = {item: pool.submit(work, item) for item in items}
        return {item: future.result() for item, future in futures.items()}
