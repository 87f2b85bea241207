"""The position of `listen --state`: which events are done, kept in a file across runs."""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from pathlib import Path
from typing import Any

from elastik_cli.config import replace_file
from elastik_cli.exits import Exit, Failure

# How long a finished event may wait for the file; a crash runs it again (at least once).
SAVE_EVERY_S = 0.1


class Position:
    """Knows the newest id below which everything is done. With no file it only keeps count."""

    def __init__(self, file: Path | None, url: str, patterns: list[str]) -> None:
        self.file = file
        self.about = {"url": url, "patterns": patterns}
        self.done_to: int | None = None
        self._open: deque[list[Any]] = deque()
        self._marks: dict[int, list[Any]] = {}
        self._saved: int | None = None
        self._saved_at = 0.0
        if file:
            self._lock(file)
            self._load(file)

    def taken(self, ident: int | None) -> None:
        """An event was received. The first one ever fixes the position in front of it."""
        if ident is None:
            return
        if self.done_to is None:
            self.done_to = ident - 1
            self.save()
        mark = [ident, False]
        self._open.append(mark)
        self._marks[ident] = mark

    def done(self, ident: int | None) -> None:
        """An event and all that belongs to it is handled."""
        if ident is None or ident not in self._marks:
            return
        self._marks.pop(ident)[1] = True
        while self._open and self._open[0][1]:
            self.done_to = self._open.popleft()[0]
        if time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self.save()

    def skip_to(self, ident: int) -> None:
        """Everything up to `ident` needs no handling, as long as nothing is open."""
        if not self._open and (self.done_to is None or ident > self.done_to):
            self.done_to = ident

    def save(self) -> None:
        """Write the position, whole or not at all, if it moved."""
        if self.file is None or self.done_to is None or self.done_to == self._saved:
            return
        text = json.dumps(self.about | {"id": self.done_to}) + "\n"
        replace_file(self.file, text.encode())
        self._saved, self._saved_at = self.done_to, time.monotonic()

    def _load(self, file: Path) -> None:
        try:
            kept = json.loads(file.read_bytes())
            ident = int(kept["id"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            raise Failure(f"{file}: not a position", Exit.FAILED, f"rm {file}") from None
        for key, value in self.about.items():
            if kept.get(key) != value:
                raise Failure(
                    f"this state belongs to {key} {kept.get(key)}, not {value}",
                    Exit.CONFLICT,
                    f"another --state name, or rm {file}",
                )
        self.done_to = self._saved = ident

    def _lock(self, file: Path) -> None:
        """One listener a state: two would each skip what the other has done."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Not flock: a program that was just being started would hold that on behind a killed
            # listener, until its exec.
            fcntl.lockf(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failure("another listener uses this state", Exit.CONFLICT) from None


def state_file(directory: Path, name: str) -> Path:
    """The file of the state `name`.

    Raises:
        Failure: when the name could leave the directory.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise Failure(f"not a state name: {name!r}", Exit.USAGE, "use letters, digits, . _ -")
    return directory / f"{name}.json"
