"""Trees of worlds without a wire: what to ask, what an answer means, what is refused."""

from __future__ import annotations

from collections.abc import Iterable

from elastik import paths
from elastik.errors import error_for
from elastik.responses import Entry, Response, Written


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
        raise error_for(
            response.status, response.body, method=method, path=root, headers=response.headers
        )
    return int(response.body or b"0")


def transferred(response: Response, method: str, src: str, dst: str, overwrite: bool) -> Written:
    """The receipt of a COPY or MOVE of one world."""
    if response.status == 412 and not overwrite:
        raise FileExistsError(paths.with_namespace(dst))
    if not response.ok:
        raise error_for(
            response.status, response.body, method=method, path=src, headers=response.headers
        )
    # RFC 4918 says 204 where a PUT says 200: to the caller it is the same news.
    return {"status": 200 if response.status == 204 else response.status, "etag": response.etag}


def fixed(path: str) -> bool:
    """The delete ledger is append-only."""
    return path == paths.LEDGER


def entries_target(root: str, depth: int) -> str:
    """The core's own listing below `root`."""
    return f"/proc/list/{paths.quote(root)}" + (f"?depth={depth}" if depth > 0 else "")


def entry_of(line: bytes) -> Entry:
    """One line of that listing."""
    import json

    entry: Entry = json.loads(line)
    return entry


def receipts(items: Iterable[str], done: Iterable[Written]) -> dict[str, Written]:
    """{path as it was given: receipt}."""
    return {
        path: {"status": one["status"], "etag": one["etag"]}
        for path, one in zip(items, done, strict=True)
    }


class OldEntries:
    """The lines of an older core's /proc/du as entries, each directory once."""

    def __init__(self, root: str, depth: int) -> None:
        self._root = root
        self._depth = depth
        self._last = ""

    def entry(self, line: bytes) -> Entry | None:
        """None for what is elsewhere, and for a directory that was there already."""
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
