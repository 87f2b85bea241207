"""Download a world into a file, going on where a broken transfer stopped."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

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
            time.sleep(pause_before(attempt))
    finished(part, file)
    return size


def _fetch(client: Verbs, path: str, part: str) -> int:
    have, etag = state(part)
    try:
        source = client.stream(
            path, range=(have, None) if have else None, if_range=etag if have else None
        )
    except ElastikError as exc:
        # Nothing left to send: the part is the whole, if the tag is still the same.
        if exc.status == 416 and have and client.head(path).get("etag") == etag:
            return have
        if exc.status == 416 and have:
            forget(part)
            os.unlink(part)
            return _fetch(client, path, part)
        raise
    with source:
        start = have if source.status == 206 else 0
        with receiving(part, source.etag, start) as out:
            for piece in source:
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
            return out.tell()


@contextlib.contextmanager
def receiving(part: str, etag: str, start: int) -> Iterator[IO[bytes]]:
    """The part's file, open for bytes of this version from `start` on."""
    with open(part + ".etag", "w", encoding="ascii") as note:
        note.write(etag)
    with open(part, "r+b" if start else "wb") as out:
        out.truncate(start)
        out.seek(start)
        yield out


def finished(part: str, file: str) -> None:
    """The part is the whole."""
    os.replace(part, file)
    forget(part)


def pause_before(attempt: int) -> float:
    """Seconds to wait after so many attempts that broke."""
    return float(min(0.1 * 2**attempt, 5.0))


def state(part: str) -> tuple[int, str]:
    """Bytes that are there and the ETag they belong to; (0, "") unless both are known."""
    try:
        with open(part + ".etag", encoding="ascii") as note:
            etag = note.read()
        size = os.path.getsize(part)
    except OSError:
        return 0, ""
    return (size, etag) if etag else (0, "")


def forget(part: str) -> None:
    """What is there is of no version any more."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part + ".etag")
