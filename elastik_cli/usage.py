"""How many bytes paths hold, summed up and shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from elastik.errors import NotFound
from elastik_cli.browse import cut
from elastik_cli.quantities import human_size
from elastik_cli.session import Session
from elastik_cli.terminal import draws

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

BAR = 20
Sizes = list[tuple[str, int]]


def sizes(session: Session, client: Client, prefix: str) -> Sizes:
    """(path, bytes) of each world at or below `prefix`, by one request.

    Raises:
        NotFound: when there is none, unless everything was asked for.
    """
    found = session.patiently(lambda: list(client.walk(prefix)))
    if prefix and not found:
        raise NotFound(404, b"nothing at or below it", method="LIST", path=f"/{prefix}")
    return found


def summed(rows: Iterable[tuple[str, int]], prefix: str, depth: int) -> Sizes:
    """The same with everything deeper than `depth` summed up in its directory."""
    totals: dict[str, int] = {}
    for path, size in rows:
        name = cut(path, prefix, depth)
        totals[name] = totals.get(name, 0) + size
    return list(totals.items())


def show(session: Session, rows: Sizes, *, human: bool) -> None:
    """`size TAB path` a line; with `human` on a terminal a table with bars."""
    out = session.out
    largest = max((size for _, size in rows), default=0) or 1

    block = "█" if draws() else "#"

    def table(kept: list[Any]) -> None:
        cells = [
            (human_size(row["size"]), block * round(BAR * row["size"] / largest), row["path"])
            for row in kept
        ]
        total = human_size(sum(size for _, size in rows))
        out.table([">size", "share", "path"], [*cells, (total, "", "in all")])

    out.rows(
        ({"path": path, "size": size} for path, size in rows),
        lambda r: f"{human_size(r['size']) if human else r['size']}\t{r['path']}",
        human=table if human else None,
    )
