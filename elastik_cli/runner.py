"""The listener: events in, handled one way or another, with counts, limits, gaps and signals."""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from elastik_cli import notify
from elastik_cli.exits import Exit
from elastik_cli.feed import Connected, Event, Failed, Feed, Gap, Lost
from elastik_cli.handlers import Handler
from elastik_cli.patience import shortly
from elastik_cli.position import Position
from elastik_cli.workers import Done, Workers

TICK_S = 0.25
LAST_WORDS_S = 2.0


@dataclass
class Limits:
    """When to end: after `count` events, after `timeout` seconds, at the first gap."""

    count: int | None = None
    timeout: float | None = None
    stop_at_gap: bool = False
    grace: float = 10.0
    not_before: float | None = None


class Stopped(Exception):
    """Ended by signal `number`."""

    def __init__(self, number: int) -> None:
        self.number = number


class Runner:
    """Owns the loop. One thread, fed by `inbox`: the feed, the workers and signals put in."""

    def __init__(
        self,
        *,
        inbox: SimpleQueue[Any],
        feed: Feed | None,
        handler: Handler,
        workers: Workers | None,
        position: Position,
        limits: Limits,
        say: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self.inbox, self.feed, self.handler, self.workers = inbox, feed, handler, workers
        self.position, self.limits, self.say, self.note = position, limits, say, note
        self.taken = self.open = self.failed = 0
        self.signalled: list[int] = []
        self.verdict: Exit | None = None
        self.refused: BaseException | None = None
        self._connected = self._asking = False
        self._watchdog = notify.watchdog_interval()
        self._last_sign = 0.0

    def run(self, first: Iterable[Event] = ()) -> Exit:
        """Handle `first`, then what the feed brings, until a limit is reached.

        Raises:
            Stopped: when a signal ended it; what was handled is recorded.
            ElastikError: when the server refused for good.
        """
        deadline = self._deadline()
        self._on_signals()
        try:
            self._take(first)
            if self.feed is None:
                if not self.signalled:
                    self.handler.flush()
            elif not self._full():
                self.feed.start()
            while self._go_on(deadline):
                self._step(self._patience(deadline))
            self._finish()
        finally:
            self.handler.close()
            self.position.save()
            notify.tell("STOPPING=1")
        if self.signalled:
            raise Stopped(self.signalled[0])
        if self.refused is not None:
            raise self.refused
        if self.verdict is not None:
            return self.verdict
        return Exit.PARTIAL if self.failed else Exit.OK

    def _deadline(self) -> float:
        limit = self.limits.timeout
        return float("inf") if limit is None else time.monotonic() + limit

    def _take(self, first: Iterable[Event]) -> None:
        """Handle what exists already. It comes by requests, and a signal need not await them."""
        self._asking = True
        try:
            for event in first:
                self._event(event)
        except Stopped as stopped:
            self.signalled.append(stopped.number)
        finally:
            self._asking = False

    def _patience(self, deadline: float) -> float:
        """How long the next step may wait for something to happen."""
        now = time.monotonic()
        return min(TICK_S, max(0.0, deadline - now), self.handler.patience(now))

    def _on_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: Any) -> None:
        if self._asking:
            self._asking = False
            raise Stopped(number)
        self.inbox.put(signal.Signals(number))

    def _full(self) -> bool:
        return self.limits.count is not None and self.taken >= self.limits.count

    def _go_on(self, deadline: float) -> bool:
        if self.signalled or self.verdict is not None or self.refused or self._full():
            return False
        if time.monotonic() >= deadline:
            self.verdict = Exit.TIMED_OUT
            return False
        # Without a feed there is nothing to wait for but what already runs.
        return self.feed is not None or self.open > 0

    def _step(self, wait: float) -> None:
        try:
            item = self.inbox.get(timeout=wait) if wait > 0 else self.inbox.get_nowait()
        except Empty:
            self._idle()
            return
        while item is not None:
            self._item(item)
            self.handler.look(time.monotonic())
            if self._full() or self.verdict is not None or self.signalled:
                return
            try:
                item = self.inbox.get_nowait()
            except Empty:
                item = None
        if self.workers is None:
            sys.stdout.flush()

    def _idle(self) -> None:
        now = time.monotonic()
        self.position.save()
        self.handler.look(now)
        if self.workers is not None:
            self.workers.end_overdue(now)
        elif _reader_left():
            raise BrokenPipeError
        if self._watchdog and now - self._last_sign >= self._watchdog:
            self._last_sign = now
            notify.tell("WATCHDOG=1")

    def _item(self, item: Any) -> None:
        if isinstance(item, Event):
            self._event(item)
        elif isinstance(item, Done):
            self._done(item)
        elif isinstance(item, Gap):
            self.say(f"events were missed ({item.missed or 'number unknown'}): {item.reason}")
            self.handler.gap(item)
            self.verdict = Exit.FAILED if self.limits.stop_at_gap else self.verdict
        elif isinstance(item, Connected):
            self._connect()
        elif isinstance(item, Lost):
            self._lost(item)
        elif isinstance(item, Failed):
            self.refused = item.error
        elif isinstance(item, signal.Signals):
            self.signalled.append(int(item))
        self._keep_watch()

    def _keep_watch(self) -> None:
        """What must happen also while events never pause."""
        now = time.monotonic()
        if self.workers is not None:
            self.workers.end_overdue(now)
        if self._watchdog and now - self._last_sign >= self._watchdog:
            self._last_sign = now
            notify.tell("WATCHDOG=1", f"STATUS={self.taken} events, {self.failed} failed")

    def _event(self, event: Event) -> None:
        if self._too_old(event):
            self.position.taken(event.id)
            self._settle(event)
            return
        self.taken += 1
        self.position.taken(event.id)
        if self.handler.event(event):
            self._settle(event)
        else:
            self.open += 1

    def _too_old(self, event: Event) -> bool:
        if self.limits.not_before is None or not event.time:
            return False
        from datetime import datetime

        moment = datetime.fromisoformat(event.time.replace("Z", "+00:00"))
        return moment.timestamp() < self.limits.not_before

    def _done(self, done: Done) -> None:
        self.open -= len(done.work.events)
        if self.workers is not None:
            self.workers.finished(done.work)
        if done.failed:
            self.failed += len(done.work.events)
            self.say(f"{done.work.name}: {done.failed}")
        if done.fatal is not None:
            self.verdict = done.fatal
            return
        for event in done.work.events:
            self._settle(event)

    def _settle(self, event: Event) -> None:
        self.position.done(event.id)
        if self.feed is not None and event.id is not None:
            self.feed.handled()

    def _connect(self) -> None:
        if not self._connected:
            self.note("listening")
            notify.tell("READY=1", "STATUS=listening")
        else:
            self.say("connected again")
        self._connected = True
        self.handler.connected(True)

    def _lost(self, lost: Lost) -> None:
        notify.tell("STATUS=waiting for the server")
        self.handler.connected(False)
        if lost.attempt == 1:
            self.say(f"{shortly(lost.error)}; trying again")

    # -- the end ----------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Take no more; what was taken is handled, unless a signal or an error forbids it."""
        if self.feed is not None:
            self.feed.stop()
        if self.workers is None:
            sys.stdout.flush()
            return
        self._handle_the_rest()
        self.workers.halt()
        until = time.monotonic() + self.limits.grace
        while self.workers.running and time.monotonic() < until and len(self.signalled) < 2:
            self._drain(0.1)
        if self.workers.running:
            self._end_children(at_once=len(self.signalled) > 1)
        self._drain(0.05)
        if self.open:
            self.say(f"{self.open} events were taken and not handled")

    def _handle_the_rest(self) -> None:
        """Wait for what was taken: for ever, or for the grace once --timeout is over."""
        late = self.verdict is Exit.TIMED_OUT
        if self.signalled or not (late or self.verdict is None):
            return
        self.handler.flush()
        until = time.monotonic() + (self.limits.grace if late else float("inf"))
        while self.open and not self.signalled and time.monotonic() < until:
            if self.verdict is not None and self.verdict is not Exit.TIMED_OUT:
                return
            self._drain(0.1)

    def _drain(self, wait: float) -> None:
        """Take in outcomes and signals; events that still arrive are left for the next run."""
        while True:
            try:
                item = self.inbox.get(timeout=wait)
            except Empty:
                break
            if isinstance(item, Done):
                self._done(item)
            elif isinstance(item, signal.Signals):
                self.signalled.append(int(item))
                break
            wait = 0.001
        if self.workers is not None:
            self.workers.end_overdue(time.monotonic())

    def _end_children(self, at_once: bool) -> None:
        assert self.workers is not None
        for number in [signal.SIGKILL] if at_once else [signal.SIGTERM, signal.SIGKILL]:
            self.workers.signal_all(number)
            until = time.monotonic() + LAST_WORDS_S
            while self.workers.running and time.monotonic() < until:
                self._drain(0.05)


def _reader_left() -> bool:
    """Whether whoever read our standard output is gone, as after `listen | head -1`."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(mask & (select.POLLERR | select.POLLHUP) for _, mask in poll.poll(0))
