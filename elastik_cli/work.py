"""What one run of the command handles, and whose turn it is: each path keeps its order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from elastik_cli.feed import Event


@dataclass(eq=False)
class Work:
    """One event, or a batch of them. `behind` counts paths on which earlier work is not done."""

    events: list[Event]
    behind: int = 0

    @property
    def paths(self) -> set[str]:
        return {event.path for event in self.events}

    @property
    def name(self) -> str:
        """What to call it on stderr."""
        first, last = self.events[0], self.events[-1]
        if first is last:
            return f"{first.path} {first.id}"
        return f"{len(self.events)} events, {first.id} to {last.id}"


class Turns:
    """Work on a path waits for the earlier work on it; other work does not."""

    def __init__(self, by_path: bool) -> None:
        self.by_path = by_path
        self._lines: dict[str, deque[Work]] = {}

    def take(self, work: Work) -> bool:
        """Put `work` in line; whether it may run at once."""
        for path in work.paths if self.by_path else ():
            line = self._lines.setdefault(path, deque())
            work.behind += bool(line)
            line.append(work)
        return not work.behind

    def finished(self, work: Work) -> list[Work]:
        """`work` is done; what may run now."""
        free = []
        for path in work.paths if self.by_path else ():
            line = self._lines[path]
            line.popleft()
            if not line:
                del self._lines[path]
                continue
            line[0].behind -= 1
            if not line[0].behind:
                free.append(line[0])
        return free
