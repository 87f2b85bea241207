"""Edit a body: fetch it, let a person change it, store it if nobody else did."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elastik.errors import NotFound, PreconditionFailed
from elastik.headers import stored_headers
from elastik_cli import diffing
from elastik_cli.bodies import guess_type
from elastik_cli.exits import Exit, Failure
from elastik_cli.session import Session

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client


@dataclass
class Version:
    """A body as it was found; no etag when nothing was there."""

    body: bytes
    type: str
    etag: str
    headers: dict[str, str]


def fetch(client: Client, path: str) -> Version:
    """What is at `path` now, perhaps nothing."""
    try:
        with client.stream(path) as stream:
            kind = stream.headers.get("content-type", "")
            return Version(stream.read(), kind, stream.etag, stored_headers(stream.headers))
    except NotFound:
        return Version(b"", guess_type(None, path, None, ""), "", {})


def in_editor(path: str, body: bytes, editor: str | None) -> tuple[bytes, Path]:
    """What the editor leaves, and the file it is in.

    Raises:
        Failure: when the editor fails; the file stays.
    """
    command = editor or os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    name = path.rsplit("/", 1)[-1]
    handle, file = tempfile.mkstemp(prefix="elastik-", suffix=f"-{name[-60:]}")
    with os.fdopen(handle, "wb") as copy:
        copy.write(body)
    try:
        code = subprocess.run([*shlex.split(command), file], check=False).returncode
    except OSError as error:
        Path(file).unlink()
        raise Failure(f"{command}: {error.strerror}", hint="set VISUAL or EDITOR") from None
    if code:
        raise Failure(f"{command}: exit {code}; your text stays in {file}")
    return Path(file).read_bytes(), Path(file)


def store(
    session: Session, client: Client, path: str, before: Version, after: bytes, file: Path
) -> None:
    """Store `after` in place of `before`, with its type and headers.

    Raises:
        Failure: when somebody else wrote meanwhile; shows how theirs differs and keeps the file.
    """
    condition = {"if_match": before.etag} if before.etag else {"create_only": True}
    headers = {k: v for k, v in before.headers.items() if k != "content-type"}
    try:
        client.put(path, after, content_type=before.type, headers=headers, **condition)
    except PreconditionFailed:
        theirs = fetch(client, path)
        left = diffing.Body(f"{path} (theirs)", theirs.type, theirs.body)
        diffing.show(session, left, diffing.Body(str(file), theirs.type, after))
        hint = f"your version is in {file}"
        raise Failure(f"{path}: somebody else wrote first", Exit.CONFLICT, hint) from None
    except Exception:
        session.say(f"your version is in {file}")
        raise
