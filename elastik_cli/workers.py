"""Run the command for events: several at once, one path in order, retries, dead letters."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from elastik.errors import ElastikError, NotFound
from elastik_cli.child import Child, Command, told
from elastik_cli.exits import Exit
from elastik_cli.feed import Event
from elastik_cli.patience import pause_before, worth_another_try
from elastik_cli.work import Turns, Work

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client
    from elastik.responses import ByteStream

# Time between SIGTERM and SIGKILL for a child that ran too long.
LAST_WORDS_S = 2.0


@dataclass
class OnError:
    """What happens when the command fails: so many retries, then skip the event or stop."""

    retries: int = 3
    stop: bool = False
    dead_letter: str | None = None


@dataclass
class Done:
    """The outcome of some work; `failed` says why it was given up, `fatal` ends the listener."""

    work: Work
    failed: str = ""
    fatal: Exit | None = None


class Workers:
    """`jobs` threads that run the command. Outcomes come back through `inbox`."""

    def __init__(
        self,
        command: Command,
        client: Client,
        inbox: SimpleQueue[Any],
        *,
        jobs: int = 1,
        by_path: bool = True,
        on_error: OnError,
        kill_after: float | None = None,
        say: Callable[[str], None],
    ) -> None:
        self.command, self.client, self.inbox = command, client, inbox
        self.on_error, self.kill_after = on_error, kill_after
        self.say = say
        self._turns = Turns(by_path)
        self._ready: SimpleQueue[Work] = SimpleQueue()
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[Child, float] = {}
        for _ in range(jobs):
            threading.Thread(target=self._work, daemon=True).start()

    # -- called by the one thread that owns the listener -----------------------------------------

    def take(self, work: Work) -> None:
        """Run the command for `work`, after what came before it on the same paths."""
        if self._turns.take(work):
            self._ready.put(work)

    def finished(self, work: Work) -> None:
        """The outcome of `work` arrived: what waited for it may run."""
        for freed in self._turns.finished(work):
            self._ready.put(freed)

    def halt(self) -> None:
        """Start nothing more; what runs may finish."""
        self._halt.set()

    @property
    def running(self) -> int:
        """How many commands run now."""
        return len(self._running)

    def signal_all(self, number: int) -> None:
        """Send a signal to every running command and all it started."""
        with self._lock:
            for child in self._running:
                child.kill(number)

    def end_overdue(self, now: float) -> None:
        """TERM what runs longer than --kill-after, KILL what does not obey."""
        if self.kill_after is None:
            return
        with self._lock:
            for child, since in self._running.items():
                if now - since > self.kill_after + LAST_WORDS_S:
                    child.kill(signal.SIGKILL)
                elif now - since > self.kill_after:
                    child.kill(signal.SIGTERM)

    # -- in the worker threads --------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            work = self._ready.get()
            if self._halt.is_set():
                continue
            try:
                outcome = self._handle(work)
            except Exception as error:  # whatever it is, the listener must hear of it
                outcome = Done(work, f"{type(error).__name__}: {error}", Exit.FAILED)
            if outcome is not None:
                self.inbox.put(outcome)

    def _handle(self, work: Work) -> Done | None:
        """Run the command until it succeeds or is given up; None when the listener halts."""
        reason, attempt = "", 0
        while attempt <= self.on_error.retries:
            attempt += 1
            if self._halt.is_set():
                return None
            try:
                code = self._run(work, attempt)
            except FileNotFoundError as error:
                return Done(work, f"{error.filename}: not found", Exit.NO_COMMAND)
            except PermissionError as error:
                return Done(work, f"{error.filename}: not runnable", Exit.NOT_RUNNABLE)
            except ElastikError as error:  # the body could not be fetched
                reason = f"no body: {error}"
            else:
                if code == 0:
                    return Done(work)
                if self.command.shell is not None and code in (126, 127):
                    return Done(work, told(code), Exit(code))
                reason = told(code)
            if self._halt.is_set():
                return None
            if attempt <= self.on_error.retries:
                pause = pause_before(attempt + 2, ElastikError(0, b""))
                self.say(f"{work.name}: {reason}; again in {pause:.1f}s")
                self._halt.wait(pause)
        return self._give_up(work, reason, attempt)

    def _give_up(self, work: Work, reason: str, attempts: int) -> Done:
        if self.on_error.stop:
            return Done(work, reason, Exit.PARTIAL)
        if self.on_error.dead_letter:
            try:
                for event in work.events:
                    self._bury(event, reason, attempts)
            except ElastikError as error:
                # Neither handled nor kept: going on would lose the event silently.
                return Done(work, f"{reason}; dead letter: {error}", Exit.FAILED)
        return Done(work, reason)

    def _bury(self, event: Event, reason: str, attempts: int) -> None:
        """Store the body and, beside it, what happened."""
        place = f"{self.on_error.dead_letter}/{event.id or int(time.time() * 1000)}"
        story = {**replace(event, body=None).record(), "reason": reason, "attempts": attempts}
        text = json.dumps(story, ensure_ascii=False).encode()
        kind = event.type or "application/octet-stream"
        self.client.put(f"{place}/body", event.body or b"", content_type=kind)
        self.client.put(f"{place}/reason", text, content_type="application/json")

    def _complete(self, event: Event) -> None:
        """Give the event the bytes that its command reads.

        When the event's own version is gone, the command gets the newest one, with the etag of
        just these bytes, and ELASTIK_BODY=superseded says so.
        """
        if event.body is not None or event.kind == "delete" or event.body_state == "none":
            return
        try:
            stream, body = self._fetched(event.path)
        except NotFound:
            event.body, event.body_state, event.size = b"", "gone", "0"
            return
        same = stream.etag.strip('"') == event.etag
        event.body, event.body_state = body, "fetched" if same else "superseded"
        event.etag = stream.etag.strip('"')
        event.type, event.size = stream.headers.get("content-type", ""), str(len(body))

    def _fetched(self, path: str) -> tuple[ByteStream, bytes]:
        """The newest version. A server that is away is waited for: the event did not fail."""
        tries = 0
        while True:
            try:
                with self.client.stream(path) as stream:
                    return stream, stream.read()
            except ElastikError as error:
                if not worth_another_try(error) or self._halt.is_set():
                    raise
                tries += 1
                self._halt.wait(pause_before(tries, error))

    def _run(self, work: Work, attempt: int) -> int:
        for event in work.events:
            self._complete(event)
            if event.body is not None and not event.size:
                event.size = str(len(event.body))
        # Started under the lock, so that a signal to all reaches it or it never starts.
        with self._lock:
            if self._halt.is_set():
                return -signal.SIGTERM
            child = Child(self.command, work.events, attempt)
            self._running[child] = time.monotonic()
        try:
            return child.wait()
        finally:
            with self._lock:
                self._running.pop(child, None)
