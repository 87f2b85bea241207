"""Sides, plans and limits of `sync`, `put -r` and `get -r`."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from pathlib import Path
from typing import Any

from elastik.paths import canonical_prefix
from elastik_cli import trees
from elastik_cli.completion import as_text
from elastik_cli.exits import Exit, Failure, Quit
from elastik_cli.secrets import need_to_write
from elastik_cli.session import Session
from elastik_cli.trees import Chosen, Step


def everything(_name: str) -> bool:
    return True


def side(text: str) -> tuple[str | None, str] | None:
    """(context, prefix) of `:PREFIX` or `CONTEXT:PREFIX`; None for a local directory."""
    head, colon, tail = as_text(text).partition(":")
    if not colon or "/" in head or head == ".":
        return None
    return head or None, canonical_prefix(tail)


def sync(
    session: Session, source: str, target: str, chosen: Chosen, *, delete: bool
) -> tuple[Session, list[Step]]:
    """The session of the server's side, and the steps that make `target` as `source`."""
    there, here = side(source), side(target)
    if (there is None) is (here is None):
        hint = "such as: elastik sync ./site :site"
        raise Failure("one side is a directory, the other :PREFIX", Exit.USAGE, hint)
    context, prefix = there or here or (None, "")
    if context:
        session.flags = copy(session.flags)
        session.flags.context = context
    if there is None:
        client = session.client("approve" if delete else need_to_write(f"{prefix}/x"))
        steps = trees.plan_up(
            session, client, Path(source), prefix, chosen, compare=True, delete=delete
        )
    else:
        client = session.client("read")
        steps = trees.plan_down(
            session, client, prefix, Path(target), chosen, compare=True, delete=delete
        )
    return session, list(steps)


def show(session: Session, steps: Iterable[Step]) -> None:
    """The plan: action, size and path of each step."""

    def line(row: Any) -> str:
        return f"{row['action']}\t{row['size']}\t{row['path']}"

    rows = (step.record() for step in steps)
    session.out.rows(rows, line, human=session.out.aligned(line))
    session.out.flush()


def limit_deletes(steps: list[Step], most: int | None) -> None:
    """Refuse a plan that deletes more than was foreseen.

    Raises:
        Failure: nothing has been done yet.
    """
    count = sum(step.action in ("delete", "remove") for step in steps)
    if most is not None and count > most:
        raise Failure(f"{count} deletes, more than --max-delete {most}", Exit.CONFLICT)


def carry_out(session: Session, steps: list[Step], jobs: int) -> None:
    """Do the steps; some failing is PARTIAL, all failing is FAILED."""
    need = "read"
    for step in steps:
        if step.action == "delete":
            need = "approve"
        elif step.action == "put" and need == "read":
            need = need_to_write(step.path)
    failed = trees.apply(session, session.client(need), steps, jobs)
    if failed:
        raise Quit(Exit.PARTIAL if len(failed) < len(steps) else Exit.FAILED)


def put_tree(session: Session, directory: str, prefix: str, jobs: int) -> None:
    """Store every file below `directory` under `prefix`; a line for each."""
    prefix = canonical_prefix(as_text(prefix))
    client = session.client(need_to_write(f"{prefix}/x"))
    steps = list(
        trees.plan_up(
            session, client, Path(directory), prefix, everything, compare=False, delete=False
        )
    )
    show(session, steps)
    carry_out(session, steps, jobs)


def get_tree(session: Session, prefix: str, directory: str, jobs: int) -> None:
    """Write every path below `prefix` as a file below `directory`; a line for each."""
    prefix = canonical_prefix(as_text(prefix))
    client = session.client("read")
    steps = list(
        trees.plan_down(
            session, client, prefix, Path(directory), everything, compare=False, delete=False
        )
    )
    show(session, steps)
    carry_out(session, steps, jobs)
