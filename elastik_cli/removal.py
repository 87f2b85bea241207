"""Deleting: which paths, in which order, and how many went."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from elastik import paths
from elastik.errors import ElastikError, NotFound, Unsupported, error_for
from elastik.responses import etag_value
from elastik_cli.completion import as_text
from elastik_cli.exits import Exit, Failure, Quit
from elastik_cli.listing import every_path
from elastik_cli.session import Session

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client


def read_paths(file: str, nul: bool) -> list[str]:
    """The paths in `file` (`-`: standard input), one a line or each ended by NUL."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    parts = content.split(b"\0" if nul else b"\n")
    return [
        paths.canonical(as_text(part.decode("utf-8", "surrogateescape"))) for part in parts if part
    ]


def plan(
    session: Session, client: Client, wanted: Iterable[str], *, recursive: bool, force: bool
) -> list[str]:
    """The paths that a delete of `wanted` takes; with `recursive` all that lie below, too."""
    if not recursive:
        return [paths.canonical(path) for path in wanted]
    for path in wanted:
        if (path == "" or path in paths.RESERVED) and not force:
            raise Failure(
                f"{path or 'everything'} is a whole namespace", Exit.USAGE, "--force if you mean it"
            )
    names = every_path(session, client)
    found: dict[str, None] = {}
    for prefix in wanted:
        below = [n for n in names if paths.under(n, prefix) and n != paths.LEDGER]
        if not below and not force:
            raise NotFound(404, b"nothing below it", method="DELETE", path=f"/{prefix}")
        found.update(dict.fromkeys(below))
    return list(found)


def apply(
    session: Session,
    client: Client,
    plan: list[str],
    *,
    if_match: str | None,
    force: bool,
    purge: bool,
) -> None:
    """Delete each path of `plan` and print how many went.

    A single failure is raised as it is; among many the others go on and the exit code is PARTIAL.
    """
    gone, failed = 0, 0
    for path in plan:
        try:
            delete = partial(_purge if purge else _delete, client, path, if_match)
            if session.patiently(delete):
                gone += 1
                if session.out.json:
                    session.out.record({"path": path, "deleted": True})
            elif not force:
                raise NotFound(404, b"world not found", method="DELETE", path=f"/{path}")
        except ElastikError as error:
            if len(plan) == 1 or not error.status or isinstance(error, Unsupported):
                raise
            failed += 1
            session.say(f"{path}: {error.status}")
    if not session.out.json:
        session.out.line(str(gone))
    if failed:
        raise Quit(Exit.PARTIAL)


def _delete(client: Client, path: str, if_match: str | None) -> bool:
    return client.delete(path, if_match=if_match)


def _purge(client: Client, path: str, if_match: str | None) -> bool:
    """Delete with every kept version; the server removes the bytes from its file."""
    headers = {"X-Elastik-Purge": "1"}
    if if_match:
        headers["If-Match"] = etag_value(if_match) or ""
    answer = client.request("DELETE", path, None, headers)
    if answer.status == 404:
        return False
    if not answer.ok:
        raise error_for(answer.status, answer.body, method="DELETE", path=f"/{path}")
    return True
