"""Carries the outbox's writes to the core over HTTP, one at a time, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from elastik.errors import ElastikError
from elastik_cli.patience import never_sent, shortly
from elastik_cli.quantities import rfc3339
from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.outbox import Fate, Outbox
from elastik_cli.serialio.spool import Reading


class Courier:
    """`client` makes an HTTP client; it is made again after a failure."""

    def __init__(self, outbox: Outbox, loop: Loop, client: Callable[[], Any]) -> None:
        self.outbox, self.loop, self.make_client = outbox, loop, client
        self._queue: SimpleQueue[Reading | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
        self._thread.start()

    @property
    def deadline(self) -> float:
        return self.outbox.deadline

    def tick(self, now: float) -> None:
        self.outbox.tick(now)
        self.pump()

    def pump(self) -> None:
        """End of a turn: sync what was kept, answer it, and send the next write off."""
        self.outbox.settle()
        reading = self.outbox.next(self.loop.now)
        if reading is not None:
            self._queue.put(reading)

    def close(self, patience: float) -> None:
        """Let the write that is under way end, but not for longer than `patience` seconds."""
        self._queue.put(None)
        self._thread.join(patience)

    def _work(self) -> None:
        client: Any = None
        while (reading := self._queue.get()) is not None:
            try:
                client = client or self.make_client()
                fate = deliver(client, reading)
            except Exception as error:
                # A thread that dies silently would keep the outbox waiting for ever.
                fate = Fate(0, f"{type(error).__name__}: {error}", unsent=True)
                client = None
            self.loop.call(partial(self._ended, fate))

    def _ended(self, fate: Fate) -> None:
        self.outbox.finished(fate, self.loop.now)


def deliver(client: Any, reading: Reading) -> Fate:
    """One write, under its key, with the time at which it was heard."""
    headers = {"Content-Type": reading.type, "X-Observed-At": rfc3339(reading.observed_at)}
    if reading.key:
        headers["Idempotency-Key"] = reading.key
    body = None if reading.method == "DELETE" else reading.body
    try:
        answer = client.request(reading.method, reading.world, body, headers)
    except ElastikError as error:
        return Fate(error.status, shortly(error), unsent=never_sent(error))
    lines = answer.body.decode("utf-8", "replace").strip().splitlines()
    return Fate(answer.status, lines[0][:100] if lines else "")
