"""Many worlds for asyncio: trees, commits, history, files."""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from elastik import history as old
from elastik import paths
from elastik.aio.verbs import Verbs, joined
from elastik.commits import BATCH, Operation, Outcome, batch_of, outcomes, patch_of, puts_of
from elastik.errors import NotFound, PreconditionFailed, Unsupported
from elastik.headers import stored_headers
from elastik.responses import Entry, Written, etag_value
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
    from elastik.aio.files import WorldReader, WorldWriter
    from elastik.history import At, AuditEvent, Version

Result = TypeVar("Result")
Paths = list[str]


class Commits(Verbs):
    """Changes in one commit, and what was."""

    async def patch(
        self, path: str, changes: Mapping[str, Any] | list[Any], *, if_match: str | None = None
    ) -> Written:
        """A merge patch (RFC 7396) or, as a list, a JSON patch (RFC 6902)."""
        await self._need("patch", "PATCH")
        response = await self._checked("PATCH", path, *patch_of(changes, if_match))
        self.clear_cache(path)
        return {"status": response.status, "etag": response.etag}

    async def batch(self, operations: Iterable[Operation]) -> builtins.list[Outcome]:
        """All of the operations in one commit, or none of them."""
        await self._need("batch", "batches")
        response = await self._checked_page("POST", BATCH, BATCH, *batch_of(operations))
        self.clear_cache()
        return outcomes(response.body)

    async def events(
        self,
        path: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[AuditEvent, None]:
        """The audit chain of a world, newest first, or oldest first from `after` on."""
        import json

        await self._need("history", "audit events page")
        async with aclosing(
            self._lines(old.events_target(path, after, before, limit), path)
        ) as lines:
            async for line in lines:
                yield json.loads(line)

    async def history(self, path: str) -> AsyncGenerator[Version, None]:
        """The kept versions of a world, newest first, without the one in force."""
        await self._need("history", "old versions")
        before = None
        while True:
            target = old.history_target(path, before)
            found = [old.version(line) async for line in self._lines(target, path)]
            for version in found:
                yield version
            if len(found) < old.PAGE:
                return
            before = found[-1]["seq"]

    async def revert(self, path: str, at: At, *, if_match: str | None = None) -> Written:
        """Make the version that was in force `at` an event or a time the newest again."""
        await self._need("history", "old versions")
        validator = etag_value(if_match)
        sent = {"If-Match": validator} if validator is not None else {}
        target = old.version_target(path, at)
        response = await self._checked_page("POST", target, path, b"", sent)
        self.clear_cache(path)
        return {"status": response.status, "etag": response.etag}


class Hierarchy(Commits):
    """Directories that are only prefixes, and whole-tree operations on them."""

    async def list_paths(self) -> Paths:
        """All stored paths in byte order."""
        return await self.list()

    async def list_keys(self) -> Paths:
        """The same as list_paths()."""
        return await self.list()

    async def entries(self, prefix: str = "", *, depth: int = -1) -> AsyncGenerator[Entry, None]:
        """What is stored below `prefix`, in byte order, read as it is consumed."""
        root = paths.canonical_prefix(prefix)
        known = await self._knows("collections")
        target = entries_target(root, depth) if known else "/proc/du"
        older = OldEntries(root, depth)
        async with aclosing(self._lines(target, target)) as lines:
            async for line in lines:
                entry = entry_of(line) if known else older.entry(line)
                if entry is not None:
                    yield entry

    async def walk(self, prefix: str = "") -> AsyncGenerator[tuple[str, int], None]:
        """(path, bytes) of each world at or below `prefix`, in byte order."""
        root = paths.canonical_prefix(prefix)
        if root and root not in paths.RESERVED and await self._knows("collections"):
            size = await self._size(root)
            if size is not None:
                yield root, size
        async with aclosing(self.entries(root)) as entries:
            async for entry in entries:
                yield entry["path"], entry["size"]

    async def _size(self, path: str) -> int | None:
        """Bytes; None when there is no such world."""
        try:
            return int((await self.head(path)).get("content-length", "0"))
        except NotFound:
            return None

    async def _is_there(self, path: str) -> bool:
        return await self._size(path) is not None

    async def ls(self, prefix: str = "", *, depth: int = 1) -> Paths:
        """Paths at or below `prefix`, cut at `depth` levels; -1 for all."""
        check_depth(depth)
        root = paths.canonical_prefix(prefix)
        if depth == -1:
            return [path async for path, _ in self.walk(root)]
        found = [entry["path"] async for entry in self.entries(root, depth=depth)]
        itself = root and root not in paths.RESERVED and await self._knows("collections")
        return [root, *found] if itself and await self._is_there(root) else found

    async def tree(self, prefix: str = "") -> str:
        """The worlds at or below `prefix` as a drawn tree."""
        from elastik.drawing import draw

        root = paths.canonical_prefix(prefix)
        return draw(await self.ls(root, depth=-1), root)

    async def du(self, prefix: str = "") -> dict[str, int]:
        """{path: bytes} of each world at or below `prefix`."""
        return {path: size async for path, size in self.walk(prefix)}

    async def rm(self, path: str, *, recursive: bool = False, force: bool = False) -> int:
        """Delete one world, or with `recursive` all at and below `path`; how many are gone."""
        if not recursive:
            return int(await self.delete(path))
        root = paths.canonical_prefix(path)
        refuse_everything(root, force)
        count = None
        if root and root not in paths.RESERVED:
            count = await self._whole_tree("DELETE", root, {})
        if count is not None:
            return count + await self.delete(root)
        names = await self.ls(root, depth=-1)
        return sum([await self.delete(name) for name in names if not fixed(name)])

    # -- copy and move -------------------------------------------------------------------------

    async def copy(
        self, src: str, dst: str, *, overwrite: bool = True, atomic: bool = False, **meta: Any
    ) -> Written:
        """Copy body, type and stored headers: one commit, or on an older core GET and PUT."""
        done = None if meta else await self._transfer("COPY", src, dst, overwrite)
        if done is not None:
            return done
        if atomic:
            raise Unsupported("an atomic copy needs a core with COPY, and no extra metadata")
        answer = await self._opened_page(paths.target(src), src, {})
        try:
            headers = joined(answer)
            return await self.put(
                dst,
                self._chunks(answer, src),
                content_type=headers.get("content-type", "application/octet-stream"),
                create_only=not overwrite,
                headers=stored_headers(headers),
                **meta,
            )
        except PreconditionFailed:
            raise FileExistsError(paths.with_namespace(dst)) from None
        finally:
            answer.close()

    async def mv(
        self,
        src: str,
        dst: str,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        atomic: bool = False,
    ) -> int:
        """Move one world, or with `recursive` all at and below `src`; how many were moved."""
        source, target = paths.canonical_prefix(src), paths.canonical_prefix(dst)
        if source == target:
            raise ValueError("mv() source and destination must be different")
        if not recursive:
            return await self._move(source, target, overwrite, atomic)
        if not (source and target):
            raise ValueError("mv(recursive=True) needs a source and a destination prefix")
        moved = await self._whole_tree("MOVE", source, destination(target, overwrite))
        if moved is not None:
            if await self._is_there(source):
                moved += await self._move(source, target, overwrite, False)
            return moved
        if atomic:
            raise Unsupported("this core cannot move that tree in one commit")
        names = await self.ls(source, depth=-1)
        pairs = [(name, target + name[len(source) :]) for name in names]
        taken = set() if overwrite else {*await self.list()}.intersection(new for _, new in pairs)
        if taken:
            raise FileExistsError(min(taken))
        return sum([await self._move(here, there, overwrite, False) for here, there in pairs])

    async def _move(self, source: str, target: str, overwrite: bool, atomic: bool) -> int:
        try:
            if await self._transfer("MOVE", source, target, overwrite) is not None:
                return 1
        except NotFound:
            # 8.3 looked at the destination first.
            if not overwrite and await self._is_there(target):
                raise FileExistsError(target) from None
            raise
        if atomic:
            raise Unsupported("an atomic move needs a core with MOVE")
        if not overwrite and await self._is_there(target):
            raise FileExistsError(target)
        await self.copy(source, target, overwrite=overwrite)
        await self.delete(source)
        return 1

    async def _whole_tree(self, method: str, root: str, sent: dict[str, str]) -> int | None:
        """MOVE or DELETE of all below `root` by the core; None when it must be done here."""
        if not await self._knows("copy and move"):
            return None
        response = await self.request(method, root, None, {"Depth": "infinity", **sent})
        count = count_of(response, method, root, sent)
        self.clear_cache()
        return count

    async def _transfer(self, method: str, src: str, dst: str, overwrite: bool) -> Written | None:
        """COPY or MOVE by the core; None when it cannot."""
        if not await self._knows("copy and move"):
            return None
        response = await self.request(method, src, None, destination(dst, overwrite))
        if response.status in (405, 501):
            self._lacks.add("copy and move")
            return None
        done = transferred(response, method, src, dst, overwrite)
        self.clear_cache(src)
        self.clear_cache(dst)
        return done

    # -- many at once --------------------------------------------------------------------------

    async def put_many(
        self,
        items: Mapping[str, Data],
        *,
        max_workers: int = 4,
        atomic: bool = False,
        **kwargs: Any,
    ) -> dict[str, Written]:
        """PUT each item, `max_workers` at a time, or with `atomic` all of them in one commit."""
        if atomic:
            return receipts(items, await self.batch(puts_of(items, **kwargs)) if items else [])
        return await _each(lambda path: self.put(path, items[path], **kwargs), items, max_workers)

    async def get_many(self, paths: Iterable[str], *, max_workers: int = 4) -> dict[str, bytes]:
        """{path: bytes}, `max_workers` at a time; the first failure raises."""
        return await _each(self._body_of, paths, max_workers)

    # -- files ---------------------------------------------------------------------------------

    @overload
    def open(self, path: str, mode: Literal["rb"] = "rb") -> WorldReader: ...

    @overload
    def open(self, path: str, mode: Literal["wb", "ab"], **kwargs: Any) -> WorldWriter: ...

    @overload
    def open(self, path: str, mode: str, **kwargs: Any) -> WorldReader | WorldWriter: ...

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> WorldReader | WorldWriter:
        """``async with e.open(path, "rb") as file: await file.read(10)``; or ``wb``, ``ab``."""
        from elastik.aio.files import WorldReader, WorldWriter

        if mode == "rb" and not kwargs:
            return WorldReader(self, path)
        if mode in ("wb", "ab"):
            return WorldWriter(self, path, mode, **kwargs)
        raise ValueError(f"mode must be 'rb', 'wb' or 'ab', not {mode!r}")

    async def download(self, path: str, file: str | os.PathLike[str], *, tries: int = 5) -> int:
        """GET into a local file, going on where a broken transfer stopped; how many bytes."""
        from elastik.aio.files import download

        return await download(self, path, os.fspath(file), tries)


async def _each(
    work: Callable[[str], Awaitable[Result]], items: Iterable[str], max_workers: int
) -> dict[str, Result]:
    gate = asyncio.Semaphore(max_workers)

    async def one(item: str) -> tuple[str, Result]:
        async with gate:
            return item, await work(item)

    return dict(await asyncio.gather(*(one(item) for item in items)))
