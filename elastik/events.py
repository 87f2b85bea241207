"""Server-Sent Events of `/listen`: frames from bytes, a stream any thread can close."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elastik.errors import TimedOut, Unreachable

if TYPE_CHECKING:
    from types import TracebackType

    from elastik.transport import Answer

# The core sends a comment each 15 s (core.md §6.1); two that do not come mean a dead connection.
HEARTBEAT_S = 15.0
SILENCE_S = 2 * HEARTBEAT_S + 2.0
# One frame beyond this is no event of ours; refuse it before it fills the memory.
MAX_FRAME = 256 * 1024 * 1024
_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_FRAME_END = re.compile(_LINE_END + _LINE_END)

Event = dict[str, Any]


class FrameParser:
    """Bytes in, events out; any split of the bytes gives the same events."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._lines = bytearray()
        self._searched = 0
        self._max = max_frame

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        self._lines += data
        found = []
        while (end := _FRAME_END.search(self._lines, self._searched)) is not None:
            # A \r at the very end may be half of \r\n: wait for the other half.
            if end.end() == len(self._lines) and self._lines.endswith(b"\r"):
                break
            frame = bytes(self._lines[: end.start()])
            del self._lines[: end.end()]
            self._searched = 0
            event = parse_frame(frame)
            if event is not None:
                found.append(event)
        else:
            self._searched = max(0, len(self._lines) - 3)
        if len(self._lines) > self._max:
            raise Unreachable(f"an event of more than {self._max} bytes is not from a core")
        return found


def parse_frame(frame: bytes) -> Event | None:
    """One frame without its empty line; None for comments and frames without data."""
    kind, ident, data = "message", "", []
    for line in (
        frame.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value.strip()
        elif name == "id":
            ident = value.strip()
        elif name == "data":
            data.append(value)
    if not data:
        return None
    event: Event = {"event": kind, "id": ident, "data": "\n".join(data)}
    for line in data:
        name, colon, value = line.partition(":")
        if name == "body":
            # Why there are no bytes: superseded, too-large or dropped.
            event["body-state"] = value.strip()
        elif colon and name not in ("event", "id", "data"):
            event[name.strip().lower()] = value.lstrip(" ")
    return event


def with_body(event: Event) -> Event:
    """Decode an inline body: `body` is bytes, or None with `body-state` saying why."""
    encoded = event.pop("body-base64", None)
    event.setdefault("body", None)
    if encoded is not None:
        try:
            event["body"] = base64.b64decode(encoded, validate=True)
            event["body-state"] = "inline"
        except (binascii.Error, ValueError):
            event["body-state"] = "damaged"
    return event


def start_of(headers: Mapping[str, str], asked: str | int | None) -> str:
    """Where to resume while nothing has come: what was asked for, or the newest number.

    A number above the core's newest is from another life of the store. An older core, which does
    not tell its newest, gives "".
    """
    newest = headers.get("x-last-event-id", "")
    wanted = "" if asked is None else str(asked)
    if newest.isdecimal() and not (wanted.isdecimal() and int(wanted) <= int(newest)):
        return newest
    return wanted


class EventStream(Iterator[Event]):
    """An open `/listen` request: iterate it, close it from any thread.

    Each event is a dict with ``event``, ``id`` and ``data``, the parsed ``path``, ``method`` and
    ``etag`` lines, or ``missed`` when ``event`` is ``lag``. ``next()`` raises TimedOut when
    `timeout` seconds pass without an event, Unreachable when even the heartbeat stays away, and
    StopIteration when the server ends the stream or `close()` was called. Each of these ends the
    stream; listen again with ``last_event_id=stream.last_event_id``.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        timeout: float | None = None,
        last_event_id: str | int | None = None,
    ) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.timeout = timeout
        self.last_event_id = start_of(answer.headers, last_event_id)
        self._answer = answer
        self._parser = FrameParser()
        self._ready: list[Event] = []
        self._closed = False

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while not self._ready:
            if self._closed:
                raise StopIteration
            piece = self._read(deadline)
            if not piece:
                self.close()
                raise StopIteration
            self._ready = self._parser.feed(piece)
        event = self._ready.pop(0)
        self.last_event_id = event["id"] or self.last_event_id
        return event

    def _read(self, deadline: float | None) -> bytes:
        wait = SILENCE_S if deadline is None else min(SILENCE_S, deadline - time.monotonic())
        try:
            # A deadline that has passed while heartbeats came still takes what has arrived.
            self._answer.settimeout(max(wait, 0.001))
            return self._answer.read1()
        except TimedOut:
            self._closed = True
            if deadline is not None and wait < SILENCE_S:
                raise TimedOut(
                    f"no event within {self.timeout} s", method="GET", path="/listen"
                ) from None
            raise Unreachable(
                f"nothing heard for {SILENCE_S:.0f} s", method="GET", path="/listen"
            ) from None
        except Unreachable:
            if self._closed:
                return b""
            raise

    def close(self) -> None:
        """End the stream; a reader in another thread stops at once."""
        self._closed = True
        self._answer.interrupt()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._answer.close()
