"""Rows of `ls` and what other verbs need to know of many paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elastik.errors import NotFound
from elastik.paths import under
from elastik_cli.browse import children
from elastik_cli.quantities import human_size
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
    found = [path for path in every_path(session, client) if under(path, prefix)]
    if not found and prefix:
        raise NotFound(404, b"nothing at or below it", method="LIST", path=f"/{prefix}")
    return found


def rows(session: Session, client: Client, prefix: str, *, depth: int, long: bool) -> Iterator[Row]:
    """One row for each path or virtual directory, with its head when `long`."""
    for path in children(found_under(session, client, prefix), prefix, depth):
        if path.endswith("/"):
            yield {"path": path, "kind": "prefix"}
        elif not long:
            yield {"path": path, "kind": "world"}
        else:
            try:
                yield {"path": path, "kind": "world"} | _facts(client.head(path))
            except NotFound:  # deleted since it was listed
                continue


def _facts(headers: Mapping[str, Any]) -> Row:
    return {
        "size": int(headers.get("content-length", 0)),
        "type": headers.get("content-type", ""),
        "etag": headers.get("etag", "").strip('"'),
    }


def show(session: Session, found: Iterator[Row], *, long: bool, nul: bool) -> None:
    """Write the rows: names, or with `long` size, type, version and path."""
    out = session.out

    def plain(row: Any) -> str:
        if not long:
            path = row["path"]
            return out.style(path, 1, 34) if row["kind"] == "prefix" else str(path)
        facts = [str(row.get(key, "-")) for key in ("size", "type", "etag")]
        return "\t".join([*facts, row["path"]])

    def table(kept: list[Any]) -> None:
        cells = [
            (
                human_size(row["size"]) if "size" in row else "-",
                row.get("type", "-"),
                row.get("etag", "-")[:16],
                row["path"],
            )
            for row in kept
        ]
        out.table(["> size", "type", "version", "path"], cells)

    out.rows(found, plain, nul=nul, human=table if long else None)
