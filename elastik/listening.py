"""Open a listen stream on any core: what an older one lacks is done on this side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from elastik import paths
from elastik.errors import ElastikError, NotFound
from elastik.events import SILENCE_S, Event, EventStream, with_body
from elastik.plans import Open, Plan, Read

if TYPE_CHECKING:
    from elastik.plans import Plans
    from elastik.transport import Answer
    from elastik.verbs import Verbs


class Listening:
    """A listen request: its patterns, and what of it the core does not do."""

    def __init__(self, pattern: str | Sequence[str], max_inline: int | None) -> None:
        self._patterns = [pattern] if isinstance(pattern, str) else list(pattern)
        # None when bodies are not wanted.
        self._max_inline = max_inline

    def opened(self, plans: Plans, last_event_id: str | int | None) -> Plan[Any]:
        """Open the stream on any core."""
        several = len(self._patterns) < 2 or (yield from plans.knows("several patterns"))
        inline = self._max_inline is not None and (yield from plans.knows("inline events"))
        target = listen_target(self._patterns, several, self._max_inline if inline else None)
        if several:
            # The core chooses.
            self._patterns = []
        sent = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        return (yield Open(target, sent, target, SILENCE_S))

    def finished(self, event: Event) -> Plan[bool]:
        """Give an event its body, if that is wanted; False when the event is not for us."""
        if not is_wanted(event, self._patterns):
            return False
        if self._max_inline is not None and "path" in event:
            with_body(event)
            if "body-state" not in event:
                yield from _fetched(event, self._max_inline)
        return True


def _fetched(event: Event, limit: int) -> Plan[None]:
    """Give an event of an older core its body by GET, if that is still the event's own."""
    event["body"] = None
    if event.get("method") == "DELETE":
        event["body-state"] = "none"
        return
    try:
        source = yield Open(event["path"])
        try:
            size = int(source.headers.get("content-length", "0"))
            event["body-state"] = state_of(event, source.headers.get("etag", ""), size, limit)
            if event["body-state"] == "fetched":
                event["body"] = yield Read(source)
        finally:
            source.close()
    except NotFound:
        event["body-state"] = "superseded"
    except ElastikError:
        event["body"], event["body-state"] = None, "unreachable"


def open_stream(
    client: Verbs, listening: Listening, last_event_id: str | int | None, timeout: float | None
) -> EventStream:
    """The stream of `Elastik.listen`."""
    source = client._do(listening.opened(client._plans, last_event_id))
    return _Adapted(client, listening, source.answer, timeout, last_event_id)


class _Adapted(EventStream):
    """A stream with the filtering and fetching that the core did not do."""

    def __init__(
        self,
        client: Verbs,
        listening: Listening,
        answer: Answer,
        timeout: float | None,
        last_event_id: str | int | None,
    ) -> None:
        super().__init__(answer, timeout=timeout, last_event_id=last_event_id)
        self._client = client
        self._listening = listening

    def __next__(self) -> Event:
        event = super().__next__()
        while not self._client._do(self._listening.finished(event)):
            event = super().__next__()
        return event


def listen_target(patterns: list[str], several: bool, max_inline: int | None) -> str:
    """The target of a listen request; without `several`, of everything."""
    if not patterns:
        raise ValueError("listen needs at least one pattern")
    # An older core takes one pattern: hear everything and choose here.
    quoted = [paths.quote_pattern(text) for text in patterns] if several else ["*"]
    query = [f"pattern={text}" for text in quoted[1:]]
    if max_inline is not None:
        query += ["body=inline", f"max={max_inline}"]
    return f"/listen/{quoted[0]}" + ("?" + "&".join(query) if query else "")


def is_wanted(event: Event, patterns: list[str]) -> bool:
    """False for a path that none of the patterns covers; without patterns the core has chosen."""
    if "path" not in event or not patterns:
        return True
    return any(paths.matches(pattern, event["path"]) for pattern in patterns)


def state_of(event: Event, etag: str, size: int | None, limit: int) -> str:
    """The ``body-state`` of an event whose world looks like this now."""
    if etag.strip('"') != event.get("etag"):
        return "superseded"
    return "too-large" if (size or 0) > limit else "fetched"
