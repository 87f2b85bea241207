"""Download a world into a file, going on where a broken transfer stopped."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from elastik.errors import ElastikError, Unreachable

if TYPE_CHECKING:
    from elastik.verbs import Verbs


def download(client: Verbs, path: str, file: str, tries: int) -> int:
    """See `Elastik.download`."""
    part = file + ".part"
    for attempt in range(1, max(1, tries) + 1):
        try:
            size = _fetch(client, path, part)
            break
        except Unreachable:
            if attempt >= tries:
                raise
            time.sleep(min(0.1 * 2**attempt, 5.0))
    os.replace(part, file)
    _forget(part)
    return size


def _fetch(client: Verbs, path: str, part: str) -> int:
    have, etag = _state(part)
    try:
        source = client.stream(
            path, range=(have, None) if have else None, if_range=etag if have else None
        )
    except ElastikError as exc:
        # Nothing left to send: the part is the whole, if the tag is still the same.
        if exc.status == 416 and have and client.head(path).get("etag") == etag:
            return have
        if exc.status == 416 and have:
            _forget(part)
            os.unlink(part)
            return _fetch(client, path, part)
        raise
    with source:
        start = have if source.status == 206 else 0
        with open(part + ".etag", "w", encoding="ascii") as note:
            note.write(source.etag)
        with open(part, "r+b" if start else "wb") as out:
            out.truncate(start)
            out.seek(start)
            for piece in source:
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
            return out.tell()


def _state(part: str) -> tuple[int, str]:
    """Bytes that are there and the ETag they belong to; (0, "") unless both are known."""
    try:
        with open(part + ".etag", encoding="ascii") as note:
            etag = note.read()
        size = os.path.getsize(part)
    except OSError:
        return 0, ""
    return (size, etag) if etag else (0, "")


def _forget(part: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part + ".etag")
