"""Copy and move: which path goes where, one by one or all below a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elastik.errors import NotFound
from elastik.paths import canonical
from elastik_cli.conditions import Conditions, transfer
from elastik_cli.exits import Exit, Failure
from elastik_cli.listing import found_under
from elastik_cli.session import Session

if TYPE_CHECKING:
    from elastik.client import Elastik as Client

Pairs = list[tuple[str, str]]


def plan(session: Session, client: Client, source: str, target: str, *, recursive: bool) -> Pairs:
    """(from, to) for each path; without `recursive` just the one, which must be a path.

    Raises:
        NotFound: when nothing is at or below the source.
    """
    if source == target:
        raise Failure(f"{source}: source and target are the same", Exit.USAGE)
    if not recursive:
        return [(canonical(source), canonical(target))]
    if target.startswith(f"{source}/") or not source:
        raise Failure(f"{target} lies below {source or 'everything'}", Exit.USAGE)
    found = found_under(session, client, source)
    return [(path, canonical(target + path[len(source) :])) for path in found]


def show_plan(session: Session, pairs: Pairs) -> None:
    """Each pair as a line."""
    rows = ({"from": one, "path": other} for one, other in pairs)
    session.out.rows(rows, lambda row: f"{row['from']}\t{row['path']}")


def conditioned(
    session: Session,
    client: Client,
    method: str,
    pairs: Pairs,
    *,
    overwrite: bool,
    asked: Conditions,
) -> None:
    """COPY or MOVE the one pair by the server, if the conditions hold; print how many."""
    # Who names the version at the target means to replace it.
    transfer(client, method, pairs[0], overwrite=overwrite or bool(asked.target), asked=asked)
    _counted(session, 1)


def copy(session: Session, client: Client, pairs: Pairs, *, overwrite: bool) -> None:
    """Copy each pair and print how many."""
    for one, other in pairs:
        try:
            client.copy(one, other, overwrite=overwrite)
        except FileExistsError:
            raise _taken(other) from None
    _counted(session, len(pairs))


def move(
    session: Session, client: Client, source: str, target: str, *, recursive: bool, overwrite: bool
) -> None:
    """Move one path or all below it, by the server in one step where it can; print how many."""
    try:
        moved = client.mv(source, target, recursive=recursive, overwrite=overwrite)
    except FileExistsError as error:
        raise _taken(str(error)) from None
    if not moved:
        raise NotFound(404, b"nothing at or below it", method="MOVE", path=f"/{source}")
    _counted(session, moved)


def _taken(path: str) -> Failure:
    return Failure(
        f"{path} exists already", Exit.CONFLICT, "mv --overwrite, cp without --create-only"
    )


def _counted(session: Session, count: int) -> None:
    if session.out.json:
        session.out.record({"count": count})
    else:
        session.out.line(str(count))
