"""Explains the events that a core replays by the operations that clients sent."""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from soak.operations import Operation

PLAIN = "application/octet-stream"
META = hashlib.sha256(b"content-type\0" + PLAIN.encode() + b"\0").hexdigest()


class Broken(AssertionError):
    """The store did not keep its word."""


def event_hmac(key: str, previous: str, kind: str, path: str, sha: str, size: int) -> str:
    """The audit chain's rule (core.md §4.4) for a world without a type or kept headers."""
    fields = {
        "prev": previous,
        "type": kind,
        "target": path.lstrip("/"),
        "body-sha256": sha,
        "size": str(size),
        "content-type": PLAIN,
        "meta-sha256": META,
    }
    message = b""
    for name, value in fields.items():
        text = value.encode()
        message += b"%s\0%d\0%s\0" % (name.encode(), len(text), text)
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


@dataclass
class World:
    """A world as its events make it: the newest hmac, and a hash over its bytes so far."""

    hmac: str
    sha: Any
    size: int
    seq: int


@dataclass
class Event:
    number: int
    path: str
    method: str
    etag: str
    created: str | None

    @classmethod
    def of(cls, fields: dict[str, str]) -> Event:
        return cls(
            int(fields["id"]),
            fields["path"],
            fields["method"],
            fields.get("etag", ""),
            fields.get("created"),
        )


@dataclass
class History:
    """All durable worlds, moved forward by each life's events."""

    key: str
    worlds: dict[str, World] = field(default_factory=dict)
    newest: int = 0
    surprises: int = 0
    """Unanswered operations that took place."""

    def live(self, events: Iterable[Event], operations: Iterable[Operation]) -> None:
        """One life: every event has its operation, every acknowledged operation its event."""
        by_path: dict[str, list[Operation]] = defaultdict(list)
        for operation in operations:
            if operation.done or operation.unknown:
                by_path[operation.path].append(operation)
        per_path: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event.number <= self.newest:
                raise Broken(f"event {event.number} came after {self.newest}")
            self.newest = event.number
            per_path[event.path].append(event)
        for path in by_path.keys() | per_path.keys():
            self._one_world(path, per_path[path], by_path[path])

    def _one_world(self, path: str, events: list[Event], open_: list[Operation]) -> None:
        latest_send = 0.0
        for event in events:
            before = self.worlds.get(path)
            operation = self._explain(event, before, open_)
            open_.remove(operation)
            self.surprises += operation.unknown
            # Which of several deletes an event was cannot be known: their number is enough.
            if event.method == "DELETE":
                continue
            self._conditions(event, before, operation)
            # What was answered before another was sent comes before it.
            if operation.answered < latest_send:
                raise Broken(f"{path}: event {event.number} is out of order")
            latest_send = max(latest_send, operation.sent)
        lost = [operation for operation in open_ if operation.done]
        if lost:
            first = lost[0]
            raise Broken(f"{path}: {len(lost)} acknowledged lost, as {first.verb} {first.etag}")

    def _explain(self, event: Event, before: World | None, open_: list[Operation]) -> Operation:
        same = [operation for operation in open_ if operation.verb == event.method]
        if event.method == "DELETE":
            if before is None or not same:
                raise Broken(f"{event}: nobody deleted this")
            self.worlds.pop(event.path)
            return min(same, key=lambda operation: operation.answered)
        tagged = [operation for operation in same if operation.etag == event.etag]
        for operation in tagged or [o for o in same if o.unknown]:
            after = self._after(event, before, operation)
            if after is not None and f"hmac-{after.hmac}" == event.etag:
                self.worlds[event.path] = after
                return operation
        raise Broken(f"{event}: no operation explains it; {len(same)} of its kind")

    def _after(self, event: Event, before: World | None, operation: Operation) -> World | None:
        if event.method == "POST" and before is None:
            return None
        grown = before is not None and event.method == "POST"
        sha = before.sha.copy() if before and grown else hashlib.sha256()
        sha.update(operation.body)
        size = len(operation.body) + (before.size if before and grown else 0)
        kind, previous = ("append" if grown else "put"), (before.hmac if before else "")
        code = event_hmac(self.key, previous, kind, event.path, sha.hexdigest(), size)
        return World(code, sha, size, event.number)

    @staticmethod
    def _conditions(event: Event, before: World | None, operation: Operation) -> None:
        wanted = operation.headers.get("If-Match")
        if wanted and (before is None or wanted != f'"hmac-{before.hmac}"'):
            raise Broken(f"{event}: it was conditional on {wanted}")
        if "If-None-Match" in operation.headers and before is not None:
            raise Broken(f"{event}: it was conditional on absence")
        if event.created is not None and (event.created == "true") != (before is None):
            raise Broken(f"{event}: created is wrong")
