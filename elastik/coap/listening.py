"""Listening over CoAP: the list of links under observation, each change of it an event.

Every link has `v`, the number of its world's newest event (docs/coap.md). Several changes of one
world between two notifications are one event: of the newest. A deletion has no number.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from elastik import paths
from elastik.coap.client import CoapClient
from elastik.coap.linkformat import Link, links
from elastik.coap.responses import CoapResponse
from elastik.coap.transport import PORT
from elastik.errors import ElastikError, NotFound, NotOverCoap, TimedOut
from elastik.events import Event, EventStream
from elastik.transport import Answer

if TYPE_CHECKING:
    from elastik.verbs import Verbs

# Where the core ends a list (worlds, bytes): what lies behind would look deleted.
MOST_LINKS, MOST_BYTES = 20_000, 1 << 20
# Characters that a link shows as they are.
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")
FIRST_WAIT_S = 30.0


def open_events(
    client: Verbs,
    pattern: str | Sequence[str],
    last_event_id: str | int | None,
    timeout: float | None,
    max_inline: int | None,
) -> EventStream:
    """The stream of `Elastik.listen`; the server has answered when this returns."""
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    if not patterns:
        raise ValueError("listen needs at least one pattern")
    return LinkStream(client, patterns, last_event_id, timeout, max_inline)


def href_of(patterns: list[str]) -> str:
    """The filter of RFC 6690 that covers every pattern, as narrow as it can say it; "" for all."""
    hrefs = ["/" + _href(paths.canonical_pattern(pattern)) for pattern in patterns]
    if len(hrefs) == 1:
        return "" if hrefs[0] == "/*" else hrefs[0]
    heads = [href.rstrip("*") for href in hrefs]
    common = os.path.commonprefix(heads)  # noqa: RUF071 (letters, not parts, are compared)
    return "" if common == "/" else f"{common}*"


def _href(pattern: str) -> str:
    plain = _PLAIN.match(pattern)
    assert plain is not None
    return pattern if plain.end() == len(pattern) else f"{plain.group()}*"


class LinkStream(EventStream):
    """Events made from a list of links that is being observed."""

    def __init__(
        self,
        client: Verbs,
        patterns: list[str],
        last_event_id: str | int | None,
        timeout: float | None,
        max_inline: int | None,
    ) -> None:
        self._client, self._patterns, self._max_inline = client, patterns, max_inline
        parts = urlsplit(client.url)
        asker = CoapClient(
            parts.hostname or "", parts.port or PORT, token=client.bearer_token, raw_paths=True
        )
        href = href_of(patterns)
        query = f"?href={href}" if href else ""
        # Who reads the stream decides about another try, and begins at `last_event_id` then.
        self._lists = asker.observe(f".well-known/core{query}", retry=0)
        self._lists.timeout = client.timeout or FIRST_WAIT_S
        try:
            first = self._worlds_in(next(self._lists))
        except BaseException:
            self._lists.close()
            raise
        self._versions = versions_of(first)
        newest = max(self._versions.values(), default=0)
        super().__init__(Answer(200, {}, io.BytesIO()), timeout=timeout)
        asked = str(last_event_id if last_event_id is not None else "")
        known = asked.isdecimal() and int(asked) <= newest
        self.last_event_id = asked if known else str(newest)
        if known:
            self._ready = changes(dict.fromkeys(first, int(asked)), self._versions)

    def __next__(self) -> Event:
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while not self._ready:
            if self._closed:
                raise StopIteration
            left = None if deadline is None else deadline - time.monotonic()
            self._lists.timeout = None if left is None else max(left, 0.001)
            try:
                found = versions_of(self._worlds_in(next(self._lists)))
            except TimedOut:
                self.close()
                raise TimedOut(f"no event within {self.timeout} s", method="GET") from None
            self._ready = changes(self._versions, found)
            self._versions = found
        event = self._ready.pop(0)
        self.last_event_id = event["id"] or self.last_event_id
        return self._with_body(event)

    def _worlds_in(self, response: CoapResponse) -> dict[str, Link]:
        """The worlds of a list that a pattern covers."""
        found = links(response.payload)
        if len(found) >= MOST_LINKS or len(response.payload) >= MOST_BYTES:
            raise NotOverCoap(self._client.url, "more paths than a list of links holds")
        every = {unquote(link.path).lstrip("/"): link for link in found}
        return {
            path: link
            for path, link in every.items()
            if link.attributes.get("v", "").isdecimal()
            and any(paths.matches(pattern, path) for pattern in self._patterns)
        }

    def _with_body(self, event: Event) -> Event:
        """Give an event its body, where bodies are wanted; it may be newer than the event."""
        if self._max_inline is None:
            return event
        event["body"], event["body-state"] = None, "none"
        if event["event"] == "delete":
            return event
        try:
            with self._client.stream(event["path"]) as stream:
                fits = (stream.size or 0) <= self._max_inline
                event["body"] = stream.read() if fits else None
                event["body-state"] = "fetched" if fits else "too-large"
                event["etag"] = stream.etag.strip('"')
                event["type"] = stream.headers.get("content-type", "")
        except NotFound:
            event["body-state"] = "superseded"
        except ElastikError:
            event["body-state"] = "unreachable"
        return event

    def close(self) -> None:
        """End the observation; a reader in another thread stops at once."""
        self._closed = True
        self._lists.close()


def versions_of(found: dict[str, Link]) -> dict[str, int]:
    """The number of each world's newest event."""
    return {path: int(link.attributes["v"]) for path, link in found.items()}


def changes(before: dict[str, int], now: dict[str, int]) -> list[Event]:
    """An event for each world that is gone, and each that is newer, in the order of numbers."""
    gone = [_event("delete", path, "") for path in sorted(before.keys() - now.keys())]
    newer = sorted((number, path) for path, number in now.items() if number > before.get(path, -1))
    return gone + [_event("put", path, str(number)) for number, path in newer]


def _event(kind: str, path: str, ident: str) -> Event:
    method = "DELETE" if kind == "delete" else "PUT"
    data = f"path: /{path}\nmethod: {method}"
    return {"event": kind, "id": ident, "data": data, "path": f"/{path}", "method": method}
