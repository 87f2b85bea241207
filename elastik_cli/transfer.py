"""Bodies on their way to standard output or into a file: exact, whole or not at all."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastik_cli import pages, progress
from elastik_cli.config import replace_file
from elastik_cli.exits import Exit, Failure
from elastik_cli.session import Session
from elastik_cli.terminal import needs_care, stdout_is_terminal

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

Span = tuple[int, "int | None"]


def parse_span(text: str | None) -> Span | None:
    """First and last byte of `A-B` or `A-`.

    Raises:
        Failure: when `text` is neither.
    """
    if text is None:
        return None
    if not (match := re.fullmatch(r"(\d+)-(\d*)", text)):
        raise Failure(f"not a range: {text!r}", Exit.USAGE, "such as 0-99 or 100-")
    first, last = int(match[1]), int(match[2]) if match[2] else None
    if last is not None and last < first:
        raise Failure(f"not a range: {text!r}", Exit.USAGE, "the first byte stands first")
    return first, last


def show_body(session: Session, client: Client, path: str, *, span: str | None, raw: bool) -> None:
    """Write the body to standard output; a terminal gets only what cannot harm it."""
    pieces = session.patiently(lambda: client.stream(path, range=parse_span(span)))
    if stdout_is_terminal():
        to_terminal(session, path, b"".join(pieces), raw=raw)
        return
    with progress.receiving(session, path, pieces) as counted:
        for piece in counted:
            session.out.bytes(piece)


def show_version(
    session: Session, client: Client, path: str, at: str, output: str | None, *, raw: bool
) -> None:
    """Write the version of `path` at that event or time to standard output or into a file."""
    body = session.patiently(lambda: pages.version(client, path, at)).body
    if output and output != "-":
        replace_file(Path(output), body, 0o666)
    elif stdout_is_terminal():
        to_terminal(session, path, body, raw=raw)
    else:
        session.out.bytes(body)


def to_terminal(session: Session, path: str, body: bytes, *, raw: bool) -> None:
    """Write a body to a terminal, unless the terminal would obey it."""
    if not raw and needs_care(body):
        raise Failure(
            f"{path}: {len(body)} bytes that could confuse this terminal",
            hint="-o FILE, or | less, or --raw",
        )
    session.out.bytes(body)
    session.out.flush()
    if body and not body.endswith(b"\n"):
        sys.stderr.write("\n")
        session.say("(no newline at the end)")


def download(
    session: Session, client: Client, path: str, output: str, *, resume: bool, span: str | None
) -> None:
    """Write the body to FILE.part and rename it to FILE when it is whole.

    With `resume` an earlier FILE.part is continued, if the server still holds the same version.
    """
    target = Path(output)
    part = target.with_name(target.name + ".part")
    note = target.with_name(target.name + ".part.etag")
    have = part.stat().st_size if resume and part.exists() and note.exists() else 0
    headers: dict[str, Any] = {}
    wanted = parse_span(span)
    if have and not wanted:
        wanted, headers = (have, None), {"If-Range": note.read_text().strip()}
    stream = session.patiently(lambda: client.stream(path, range=wanted, headers=headers))
    continued = bool(have) and stream.status == 206
    bar = progress.receiving(session, path, stream)
    with open(part, "ab" if continued else "wb") as file, bar as pieces:
        note.write_text(stream.headers.get("etag", ""))
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, target)
    note.unlink(missing_ok=True)
    session.note(f"{path}: {target.stat().st_size} bytes" + (", continued" if continued else ""))
