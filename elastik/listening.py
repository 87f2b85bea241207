"""Open a listen stream on any core: what an older one lacks is done on this side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from elastik import paths
from elastik.errors import ElastikError, NotFound, error_for
from elastik.events import SILENCE_S, Event, EventStream, with_body

if TYPE_CHECKING:
    from elastik.verbs import Verbs


def open_stream(
    client: Verbs,
    pattern: str | Sequence[str],
    last_event_id: str | int | None,
    timeout: float | None,
    max_inline: int | None,
) -> EventStream:
    """The stream of `Elastik.listen`; `max_inline` is None when bodies are not wanted."""
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    several = len(patterns) < 2 or client._knows("several patterns")
    inline = max_inline is not None and client._knows("inline events")
    target = listen_target(patterns, several, max_inline if inline else None)
    sent = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    answer = client._send("GET", target, None, sent, timeout=SILENCE_S)
    if answer.status >= 400:
        raise error_for(
            answer.status, answer.read(), method="GET", path=target, headers=answer.headers
        )
    stream = EventStream(answer, timeout=timeout, last_event_id=last_event_id)
    return _Adapted(client, stream, [] if several else patterns, max_inline)


class _Adapted(EventStream):
    """A stream with the filtering and fetching that the core did not do."""

    def __init__(
        self, client: Verbs, inner: EventStream, patterns: list[str], max_inline: int | None
    ) -> None:
        super().__init__(
            inner._answer, timeout=inner.timeout, last_event_id=inner.last_event_id or None
        )
        self._client = client
        self._patterns = patterns
        self._max_inline = max_inline

    def __next__(self) -> Event:
        while True:
            event = super().__next__()
            if not is_wanted(event, self._patterns):
                continue
            if self._max_inline is not None and "path" in event:
                with_body(event)
                if "body-state" not in event:
                    fetch_body(self._client, event, self._max_inline)
            return event


def fetch_body(client: Verbs, event: Event, limit: int) -> None:
    """Give an event of an older core its body by GET, if that is still the event's own."""
    event["body"] = None
    if event.get("method") == "DELETE":
        event["body-state"] = "none"
        return
    try:
        with client.stream(event["path"]) as body:
            event["body-state"] = state_of(event, body.etag, body.size, limit)
            if event["body-state"] == "fetched":
                event["body"] = body.read()
    except NotFound:
        event["body-state"] = "superseded"
    except ElastikError:
        event["body"], event["body-state"] = None, "unreachable"


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
