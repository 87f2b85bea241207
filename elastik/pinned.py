"""Reading one version of a world in pieces: where to read, and what to do when it changes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import suppress

from elastik import paths
from elastik.errors import ElastikError, NotFound, PreconditionFailed, Unsupported, error_of
from elastik.history import PAGE, AuditEvent, Version, events_target, version_target, versions
from elastik.plans import Ask, Lines, Plan, Plans
from elastik.responses import Response

READ_AHEAD = 256 * 1024
# Newer events than these are not looked through for one that is more than an append.
EVENTS = 1000


class Window:
    """A position in `size` bytes, and a piece of them that was read ahead."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.position = 0
        self._ahead = b""
        self._ahead_at = 0

    def seek(self, offset: int, whence: int) -> int:
        """Move; before the start is the start, as in 8.3."""
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}
        if whence not in bases:
            raise ValueError(f"invalid whence: {whence}")
        self.position = max(0, bases[whence] + offset)
        return self.position

    def wanted(self, size: int | None) -> int:
        """How many bytes a read of `size` gives; None and negative mean the rest."""
        left = max(0, self.size - self.position)
        return left if size is None or size < 0 else min(size, left)

    def missing(self, count: int) -> tuple[int, int] | None:
        """First and last byte to fetch before `count` bytes can be taken."""
        skip = self.position - self._ahead_at
        if not count or 0 <= skip <= len(self._ahead) - count:
            return None
        return self.position, min(self.size, self.position + max(count, READ_AHEAD)) - 1

    def fill(self, data: bytes) -> None:
        """Bytes from the position on."""
        self._ahead, self._ahead_at = data, self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if not count:
            return b""
        skip = self.position - self._ahead_at
        data = self._ahead[skip : skip + count]
        self.position += len(data)
        return data


class Pin:
    """The version that was opened. Its bytes are asked for by ETag, so that no two versions mix."""

    def __init__(self, path: str, etag: str) -> None:
        self.path = path
        self.target = paths.target(path)
        self._etag = etag
        self.is_old = False

    def headers(self, first: int, last: int) -> dict[str, str]:
        """Of a GET for these bytes."""
        sent = {"Range": f"bytes={first}-{last}"}
        return {**sent, "If-Match": self._etag} if self._etag else sent

    def is_other(self, response: Response) -> bool:
        """The answer is from another version. 8.3 does not look at If-Match of a GET."""
        if response.status in (412, 416):
            return True
        return response.ok and bool(self._etag) and response.etag != self._etag

    def bytes_of(self, response: Response, first: int, last: int) -> bytes:
        """What was asked for, also from an answer without ranges."""
        if not response.ok:
            raise error_of(response, "GET", self.path)
        return response.body if response.status == 206 else response.body[first : last + 1]

    def grown(self, rows: Iterable[AuditEvent]) -> bool:
        """Since then there were only appends, so the bytes are still there: pin the newest."""
        newest = None
        for row in rows:
            etag = _etag(row["hmac"])
            newest = newest or etag
            if etag == self._etag:
                self._etag = newest
                return True
            if row["type"] != "append":
                return False
        return False

    def kept(self, versions: Iterable[Version]) -> bool:
        """The core has kept that version: read it there."""
        for version in versions:
            if version["etag"] == self._etag:
                self.target = version_target(self.path, version["event"])
                self.is_old = True
                return True
        return False

    def changed(self) -> ElastikError:
        """The error when it is gone."""
        reason = b"the world changed after it was opened, and that version is not kept"
        return PreconditionFailed(412, reason, method="GET", path=self.path)


def piece(plans: Plans, pin: Pin, first: int, last: int) -> Plan[bytes]:
    """These bytes of the pinned version, wherever it is now."""
    while True:
        answer = yield Ask("GET", pin.target, None, pin.headers(first, last), pin.target)
        if not pin.is_other(answer):
            return pin.bytes_of(answer, first, last)
        with suppress(Unsupported, NotFound):
            if (yield from _found_again(plans, pin)):
                continue
        raise pin.changed()


def _found_again(plans: Plans, pin: Pin) -> Plan[bool]:
    if pin.is_old:
        return False
    yield from plans.need("history", "old versions")
    rows: list[AuditEvent] = []
    target = events_target(pin.path, None, None, EVENTS)
    yield Lines(target, pin.path, lambda line: rows.append(json.loads(line)))
    if pin.grown(rows):
        return True
    before = None
    while True:
        found = yield from versions(pin.path, before)
        if pin.kept(found):
            return True
        if len(found) < PAGE:
            return False
        before = found[-1]["seq"]


def _etag(hmac: str) -> str:
    return f'"hmac-{hmac.removeprefix("hmac-")}"'
