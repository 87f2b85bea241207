"""Download a world into a file, going on where a broken transfer stopped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from elastik.errors import ElastikError, Unreachable
from elastik.plans import Open, Pause, Plan, Save
from elastik.sending import get_headers

if TYPE_CHECKING:
    from elastik.plans import Plans


def download(plans: Plans, path: str, file: str, tries: int) -> Plan[int]:
    """See `Elastik.download`."""
    part = file + ".part"
    for attempt in range(1, max(1, tries) + 1):
        try:
            size = yield from _fetched(plans, path, part)
            break
        except Unreachable:
            if attempt >= tries:
                raise
            yield Pause(pause_before(attempt))
    finished(part, file)
    return size


def _fetched(plans: Plans, path: str, part: str) -> Plan[int]:
    have, etag = state(part)
    sent = get_headers((have, None) if have else None, None, etag if have else None, None)
    try:
        source = yield Open(path, sent)
    except ElastikError as exc:
        if exc.status != 416 or not have:
            raise
        # Nothing left to send: the part is the whole, if the tag is still the same.
        if (yield from plans.head(path)).get("etag") == etag:
            return have
        forget(part)
        os.unlink(part)
        return (yield from _fetched(plans, path, part))
    try:
        start = have if source.status == 206 else 0
        with receiving(part, source.headers.get("etag", ""), start) as out:
            size: int = yield Save(source, out)
            return size
    finally:
        source.close()


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
