"""What happened to a path: its audit chain, and which of its versions can still be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from elastik_cli import pages
from elastik_cli.exits import Exit, Failure
from elastik_cli.output import Output
from elastik_cli.quantities import human_age, human_size
from elastik_cli.session import Session

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

Row = dict[str, Any]
COLUMNS = ["event", "time", "action", "state", "size", "etag", "path"]


def rows(session: Session, client: Client, path: str, count: int | None) -> Iterator[Row]:
    """One row for each event, newest first: COLUMNS, `seq` and `type` (the media type).

    `state` is `current`, `kept` (get --at reads it) or `gone`. Versions of a path that was
    deleted have no event of their own any more: their `action` is None.

    Raises:
        NotFound: when nothing is stored there, nor kept.
        Failure: for a path in memory, which is not audited.
    """
    kept = session.patiently(lambda: list(pages.versions(client, path, count)))
    chain = session.patiently(lambda: pages.events(client, path, count))
    if chain is None:
        raise Failure(f"{path}: not audited, nothing is kept of paths in memory", Exit.NO)
    first = next(chain, None)
    if first is None and not kept:
        client.head(path)  # raises for what is not there
        raise Failure(f"{path}: this server shows no events", Exit.NOT_FOUND)
    return _merged(path, first, chain, kept)


def _merged(
    path: str, first: Row | None, chain: Iterator[Row], kept: Iterable[Row]
) -> Iterator[Row]:
    by_seq = {version["seq"]: version for version in kept}
    if first is not None:
        by_seq.pop(first["seq"], None)
        yield _event(path, first, "current")
    for event in chain:
        state = "kept" if by_seq.pop(event["seq"], None) else "gone"
        yield _event(path, event, state)
    # What is left is of an earlier life of the path, so older than all of the chain.
    for version in by_seq.values():
        yield {"path": path} | version | {"action": None, "state": "kept"}


def _event(path: str, event: Row, state: str) -> Row:
    same = {name: event[name] for name in ("seq", "time", "size")}
    named = {"event": event["id"], "action": event["type"], "state": state}
    return (
        {"path": path}
        | same
        | named
        | {
            "etag": f"hmac-{event['hmac']}",
            "type": event["content_type"],
        }
    )


def plain(row: Any) -> str:
    """COLUMNS, separated by tabs."""
    return "\t".join("-" if row[name] is None else str(row[name]) for name in COLUMNS)


def table(out: Output, found: list[Any]) -> None:
    """For a person: the age in place of the time, a short version."""
    if not found:
        return
    now = datetime.now(timezone.utc)

    def cells(row: Row) -> list[str]:
        then = datetime.fromisoformat(row["time"].replace("Z", "+00:00"))
        size, etag = human_size(row["size"]), row["etag"][:17]
        action = row["action"] or "-"
        return [str(row["event"]), human_age(then, now), action, row["state"], size, etag]

    heads = [">event", ">age", "action", "state", ">size", "version"]
    out.table(heads, [cells(row) for row in found])
