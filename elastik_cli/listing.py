"""Rows of `ls` and what other verbs need to know of many paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from elastik.errors import NotFound
from elastik.paths import RESERVED, under
from elastik_cli import pages
from elastik_cli.browse import children
from elastik_cli.quantities import human_age, human_size
from elastik_cli.session import Session

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

Row = dict[str, Any]


def every_path(session: Session, client: Client) -> list[str]:
    """All paths that the token may see, sorted."""
    return session.patiently(client.list)


def found_under(session: Session, client: Client, prefix: str) -> list[str]:
    """The paths at and below `prefix`.

    Raises:
        NotFound: when there is none, unless everything was asked for.
    """
    return [row["path"] for row in rows(session, client, prefix, depth=-1, long=False)]


def rows(session: Session, client: Client, prefix: str, *, depth: int, long: bool) -> Iterator[Row]:
    """One row for each path or virtual directory below `prefix`, and for `prefix` itself.

    With `long` each path has its size, type, version and time. A server that lists sends just
    that; an older one sends every name it has, and is asked for each head.

    Raises:
        NotFound: when there is none, unless everything was asked for.
    """
    own = _own_row(client, prefix) if prefix else None
    below = session.patiently(lambda: pages.entries(client, prefix, max(depth, 0)))
    if below is None:
        below = _of_older_core(session, client, prefix, depth, long)
        own = None
    seen = own is not None
    if own:
        yield own
    for row in _kinds(below):
        seen = True
        yield row
    if prefix and not seen:
        raise NotFound(404, b"nothing at or below it", method="LIST", path=f"/{prefix}")


def ordered(found: Iterable[Row], by: str) -> Iterator[Row]:
    """The rows by `size` or `age`, the largest or newest first; what has neither comes last."""
    if by == "size":
        return iter(sorted(found, key=lambda row: (-row.get("size", -1), row["path"])))
    by_path = sorted(found, key=lambda row: str(row["path"]))
    return iter(sorted(by_path, key=lambda row: str(row.get("modified", "")), reverse=True))


def _kinds(found: Iterable[Row]) -> Iterator[Row]:
    for row in found:
        if "etag" in row:
            row["etag"] = row["etag"].strip('"')
        yield row | {"kind": "prefix" if row["path"].endswith("/") else "world"}


def _own_row(client: Client, prefix: str) -> Row | None:
    """The row of a path that is itself the prefix, as `ls FILE` shows it."""
    if prefix in RESERVED:
        return None
    try:
        return {"path": prefix, "kind": "world"} | _facts(client.head(prefix))
    except NotFound:
        return None


def _of_older_core(
    session: Session, client: Client, prefix: str, depth: int, long: bool
) -> Iterator[Row]:
    inside = [path for path in every_path(session, client) if under(path, prefix)]
    for path in children(inside, prefix, depth):
        if path.endswith("/") or not long:
            yield {"path": path}
            continue
        try:
            yield {"path": path} | _facts(client.head(path))
        except NotFound:  # deleted since it was listed
            continue


def _facts(headers: Mapping[str, Any]) -> Row:
    return {
        "size": int(headers.get("content-length", 0)),
        "type": headers.get("content-type", ""),
        "etag": headers.get("etag", "").strip('"'),
    }


def show(session: Session, found: Iterator[Row], *, long: bool, nul: bool) -> None:
    """Write the rows: names, or with `long` size, time, type, version and path."""
    out = session.out

    def plain(row: Any) -> str:
        if not long:
            path = row["path"]
            return out.style(path, 1, 34) if row["kind"] == "prefix" else str(path)
        facts = [str(row.get(key, "-")) for key in ("size", "modified", "type", "etag")]
        return "\t".join([*facts, row["path"]])

    def table(kept: list[Any]) -> None:
        out.table([">size", ">age", "type", "path"], [_cells(row) for row in kept])

    out.rows(found, plain, nul=nul, human=table if long else None)


def _cells(row: Row) -> tuple[str, str, str, str]:
    size = human_size(row["size"]) if "size" in row else "-"
    age = "-"
    if moment := row.get("modified"):
        then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        age = human_age(then, datetime.now(timezone.utc))
    return size, age, row.get("type", "-"), row["path"]


def margin(row: Row | None) -> str:
    """Size and age to stand left of a name in a tree; blank for what holds no bytes itself."""
    size, age = _cells(row)[:2] if row else ("", "")
    return f"{size:>6} {age:>4}  "
