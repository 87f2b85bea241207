"""Trees of worlds without a wire: what to ask, what an answer means, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from elastik import paths
from elastik.errors import NotFound, PreconditionFailed, Unsupported, error_of
from elastik.headers import stored_headers
from elastik.plans import Ask, Lines, Open, Plan, Plans
from elastik.responses import Entry, Response, Written
from elastik.sending import put_headers, put_options


class Trees(Plans):
    """The plans of ls, rm, copy and mv."""

    def ls(self, prefix: str, depth: int) -> Plan[list[str]]:
        """See `Elastik.ls`."""
        check_depth(depth)
        root = paths.canonical_prefix(prefix)
        found: list[str] = []
        if (yield from self.itself(root)) is not None:
            found.append(root)
        listing = yield from self.listing(root, depth)
        yield Lines(listing.target, listing.target, lambda line: found.extend(listing.names(line)))
        return found

    def itself(self, root: str) -> Plan[int | None]:
        """Bytes of the world that a prefix is, when the core's listing leaves it out."""
        if not root or root in paths.RESERVED or not (yield from self.knows("collections")):
            return None
        return (yield from self.size(root))

    def listing(self, root: str, depth: int) -> Plan[Listing]:
        """The core's own listing below `root`, or that of an older core."""
        old = not (yield from self.knows("collections"))
        return Listing(root, depth, old)

    def rm(self, path: str, recursive: bool, force: bool) -> Plan[int]:
        """See `Elastik.rm`."""
        if not recursive:
            return int((yield from self.delete(path)))
        root = paths.canonical_prefix(path)
        refuse_everything(root, force)
        count = None
        if root and root not in paths.RESERVED:
            count = yield from self._whole_tree("DELETE", root, {})
        if count is not None:
            return count + (yield from self.delete(root))
        # Older cores, whole namespaces, and trees beyond the limit of one commit.
        count = 0
        for name in (yield from self.ls(root, -1)):
            count += not fixed(name) and (yield from self.delete(name))
        return count

    def copy(
        self, src: str, dst: str, overwrite: bool, atomic: bool, meta: Mapping[str, Any]
    ) -> Plan[Written]:
        """See `Elastik.copy`."""
        # A core refuses to copy a world onto itself (RFC 4918 §9.8.5); in 8.3 it was written anew.
        anew = bool(meta) or paths.with_namespace(src) == paths.with_namespace(dst)
        if not anew:
            done = yield from self._transfer("COPY", src, dst, overwrite)
            if done is not None:
                return done
        if atomic:
            raise Unsupported(
                "an atomic copy needs a core with COPY, another path, and no extra metadata"
            )
        source = yield Open(src)
        try:
            kept = stored_headers(source.headers)
            kind = source.headers.get("content-type", "application/octet-stream")
            options, rest = put_options(meta)
            options = {"content_type": kind, "create_only": not overwrite, **options}
            sent = put_headers(False, kept, rest, **options)
            return (yield from self.put(dst, source, sent, False))
        except PreconditionFailed:
            raise FileExistsError(paths.with_namespace(dst)) from None
        finally:
            source.close()

    def mv(self, src: str, dst: str, recursive: bool, overwrite: bool, atomic: bool) -> Plan[int]:
        """See `Elastik.mv`."""
        source, target = paths.canonical_prefix(src), paths.canonical_prefix(dst)
        if source == target:
            raise ValueError("mv() source and destination must be different")
        if not recursive:
            return (yield from self._move(source, target, overwrite, atomic))
        if not (source and target):
            raise ValueError("mv(recursive=True) needs a source and a destination prefix")
        moved = yield from self._whole_tree("MOVE", source, destination(target, overwrite))
        if moved is not None:
            if (yield from self.exists(source)):
                moved += yield from self._move(source, target, overwrite, False)
            return moved
        if atomic:
            raise Unsupported("this core cannot move that tree in one commit")
        names = yield from self.ls(source, -1)
        pairs = [(name, target + name[len(source) :]) for name in names]
        if not overwrite:
            taken = {*(yield from self.names())}.intersection(new for _, new in pairs)
            if taken:
                raise FileExistsError(min(taken))
        for name, new in pairs:
            yield from self._move(name, new, overwrite, False)
        return len(pairs)

    def _move(self, source: str, target: str, overwrite: bool, atomic: bool) -> Plan[int]:
        try:
            if (yield from self._transfer("MOVE", source, target, overwrite)) is not None:
                return 1
        except NotFound:
            # 8.3 looked at the destination first.
            if not overwrite and (yield from self.exists(target)):
                raise FileExistsError(target) from None
            raise
        if atomic:
            raise Unsupported("an atomic move needs a core with MOVE")
        if not overwrite and (yield from self.exists(target)):
            raise FileExistsError(target)
        yield from self.copy(source, target, overwrite, False, {})
        yield from self.delete(source)
        return 1

    def _whole_tree(self, method: str, root: str, sent: dict[str, str]) -> Plan[int | None]:
        """MOVE or DELETE of all below `root` by the core; None when it must be done here."""
        if not (yield from self.knows("copy and move")):
            return None
        response = yield Ask(method, root, None, {"Depth": "infinity", **sent})
        count = count_of(response, method, root, sent)
        if count:
            self.remembered.forget(None)
        return count

    def _transfer(self, method: str, src: str, dst: str, overwrite: bool) -> Plan[Written | None]:
        """COPY or MOVE by the core (RFC 4918 §9.8, §9.9); None when it cannot."""
        if not (yield from self.knows("copy and move")):
            return None
        response = yield Ask(method, src, None, destination(dst, overwrite))
        if response.status in (405, 501):
            self._lacks.add("copy and move")
            return None
        done = transferred(response, method, src, dst, overwrite)
        self.remembered.forget(src)
        self.remembered.forget(dst)
        return done


def check_depth(depth: int) -> None:
    """ValueError for what is no depth of a listing."""
    if depth != -1 and depth < 1:
        raise ValueError("depth must be >= 1, or -1 for all descendants")


def refuse_everything(root: str, force: bool) -> None:
    """ValueError when a recursive removal would take a namespace or more, unless `force`."""
    if not force and (not root or root in paths.NAMESPACES):
        what = f"the whole namespace {root!r}" if root else "every path"
        raise ValueError(f"rm(recursive=True) would delete {what}; pass force=True to confirm")


def destination(path: str, overwrite: bool) -> dict[str, str]:
    """The headers of a COPY or MOVE (RFC 4918 §10.3, §10.6)."""
    return {"Destination": paths.target(path), "Overwrite": "T" if overwrite else "F"}


def count_of(response: Response, method: str, root: str, sent: dict[str, str]) -> int | None:
    """How many a MOVE or DELETE of a whole tree took; None when it must be done one by one."""
    if response.status in (405, 413, 501):
        return None
    if response.status == 412:
        raise FileExistsError(sent.get("Destination", root).lstrip("/"))
    if response.status == 404:
        return 0
    if not response.ok:
        raise error_of(response, method, root)
    return int(response.body or b"0")


def transferred(response: Response, method: str, src: str, dst: str, overwrite: bool) -> Written:
    """The receipt of a COPY or MOVE of one world."""
    if response.status == 412 and not overwrite:
        raise FileExistsError(paths.with_namespace(dst))
    if not response.ok:
        raise error_of(response, method, src)
    # RFC 4918 says 204 where a PUT says 200: to the caller it is the same news.
    return {"status": 200 if response.status == 204 else response.status, "etag": response.etag}


def fixed(path: str) -> bool:
    """The delete ledger is append-only."""
    return path == paths.LEDGER


def receipts(items: Iterable[str], done: Iterable[Written]) -> dict[str, Written]:
    """{path as it was given: receipt}."""
    return {
        path: {"status": one["status"], "etag": one["etag"]}
        for path, one in zip(items, done, strict=True)
    }


class Listing:
    """What is stored below `root`: where the core tells it, and its lines as entries.

    An older core tells only sizes, by /proc/du; its directories are made here, each once.
    """

    def __init__(self, root: str, depth: int, old: bool) -> None:
        self._root = root
        self._depth = depth
        self._old = old
        self._last = ""
        deep = f"?depth={depth}" if depth > 0 else ""
        self.target = "/proc/du" if old else f"/proc/list/{paths.quote(root)}{deep}"

    def names(self, line: bytes) -> list[str]:
        """The path of a line, or nothing."""
        entry = self.entry(line)
        return [] if entry is None else [entry["path"]]

    def entry(self, line: bytes) -> Entry | None:
        """None for what is elsewhere, and for a directory that was there already."""
        if self._old:
            return self._old_entry(line)
        import json

        entry: Entry = json.loads(line)
        return entry

    def _old_entry(self, line: bytes) -> Entry | None:
        path, tab, size = line.decode("utf-8").rpartition("\t")
        if not tab or not paths.under(path, self._root):
            return None
        shown = path if self._depth < 1 else cut(path, self._root, self._depth)
        if shown == path:
            return {"path": path, "size": int(size)}
        if shown == self._last:
            return None
        self._last = shown
        return {"path": shown}


def cut(path: str, root: str, depth: int) -> str:
    """`path`, or its virtual directory `depth` levels below `root`."""
    if path == root:
        return path
    start = len(root) + 1 if root else 0
    parts = path[start:].split("/")
    return path if len(parts) <= depth else path[:start] + "/".join(parts[:depth]) + "/"
