"""One event for its handlers: what they are given, and going on where one failed."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from elastik.actions import Ctx, run_actions
from elastik.errors import NotFound

if TYPE_CHECKING:
    from elastik.client import Elastik
    from elastik.events import Event


class _Fetched(NamedTuple):
    """What the handlers of one event are given."""

    body: bytes
    etag: str
    meta: dict[str, str]
    superseded: bool
    gone: bool


class Delivery:
    """One event for its handlers; called again, it goes on with the handler that failed."""

    def __init__(
        self,
        client: Elastik,
        handled: Callable[[Delivery, bool], None],
        event: Event,
        number: int | None,
        routes: list[tuple[str, Callable[..., Any]]],
    ) -> None:
        self._client = client
        self._handled = handled
        self.event = event
        self.number = number
        self._routes = routes
        self._fetched: _Fetched | None = None
        self._called = False

    def __call__(self) -> None:
        if self._fetched is None:
            self._fetched = self._fetch()
        world = self._fetched
        while self._routes:
            pattern, handler = self._routes[0]
            ctx = Ctx(
                world.body,
                self.event["path"],
                world.etag,
                pattern,
                world.meta,
                self._client,
                self.method,
                self.event,
                world.superseded,
            )
            given = {name: getattr(ctx, name) for name in Ctx.__slots__ if name != "body"}
            chosen = wanted(handler, given, first=True)
            if world.gone and "superseded" not in chosen:
                # As in 8.3: nothing left to show to a handler that asks for nothing but a body.
                complain(f"failed to fetch {ctx.path}: it is gone")
            else:
                self._called = True
                run_actions(handler(world.body, **chosen), ctx)
            self._routes.pop(0)
        self._handled(self, self._called)

    @property
    def method(self) -> str:
        return str(self.event.get("method", self.event.get("event", ""))).upper()

    def _fetch(self) -> _Fetched:
        own = self.event.get("etag", "")
        quoted = f'"{own}"' if own else ""
        if self.method == "DELETE":
            return _Fetched(b"", quoted, {}, False, False)
        body = self.event.get("body")
        if body is not None:
            return _Fetched(body, quoted, self._meta(), False, False)
        try:
            with self._client.stream(self.event["path"]) as answer:
                meta = _meta_of(answer.headers)
                return _Fetched(answer.read(), answer.etag, meta, answer.etag != quoted, False)
        except NotFound:
            return _Fetched(b"", quoted, {}, True, True)

    def _meta(self) -> dict[str, str]:
        """x-meta-* headers, asked for only when a handler wants them."""
        if not any("meta" in wanted(handler, {"meta": {}}) for _, handler in self._routes):
            return {}
        try:
            return _meta_of(dict(self._client.head(self.event["path"])))
        except NotFound:
            return {}


def _meta_of(headers: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("x-meta-")}


def wanted(
    function: Callable[..., Any], offered: dict[str, Any], first: bool = False
) -> dict[str, Any]:
    """Of what is offered by name, what the function has parameters for."""
    parameters = [*inspect.signature(function).parameters.values()][1 if first else 0 :]
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return offered
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in offered.items() if name in names}


def complain(text: str) -> None:
    """A line on stderr, as 8.3's reactor wrote them."""
    print(f"elastik reactor: {text}", file=sys.stderr, flush=True)
