"""Run jobs in order for each path, at the same time across paths, again when they fail."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable

Job = Callable[[], None]
LONGEST_PAUSE_S = 30.0


class Retry:
    """How often a failing job is tried (None: for ever), and its first pause in seconds."""

    def __init__(self, attempts: int | None, pause_s: float) -> None:
        self.attempts = attempts
        self._pause_s = pause_s

    def pause(self, failures: int) -> float | None:
        """Seconds before the next try, doubling; None when it was the last."""
        if self.attempts is not None and failures >= self.attempts:
            return None
        return float(min(self._pause_s * 2 ** min(failures - 1, 30), LONGEST_PAUSE_S))


class Lanes:
    """A bounded set of jobs: one lane for each path, some workers for all lanes.

    A lane whose head failed rests until its pause is over, without holding a worker.
    """

    def __init__(
        self,
        workers: int,
        retry: Retry,
        give_up: Callable[[Job, Exception], None],
        fatal: Callable[[], None] = lambda: None,
    ) -> None:
        """`fatal` is told when a job ends by what is no Exception, or giving one up fails."""
        self._retry = retry
        self._give_up = give_up
        self._fatal = fatal
        self._lanes: dict[str, deque[Job]] = {}
        self._failures: dict[str, int] = {}
        self._ready: deque[str] = deque()
        self._resting: list[tuple[float, str]] = []
        self._change = threading.Condition()
        self._count = 0
        self._limit = workers * 64
        self._stopping = False
        self.error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"elastik-reactor-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, path: str, job: Job) -> bool:
        """Queue a job behind the others of its path; waits while too many are queued.

        False when the lanes stop before there is room.
        """
        with self._change:
            self._change.wait_for(lambda: self._count < self._limit or self._stopping)
            if self._stopping:
                return False
            self._count += 1
            lane = self._lanes.get(path)
            if lane is None:
                self._lanes[path] = deque([job])
                self._ready.append(path)
                self._change.notify_all()
            else:
                lane.append(job)
            return True

    def drain(self) -> None:
        """Wait until every job is done or given up."""
        with self._change:
            self._change.wait_for(lambda: not self._count or self._stopping)

    def halt(self) -> None:
        """Let running jobs end and start no other. Waits for nothing: signal handlers call it."""
        with self._change:
            self._stopping = True
            self._change.notify_all()

    def stop(self) -> None:
        """Halt, and wait for the workers. Not for a worker to call: two would await each other."""
        self.halt()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (path := self._next()) is not None:
            job = self._lanes[path][0]
            try:
                job()
            except Exception as exc:
                self._failed(path, job, exc)
            except BaseException as exc:
                self._end(exc)
            else:
                self._done(path)

    def _next(self) -> str | None:
        with self._change:
            while not self._stopping:
                now = time.monotonic()
                while self._resting and self._resting[0][0] <= now:
                    self._ready.append(heapq.heappop(self._resting)[1])
                if self._ready:
                    return self._ready.popleft()
                self._change.wait(self._resting[0][0] - now if self._resting else None)
            return None

    def _failed(self, path: str, job: Job, exc: Exception) -> None:
        failures = self._failures.get(path, 0) + 1
        pause = self._retry.pause(failures)
        if pause is None:
            try:
                self._give_up(job, exc)
            except BaseException as fatal:
                self._end(fatal)
                return
            self._done(path)
            return
        with self._change:
            self._failures[path] = failures
            heapq.heappush(self._resting, (time.monotonic() + pause, path))
            self._change.notify_all()

    def _end(self, error: BaseException) -> None:
        self.error = self.error or error
        self.halt()
        self._fatal()

    def _done(self, path: str) -> None:
        with self._change:
            self._failures.pop(path, None)
            lane = self._lanes[path]
            lane.popleft()
            self._count -= 1
            if lane:
                self._ready.append(path)
            else:
                del self._lanes[path]
            self._change.notify_all()
