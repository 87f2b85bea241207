"""Where a reactor is in the stream: the newest event below which everything is handled."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING

from elastik.errors import ElastikError, NotFound
from elastik.handling import complain

if TYPE_CHECKING:
    from elastik.worlds import WorldRef

# A position that is a little old costs repetitions after a crash, never losses.
SAVE_EVERY_S = 0.05
# Over events that nobody wants; a position far behind could fall out of the core's log.
SAVE_SKIPPED_EVERY_S = 5.0
# After a position could not be written.
PAUSE_S = 1.0


class Bookmark:
    """A position that moves only over finished events, kept in a file, in a world or nowhere."""

    def __init__(self, place: str | os.PathLike[str] | WorldRef | None, after: int | None) -> None:
        self._place = place
        self._lock = threading.Lock()
        # Held while the position is written: two writers would share one temporary file.
        self._saving = threading.Lock()
        self._open: set[int] = set()
        # Finished, but above one that is still open; they may come again after a reconnection.
        self._ahead: set[int] = set()
        self._seen: int | None = None
        self._saved: int | None = None
        self._saved_at = 0.0
        found = _load(place)
        self._seen = self._saved = after if found is None else found

    @property
    def world(self) -> str | None:
        """Canonical path of the world that keeps the position."""
        from elastik import paths
        from elastik.worlds import WorldRef

        return paths.canonical(self._place.path) if isinstance(self._place, WorldRef) else None

    @property
    def position(self) -> int | None:
        """Every event up to this one is finished; None when nothing is known yet."""
        with self._lock:
            return min(self._open) - 1 if self._open else self._seen

    def reset(self, position: int | None) -> None:
        """Start again at `position`: the core counts from the beginning."""
        with self._lock:
            self._open.clear()
            self._ahead.clear()
            self._seen = position

    def knows(self, event: int) -> bool:
        """The event has arrived before: it is at work, or finished."""
        with self._lock:
            return event in self._open or event in self._ahead

    def begin(self, event: int) -> None:
        """An event arrived and must be handled."""
        with self._lock:
            self._open.add(event)
            self._seen = max(self._seen or 0, event)

    def skip(self, event: int) -> None:
        """An event arrived that nobody wants."""
        with self._lock:
            self._seen = max(self._seen or 0, event)

    def finish(self, event: int) -> None:
        """An event is handled, or given up."""
        with self._lock:
            self._open.discard(event)
            self._ahead.add(event)
            lowest = min(self._open, default=event + 1)
            self._ahead = {number for number in self._ahead if number > lowest}
        self._save_after(SAVE_EVERY_S)

    def save_at_times(self) -> None:
        """Write the position down if that was long ago."""
        self._save_after(SAVE_SKIPPED_EVERY_S)

    def _save_after(self, seconds: float) -> None:
        if time.monotonic() < self._saved_at + seconds or not self._saving.acquire(blocking=False):
            return
        try:
            self._save()
        except (ElastikError, OSError) as exc:
            # The event is handled all the same; until this works a crash would repeat more.
            complain(f"cannot store the position: {exc}")
            self._saved_at = time.monotonic() + PAUSE_S
        finally:
            self._saving.release()

    def save(self) -> None:
        """Write the position down now, if it has moved; raises when that fails."""
        with self._saving:
            self._save()

    def _save(self) -> None:
        position = self.position
        if self._place is None or position is None or position == self._saved:
            return
        _store(self._place, json.dumps({"after": position}) + "\n")
        self._saved, self._saved_at = position, time.monotonic()


def _load(place: str | os.PathLike[str] | WorldRef | None) -> int | None:
    from elastik.worlds import WorldRef

    if place is None:
        return None
    try:
        if isinstance(place, WorldRef):
            text = place.read_text()
        else:
            with open(place, encoding="utf-8") as file:
                text = file.read()
        return int(json.loads(text)["after"])
    except (FileNotFoundError, NotFound):
        return None
    except (ValueError, KeyError, TypeError) as exc:
        raise ValueError(f"{place} holds no reactor position: {exc}") from exc


def _store(place: str | os.PathLike[str] | WorldRef, text: str) -> None:
    from elastik.worlds import WorldRef

    if isinstance(place, WorldRef):
        place.write(text, content_type="application/json")
        return
    name = os.fspath(place)
    beside = f"{name}.{os.getpid()}.tmp"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
