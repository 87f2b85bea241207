"""Handlers for events: register them by pattern, run them at least once, in order for each path."""

from __future__ import annotations

import base64
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from elastik import paths
from elastik.actions import Action, Archive, Ctx, Drop, MoveTo, Reply
from elastik.bookmark import Bookmark
from elastik.client import Elastik
from elastik.delivery import Job, Lanes, Retry
from elastik.errors import ElastikError
from elastik.events import Event, EventStream
from elastik.handling import Delivery, complain, wanted

if TYPE_CHECKING:
    from elastik.worlds import WorldRef

__all__ = [
    "Action",
    "Archive",
    "Ctx",
    "Drop",
    "MoveTo",
    "Reactor",
    "Reply",
    "clear_lifecycle_hooks",
    "clear_routes",
    "has_routes",
    "listen",
    "on_lost",
    "on_shutdown",
    "on_startup",
    "run",
    "unlisten",
]

F = TypeVar("F", bound=Callable[..., Any])
ATTEMPTS = 5
MAX_INLINE = 1 << 20


class Reactor:
    """Handlers, hooks, and the loop that feeds them. The module functions use one of these."""

    def __init__(self) -> None:
        self._routes: dict[str, Callable[..., Any]] = {}
        self._startup: list[Callable[..., Any]] = []
        self._shutdown: list[Callable[..., Any]] = []
        self._lost: list[Callable[..., Any]] = []
        self._run: _Run | None = None

    # -- registering ---------------------------------------------------------------------------

    def listen(self, pattern: str, *, replace: bool = False) -> Callable[[F], F]:
        """Decorator: call the function for each event of a path that `pattern` covers.

        The function gets the body first and by name what it asks for: `path`, `world` (the same),
        `etag`, `pattern`, `meta` (x-meta-* headers), `e`, `method`, `event`, `superseded`. It may
        return an Action or a list of them. `*` alone covers everything, a final `*` any rest, an
        inner `*` one segment. ValueError when the pattern has a handler, unless `replace`.
        """

        def register(function: F) -> F:
            if pattern in self._routes and not replace:
                raise ValueError(
                    f"handler already registered for {pattern!r}; "
                    "call unlisten(), clear_routes(), or listen(..., replace=True)"
                )
            self._routes[pattern] = function
            return function

        return register

    def unlisten(self, pattern: str) -> None:
        """Forget the handler of a pattern, if there is one."""
        self._routes.pop(pattern, None)

    def clear_routes(self) -> None:
        """Forget all handlers."""
        self._routes.clear()

    def has_routes(self) -> bool:
        """True when there is a handler."""
        return bool(self._routes)

    def on_startup(self, func: F) -> F:
        """Decorator: call once before the first event, with `e` if it asks for it."""
        self._startup.append(func)
        return func

    def on_shutdown(self, func: F) -> F:
        """Decorator: call when run() ends, in reverse order, with `e` if it asks for it."""
        self._shutdown.append(func)
        return func

    def on_lost(self, func: F) -> F:
        """Decorator: call when events were lost, with `missed`, `reason`, `event`, `e` by name."""
        self._lost.append(func)
        return func

    def clear_lifecycle_hooks(self) -> None:
        """Forget the startup, shutdown and loss hooks."""
        self._startup.clear()
        self._shutdown.clear()
        self._lost.clear()

    # -- running -------------------------------------------------------------------------------

    def run(
        self,
        e: Elastik | None = None,
        reconnect: bool = True,
        retry_s: float = 1.0,
        max_events: int | None = None,
        *,
        state: str | os.PathLike[str] | WorldRef | None = None,
        after: int | None = None,
        workers: int = 1,
        attempts: int | None = ATTEMPTS,
        dead_letters: str | None = None,
    ) -> None:
        """Feed events to the handlers until `max_events` are handled, stop(), or a signal.

        Without `e` they come from the core that start() runs in this process, else from the one
        that the environment names.
        An event is acknowledged when all its handlers succeeded. `state` names a file, or a world
        by a reference (``e / "home" / "position"``), that keeps the position over restarts;
        `after` is where to begin when it is empty (0: all the core remembers, None: from now).
        `workers` handle paths at the same time, each path in its order. A failing handler is tried
        `attempts` times (None: for ever) with pauses from `retry_s` seconds on, doubling; then its
        event is written below `dead_letters`, or, without that, dropped with a line on stderr.
        With ``reconnect=False`` a lost connection and a handler's last failure raise.
        """
        if not self._routes:
            raise RuntimeError(
                "elastik.run() has no @elastik.listen handlers registered. "
                "Register a handler first, or remove run() if you only need put/get."
            )
        client = _client() if e is None else e
        retry = Retry(attempts if reconnect else 1, retry_s)
        this = _Run(self, client, Bookmark(state, after), reconnect, retry_s, max_events)
        self._run = this
        with _Terminating(self):
            try:
                self._call_all(self._startup, client)
                this.loop(workers, retry, dead_letters)
            finally:
                self._run = None
                self._shut_down(client, this)

    def stop(self) -> None:
        """End run() after the handlers that are at work; callable from any thread."""
        if self._run is not None:
            self._run.stop()

    def _shut_down(self, client: Elastik, this: _Run) -> None:
        failing = sys.exc_info()[1]
        try:
            this.bookmark.save()
            self._call_all(self._shutdown[::-1], client)
        except BaseException as exc:
            if failing is None:
                raise
            # The failure that ended run() matters more than this one.
            complain(f"shutdown hook failed during unwind: {type(exc).__name__}: {exc}")

    def _call_all(self, hooks: list[Callable[..., Any]], client: Elastik, **more: Any) -> None:
        for hook in list(hooks):
            hook(**wanted(hook, {"e": client, **more}))

    def routes_of(self, path: str) -> list[tuple[str, Callable[..., Any]]]:
        """(pattern, handler) of each route that covers the path, in order of registration."""
        return [route for route in self._routes.items() if paths.matches(route[0], path)]


def _client() -> Elastik:
    from elastik import launcher, mirror

    return mirror.default_client() if launcher.is_running() else Elastik()


class _Run:
    """One call of run()."""

    def __init__(
        self,
        reactor: Reactor,
        client: Elastik,
        bookmark: Bookmark,
        reconnect: bool,
        retry_s: float,
        max_events: int | None,
    ) -> None:
        self.reactor = reactor
        self.client = client
        self.bookmark = bookmark
        self.reconnect = reconnect
        self.retry_s = retry_s
        self.left = max_events
        self._stopped = threading.Event()
        self._stream: EventStream | None = None
        self._lanes: Lanes | None = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        self._stopped.set()
        if self._lanes is not None:
            # loop() may wait for room in them.
            self._lanes.halt()
        stream = self._stream
        if stream is not None:
            stream.close()

    def loop(self, workers: int, retry: Retry, dead_letters: str | None) -> None:
        def give_up(job: Job, exc: Exception) -> None:
            assert isinstance(job, Delivery)
            self.bury(job, exc, dead_letters)

        lanes = Lanes(workers, retry, give_up, self.stop) if workers > 1 else None
        self._lanes = lanes
        try:
            for event in self.events():
                delivery = self.delivery_of(event)
                if delivery is None:
                    continue
                if lanes is None:
                    self.deliver(delivery, retry, give_up)
                elif not lanes.add(event["path"], delivery) or self._stopped.is_set():
                    break
            if lanes is not None and not self._stopped.is_set():
                lanes.drain()
        finally:
            if lanes is not None:
                lanes.stop()
        if lanes is not None and lanes.error is not None:
            raise lanes.error

    def deliver(
        self, job: Delivery, retry: Retry, give_up: Callable[[Job, Exception], None]
    ) -> None:
        """One event in this thread, again until it succeeds or is given up."""
        failures = 0
        while not self._stopped.is_set():
            try:
                job()
                return
            except Exception as exc:
                failures += 1
                pause = retry.pause(failures)
                if pause is None:
                    give_up(job, exc)
                    return
                complain(f"{type(exc).__name__}: {exc}; retrying in {pause:g}s")
                self._stopped.wait(pause)

    # -- the stream ----------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """Events from the bookmark on, over lost connections and restarts, until stopped."""
        while not self._stopped.is_set():
            try:
                with self._connect() as stream:
                    self._stream = stream
                    if self._stopped.is_set():
                        return
                    for event in stream:
                        yield event
                        if self._stopped.is_set():
                            return
                if self._stopped.is_set():
                    return
                raise ConnectionError("the core ended the stream")
            except Exception as exc:
                if not self.reconnect:
                    raise
                if not self._stopped.is_set():
                    complain(f"{type(exc).__name__}: {exc}; retrying in {self.retry_s}s")
            self._stopped.wait(self.retry_s)

    def _connect(self) -> EventStream:
        inline = self.client._knows("inline events")
        before = self.client._newest_request
        routes = list(self.reactor._routes)
        stream = self.client.listen(
            routes[0] if len(routes) == 1 else "*",
            last_event_id=self.bookmark.position,
            inline=inline,
            max_inline=MAX_INLINE,
        )
        number = stream.headers.get("x-request-id", "")
        if inline or not number.isdecimal() or int(number) > before:
            self.start_at(stream)
            return stream
        # An older core counts events from 1 after a restart: asked to go on behind the old
        # position it would be silent until its count passes that. Begin with its first one.
        stream.close()
        self.client._newest_request = int(number)
        self.tell_lost({"event": "lag", "id": "", "data": "reason: the core restarted"})
        self.bookmark.reset(0)
        return self.client.listen("*", last_event_id=0)

    def start_at(self, stream: EventStream) -> None:
        """Nothing is known yet: the position is where this stream begins, if the core tells it."""
        if self.bookmark.position is None and stream.last_event_id.isdecimal():
            self.bookmark.skip(int(stream.last_event_id))
            self.bookmark.save()

    def delivery_of(self, event: Event) -> Delivery | None:
        """The work an event makes; None when there is none."""
        if event.get("event") == "lag":
            self.tell_lost(event)
            if "above the newest" in event.get("reason", ""):
                # An older state of the store is back: its next numbers lie below our position.
                self.bookmark.reset(None)
                if self._stream is not None:
                    self.start_at(self._stream)
            return None
        path = event.get("path", "")
        number = int(event["id"]) if event.get("id", "").isdecimal() else None
        if number is not None and self.bookmark.knows(number):
            return None
        routes = self.reactor.routes_of(path) if path else []
        if not routes or path.lstrip("/") == self.bookmark.world:
            if number is not None:
                self.bookmark.skip(number)
                if not routes:
                    self.bookmark.save_at_times()
            return None
        if number is not None:
            self.bookmark.begin(number)
        return Delivery(self.client, self.handled, event, number, routes)

    def tell_lost(self, event: Event) -> None:
        """Events are missing: to the hooks, or to stderr when there are none."""
        if not self.reactor._lost:
            complain(f"missed SSE events: {event.get('data', '')}")
        missed = event.get("missed", "")
        self.reactor._call_all(
            self.reactor._lost,
            self.client,
            missed=int(missed) if missed.isdecimal() else None,
            reason=event.get("reason", event.get("data", "")),
            event=event,
        )

    # -- the end of an event -------------------------------------------------------------------

    def handled(self, delivery: Delivery, counts: bool = True) -> None:
        if delivery.number is not None:
            self.bookmark.finish(delivery.number)
        with self._lock:
            if self.left is not None and counts:
                self.left -= 1
                if self.left <= 0:
                    self.stop()

    def bury(self, delivery: Delivery, exc: Exception, dead_letters: str | None) -> None:
        """The last attempt failed: keep the event elsewhere, or say that it is dropped."""
        if not self.reconnect:
            raise exc
        event = delivery.event
        what = f"{event.get('method', '')} {event['path']} (event {event.get('id') or '?'})"
        if dead_letters is None:
            complain(f"gave up {what}: {type(exc).__name__}: {exc}")
        else:
            letter = {key: value for key, value in event.items() if key not in ("body", "data")}
            letter["error"] = f"{type(exc).__name__}: {exc}"
            if event.get("body") is not None:
                letter["body-base64"] = base64.b64encode(event["body"]).decode("ascii")
            name = event.get("id") or os.urandom(8).hex()
            if not self._post(f"{dead_letters.rstrip('/')}/{name}", letter):
                return
            complain(f"dead letter for {what}: {type(exc).__name__}: {exc}")
        self.handled(delivery, counts=False)

    def _post(self, path: str, letter: dict[str, Any]) -> bool:
        """Store a dead letter, however long that takes; False when stopped before.

        The event is then not given up, and comes again in the next run.
        """
        while not self._stopped.is_set():
            try:
                self.client.put_json(path, letter)
                return True
            except ElastikError as exc:
                complain(f"cannot store the dead letter {path}: {exc}")
                self._stopped.wait(self.retry_s)
        return False


class _Terminating:
    """SIGTERM ends run() gracefully, and then the process as it would have."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._came = False
        self._ours = False

    def __enter__(self) -> None:
        import signal

        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._handle)
            self._ours = True

    def _handle(self, *_: object) -> None:
        self._came = True
        self._reactor.stop()

    def __exit__(self, *_: object) -> None:
        import signal

        if self._ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if self._came:
                os.kill(os.getpid(), signal.SIGTERM)


default = Reactor()
listen = default.listen
unlisten = default.unlisten
clear_routes = default.clear_routes
has_routes = default.has_routes
on_startup = default.on_startup
on_shutdown = default.on_shutdown
on_lost = default.on_lost
clear_lifecycle_hooks = default.clear_lifecycle_hooks
run = default.run
