"""What becomes of an event: a line of output, a run of the command, a place in a batch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from elastik_cli.feed import Event, Gap
from elastik_cli.work import Work

if TYPE_CHECKING:
    from elastik_cli.session import Session
    from elastik_cli.workers import Workers

COLOURS = {"put": 32, "post": 33, "delete": 31}
FOREVER = float("inf")


class Handler:
    """The listener's hands. All of it is called by the listener's own thread."""

    def event(self, event: Event) -> bool:
        """Take `event`; True when it is done at once."""
        raise NotImplementedError

    def gap(self, gap: Gap) -> None:
        """Events were missed; stderr has said so already."""

    def connected(self, yes: bool) -> None:
        """The server answers, or does not any more."""

    def patience(self, now: float) -> float:
        """Seconds until `look` is wanted, whatever happens."""
        return FOREVER

    def look(self, now: float) -> None:
        """Time has passed."""

    def flush(self) -> None:
        """Nothing more will come: hold nothing back."""

    def close(self) -> None:
        """It is over, by whatever cause."""


class Printer(Handler):
    """Writes each event as a line: JSON, a NUL-ended path, or fields separated by tabs."""

    def __init__(self, session: Session, nul: bool) -> None:
        self.out, self.nul = session.out, nul

    def event(self, event: Event) -> bool:
        if self.out.json:
            self.out.record(event.record())
        elif self.nul:
            self.out.text(f"{event.path}\0")
        else:
            kind = self.out.style(event.kind, COLOURS.get(event.kind, 0))
            if self.out.human:
                self.out.line(time.strftime("%H:%M:%S "), kind, f"\t{event.path}")
                return True
            ident = "-" if event.id is None else str(event.id)
            self.out.line(kind, f"\t{ident}\t{event.etag or '-'}\t{event.path}")
        return True

    def gap(self, gap: Gap) -> None:
        if self.out.json:
            self.out.record(gap.record())


class Runs(Handler):
    """Hands each event to the workers."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers

    def event(self, event: Event) -> bool:
        self.workers.take(Work([event]))
        return False


class Batches(Handler):
    """Hands events to the workers `most` at a time, or those of `every` seconds."""

    def __init__(self, workers: Workers, most: int, every: float) -> None:
        self.workers, self.most, self.every = workers, most, every
        self._held: list[Event] = []
        self._due = FOREVER

    def event(self, event: Event) -> bool:
        if not self._held:
            self._due = time.monotonic() + self.every
        self._held.append(event)
        if len(self._held) >= self.most:
            self.flush()
        return False

    def patience(self, now: float) -> float:
        return max(0.0, self._due - now)

    def look(self, now: float) -> None:
        if now >= self._due:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self.workers.take(Work(self._held))
        self._held, self._due = [], FOREVER
