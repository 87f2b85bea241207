"""The event loop of the serial services: ready files, deadlines, calls from other threads."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

LONGEST_WAIT_S = 60.0


class Part(Protocol):
    """Something with a time of its own."""

    @property
    def deadline(self) -> float: ...
    def tick(self, now: float) -> None: ...


class Loop:
    """One thread. `parts` are ticked when due, `after` runs at the end of every turn."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.after: list[Callable[[], None]] = []
        self.running = True
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        for sock in (self._wake_in, self._wake_out):
            sock.setblocking(False)
        self.watch(self._wake_in, self._woken)

    @property
    def now(self) -> float:
        return time.monotonic()

    # -- files ---------------------------------------------------------------------------------

    def watch(self, file: Any, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is something to read."""
        self._selector.register(file, selectors.EVENT_READ, [readable, None])

    def on_writable(self, file: Any, writable: Callable[[], None] | None) -> None:
        """Call `writable` while the file can be written; None ends that."""
        key = self._selector.get_key(file)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writable else 0)
        self._selector.modify(file, events, [key.data[0], writable])

    def forget(self, file: Any) -> None:
        self._selector.unregister(file)

    # -- other threads, signals ----------------------------------------------------------------

    def call(self, action: Callable[[], None]) -> None:
        """Run `action` in the loop; from any thread."""
        self._calls.append(action)
        self._wake()

    def stop(self) -> None:
        self.running = False
        self._wake()

    def on_signal(self, number: int, action: Callable[[], None]) -> None:
        """Run `action` in the loop when signal `number` arrives."""
        signal.signal(number, lambda *_: self._calls.append(action))
        # The descriptor wakes the selector; the handler itself only notes what to do.
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"\0")
        except BlockingIOError:
            pass  # it is awake already

    def _woken(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            pass

    # -- turns ---------------------------------------------------------------------------------

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Turn until `stop` is called or `until` holds after a turn."""
        while self.running and not until():
            self.turn()

    def turn(self, longest: float = LONGEST_WAIT_S) -> None:
        """Wait for something, then do it. What arrived comes before what is overdue."""
        due = min((part.deadline for part in self.parts), default=float("inf"))
        wait = 0.0 if self._calls else max(0.0, min(due - self.now, longest))
        for key, mask in self._selector.select(wait):
            readable, writable = key.data
            # Either may close the file, and with it end the other's business.
            if mask & selectors.EVENT_READ and self._still(key):
                readable()
            if mask & selectors.EVENT_WRITE and writable and self._still(key):
                writable()
        while self._calls:
            self._calls.popleft()()
        now = self.now
        for part in list(self.parts):
            if part.deadline <= now:
                part.tick(now)
        for action in self.after:
            action()

    def _still(self, key: selectors.SelectorKey) -> bool:
        return self._selector.get_map().get(key.fileobj) is not None

    def close(self) -> None:
        signal.set_wakeup_fd(-1) if signal.getsignal(signal.SIGTERM) else None
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()


def open_files() -> int:
    """How many descriptors this process holds (Linux), for counting leaks."""
    return len(os.listdir("/proc/self/fd"))
