"""Bodies kept for `get_cached`: a few, and none that is large."""

from __future__ import annotations

import os
import threading

from elastik import paths

WORLDS = 256
LARGEST = 1 << 20


class Remembered:
    """(ETag, body) by path; the one that was set first goes first. Safe between threads."""

    def __init__(self) -> None:
        self._bodies: dict[str, tuple[str, bytes]] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def _held(self) -> threading.Lock:
        if self._pid != os.getpid():
            # After fork nobody may be left to release it.
            self._pid, self._lock = os.getpid(), threading.Lock()
        return self._lock

    def get(self, path: str) -> tuple[str, bytes] | None:
        """What is known of a world."""
        with self._held():
            return self._bodies.get(paths.with_namespace(path))

    def set(self, path: str, etag: str, body: object) -> None:
        """Remember this version; what is not bytes, or too large, is only forgotten."""
        key = paths.with_namespace(path)
        with self._held():
            self._bodies.pop(key, None)
            if etag and isinstance(body, bytes) and len(body) <= LARGEST:
                while len(self._bodies) >= WORLDS:
                    self._bodies.pop(next(iter(self._bodies)))
                self._bodies[key] = (etag, body)

    def forget(self, path: str | None = None) -> None:
        """One world, or all."""
        with self._held():
            if path is None:
                self._bodies.clear()
            else:
                self._bodies.pop(paths.with_namespace(path), None)
