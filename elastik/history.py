"""Old versions and the audit chain: events, history, revert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from elastik import paths
from elastik.plans import Lines, Plan
from elastik.responses import Written, etag_value
from elastik.sending import match_headers
from elastik.verbs import Verbs

if TYPE_CHECKING:
    from datetime import datetime

    # The id of an event of the world's chain, an RFC 3339 time, or a time.
    At = int | str | datetime

# The core answers with at most so many versions at a time.
PAGE = 1000


class AuditEvent(TypedDict):
    """One row of a world's chain: all that its hmac covers, and its place and time (RFC 3339)."""

    id: int
    seq: int
    time: str
    type: str
    target: str
    size: int
    content_type: str
    headers: dict[str, str]
    body_sha256: str
    meta_sha256: str
    hmac: str
    prev_hmac: str
    key: int | str


class Version(TypedDict):
    """A version that the core has kept: the `event` that made it, its `size` in bytes."""

    event: int
    seq: int
    time: str
    size: int
    etag: str
    type: str


class History(Verbs):
    """What was. All of it raises Unsupported on a core before 9."""

    def events(
        self,
        path: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditEvent]:
        """The audit chain of a world, newest first, read as it is consumed.

        `before` goes on below an ``id``; `after` gives what is above one, oldest first. A memory
        world has no chain and gives nothing. NotFound when there is no such world.
        """
        self._do(self._plans.need("history", "audit events page"))
        import json

        for line in self._lines(events_target(path, after, before, limit), path):
            yield json.loads(line)

    def history(self, path: str) -> Iterator[Version]:
        """The kept versions of a world, newest first; the one in force is not among them.

        What is kept, the core's ELASTIK_HISTORY says.
        """
        self._do(self._plans.need("history", "old versions"))
        before = None
        while True:
            found = self._do(versions(path, before))
            yield from found
            if len(found) < PAGE:
                return
            before = found[-1]["seq"]

    def revert(self, path: str, at: At, *, if_match: str | None = None) -> Written:
        """Make the version that was in force `at` an event or a time the newest again.

        It is a write like any other, and the version it replaces is kept by the rule. Needs the
        right to delete. NotFound when that version is not kept.
        """
        sent = match_headers(if_match)
        return self._do(self._plans.revert(path, version_target(path, at), sent))


def versions(path: str, before: int | None) -> Plan[list[Version]]:
    """One page of the kept versions of a world, those before sequence number `before`."""
    found: list[Version] = []
    yield Lines(history_target(path, before), path, lambda line: found.append(_version(line)))
    return found


def _version(line: bytes) -> Version:
    """A line of the core with its ETag as everywhere else, in quotes."""
    import json

    found: Version = json.loads(line)
    found["etag"] = etag_value(found["etag"]) or ""
    return found


def events_target(path: str, after: int | None, before: int | None, limit: int | None) -> str:
    """Target of `History.events`."""
    if after is not None and before is not None:
        raise ValueError("after and before exclude each other")
    asked = {"after": after, "before": before, "limit": limit}
    query = "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)
    return f"/proc/audit{paths.target(path)}/events" + (f"?{query}" if query else "")


def history_target(path: str, before: int | None = None) -> str:
    """Target of such a page."""
    query = f"limit={PAGE}" + (f"&before={before}" if before is not None else "")
    return f"/proc/history{paths.target(path)}?{query}"


def version_target(path: str, at: At) -> str:
    """Target of the version in force at an event or a time; a naive time is local, as usual."""
    if not isinstance(at, (int, str)):
        from datetime import timezone

        at = at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return f"/proc/history{paths.target(path)}?at={paths.quote(str(at))}"
