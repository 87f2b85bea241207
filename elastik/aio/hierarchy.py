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
from elastik.aio.verbs import Verbs
from elastik.commits import Operation, Outcome, batch_of, outcomes, patch_of, puts_of
from elastik.downloads import download
from elastik.responses import Entry, Written
from elastik.sending import Data, match_headers
from elastik.trees import receipts

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
        return await self._do(self._plans.patch(path, *patch_of(changes, if_match)))

    async def batch(self, operations: Iterable[Operation]) -> builtins.list[Outcome]:
        """All of the operations in one commit, or none of them."""
        return outcomes(await self._do(self._plans.batch(*batch_of(operations))))

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

        await self._do(self._plans.need("history", "audit events page"))
        async with aclosing(
            self._lines(old.events_target(path, after, before, limit), path)
        ) as lines:
            async for line in lines:
                yield json.loads(line)

    async def history(self, path: str) -> AsyncGenerator[Version, None]:
        """The kept versions of a world, newest first, without the one in force."""
        await self._do(self._plans.need("history", "old versions"))
        before = None
        while True:
            found = await self._do(old.versions(path, before))
            for version in found:
                yield version
            if len(found) < old.PAGE:
                return
            before = found[-1]["seq"]

    async def revert(self, path: str, at: At, *, if_match: str | None = None) -> Written:
        """Make the version that was in force `at` an event or a time the newest again."""
        sent = match_headers(if_match)
        return await self._do(self._plans.revert(path, old.version_target(path, at), sent))


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
        listing = await self._do(self._plans.listing(root, depth))
        async with aclosing(self._lines(listing.target, listing.target)) as lines:
            async for line in lines:
                entry = listing.entry(line)
                if entry is not None:
                    yield entry

    async def walk(self, prefix: str = "") -> AsyncGenerator[tuple[str, int], None]:
        """(path, bytes) of each world at or below `prefix`, in byte order."""
        root = paths.canonical_prefix(prefix)
        size = await self._do(self._plans.itself(root))
        if size is not None:
            yield root, size
        async with aclosing(self.entries(root)) as entries:
            async for entry in entries:
                yield entry["path"], entry["size"]

    async def ls(self, prefix: str = "", *, depth: int = 1) -> Paths:
        """Paths at or below `prefix`, cut at `depth` levels; -1 for all."""
        return await self._do(self._plans.ls(prefix, depth))

    async def tree(self, prefix: str = "") -> str:
        """The worlds at or below `prefix` as a drawn tree."""
        from elastik.drawing import draw

        root = paths.canonical_prefix(prefix)
        return draw(await self.ls(root, depth=-1), root)

    async def du(self, prefix: str = "", *, max_workers: int = 4) -> dict[str, int]:
        """{path: bytes} of each world at or below `prefix`; `max_workers` is only checked."""
        if max_workers < 1:
            raise ValueError("max_workers must be greater than 0")
        return {path: size async for path, size in self.walk(prefix)}

    async def rm(self, path: str, *, recursive: bool = False, force: bool = False) -> int:
        """Delete one world, or with `recursive` all at and below `path`; how many are gone."""
        return await self._do(self._plans.rm(path, recursive, force))

    # -- copy and move -------------------------------------------------------------------------

    async def copy(
        self, src: str, dst: str, *, overwrite: bool = True, atomic: bool = False, **meta: Any
    ) -> Written:
        """Copy body, type and stored headers: one commit, or on an older core GET and PUT."""
        return await self._do(self._plans.copy(src, dst, overwrite, atomic, meta))

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
        return await self._do(self._plans.mv(src, dst, recursive, overwrite, atomic))

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
        return await _each(self.get, paths, max_workers)

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
        return await self._do(download(self._plans, path, os.fspath(file), tries))


async def _each(
    work: Callable[[str], Awaitable[Result]], items: Iterable[str], max_workers: int
) -> dict[str, Result]:
    gate = asyncio.Semaphore(max_workers)

    async def one(item: str) -> tuple[str, Result]:
        async with gate:
            return item, await work(item)

    return dict(await asyncio.gather(*(one(item) for item in items)))
