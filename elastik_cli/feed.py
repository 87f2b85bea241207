"""The stream of events: connect, resume, reconnect, and say when something was missed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from elastik.errors import ElastikError, NoAnswer
from elastik_cli.patience import pause_before, worth_another_try

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

# Events taken from the server and not yet handled; beyond that the server has to wait.
WINDOW = 1000
LARGEST_BODY = 64 * 1024 * 1024
FIELDS = {"event", "id", "data", "path", "method", "etag", "type", "size", "time"}
BODY_FIELDS = {"body", "body-state", "body-base64"}


@dataclass
class Event:
    """One change of one path; `path` is canonical, without the leading slash."""

    kind: str
    path: str
    id: int | None = None
    etag: str = ""
    type: str = ""
    size: str = ""
    time: str = ""
    body: bytes | None = None
    body_state: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The event as one JSON object; what the server did not say is left out."""
        found: dict[str, Any] = {"event": self.kind, "id": self.id, "path": self.path}
        found |= {key: v for key in ("etag", "type", "time") if (v := getattr(self, key))}
        if self.size.isdigit():
            found["size"] = int(self.size)
        found |= self.more
        if self.body is not None:
            found |= in_json(self.body)
        return found


def in_json(body: bytes) -> dict[str, str]:
    """A body as a JSON field: `data` when it is UTF-8, else `data_base64`."""
    try:
        return {"data": body.decode("utf-8")}
    except UnicodeDecodeError:
        import base64

        return {"data_base64": base64.b64encode(body).decode()}


def event_of(raw: dict[str, Any]) -> Event:
    """An event as the SDK parses it."""
    return Event(
        kind=raw["event"],
        path=str(raw.get("path", "")).lstrip("/"),
        id=int(raw["id"]) if str(raw.get("id", "")).isdigit() else None,
        etag=raw.get("etag", ""),
        type=raw.get("type", ""),
        size=str(raw.get("size", "")),
        time=raw.get("time", ""),
        body=raw.get("body"),
        body_state=raw.get("body-state", ""),
        more={k: v for k, v in raw.items() if k not in FIELDS | BODY_FIELDS},
    )


@dataclass
class Gap:
    """Events that the server could not deliver any more; none where it does not know how many."""

    missed: int | None
    reason: str

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Gap:
        """A lag frame's: a server that does not know the number says 0."""
        missed = str(raw.get("missed", ""))
        return cls(int(missed) or None if missed.isdigit() else None, raw.get("reason", "too old"))

    def record(self) -> dict[str, Any]:
        return {"event": "gap", "missed": self.missed, "reason": self.reason}


@dataclass
class Connected:
    """The server answered and events will follow."""


@dataclass
class Lost:
    """The connection is gone; it is tried again after `pause` seconds."""

    error: ElastikError
    attempt: int
    pause: float


@dataclass
class Failed:
    """No use in trying again."""

    error: BaseException


class Feed(threading.Thread):
    """Puts what the server tells into `inbox`, from a thread of its own.

    Refused, reset and silent connections and 5xx answers are tried again, at the start and later,
    `retry` times in a row (None: for ever); any other answer of the server ends the feed.
    """

    def __init__(
        self,
        client: Client,
        patterns: Iterable[str],
        inbox: SimpleQueue[Any],
        *,
        since: int | None = None,
        bodies: bool = False,
        retry: int | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.client, self.patterns, self.inbox = client, list(patterns), inbox
        self.since, self.bodies, self.retry = since, bodies, retry
        self._room = threading.Semaphore(WINDOW)
        self._halt = threading.Event()
        self._stream: Any = None

    def handled(self) -> None:
        """Make room for one more event."""
        self._room.release()

    def stop(self) -> None:
        """Take no more events."""
        self._halt.set()
        self._room.release()
        if self._stream is not None:
            self._stream.close()

    def run(self) -> None:
        failures = 0
        while not self._halt.is_set():
            try:
                failures = self._listen_once(failures)
                error: ElastikError = NoAnswer(0, b"the server ended the stream")
            except ElastikError as exc:
                error = exc
            except Exception as exc:
                self.inbox.put(Failed(exc))
                return
            failures += 1
            if not worth_another_try(error) or (self.retry is not None and failures > self.retry):
                self.inbox.put(Failed(error))
                return
            pause = pause_before(failures, error)
            if not self._halt.is_set():
                self.inbox.put(Lost(error, failures, pause))
            self._halt.wait(pause)

    def _listen_once(self, failures: int) -> int:
        last = None if self.since is None else str(self.since)
        self._stream = self.client.listen(
            self.patterns, last_event_id=last, inline=self.bodies, max_inline=LARGEST_BODY
        )
        if self.since is None and self._stream.last_event_id.isdecimal():
            # Nothing has come yet: what happens while a connection is lost must not be, too.
            self.since = int(self._stream.last_event_id)
        if self._halt.is_set():
            self._stream.close()
        self.inbox.put(Connected())
        for raw in self._stream:
            failures = 0
            if raw["event"] == "lag":
                self.inbox.put(Gap.of(raw))
                continue
            self._room.acquire()
            if self._halt.is_set():
                break
            event = event_of(raw)
            self.inbox.put(event)
            if event.id is not None:
                self.since = event.id
        return failures
