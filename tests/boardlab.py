"""A board, a bridge and a core in one process with a clock of their own, for tests of days."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from elastik.coap import messages
from elastik.coap.messages import DELETE, GET, POST, PUT, Message
from elastik_cli.serialio.board import Board, BoardSettings
from elastik_cli.serialio.outbox import Fate, Outbox
from elastik_cli.serialio.simulator import Behaviour, SimulatedBoard
from elastik_cli.serialio.spool import Reading, Spool

EPOCH = 1_790_000_000.0
KEY_LIFE_S = 600.0


class Clock:
    """Simulated time, and what is to happen when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.parts: list[Any] = []

    def later(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now + delay, next(self._count), action))

    def run(self, seconds: float) -> None:
        """Let so much time pass; every part with a deadline gets its ticks."""
        end = self.now + seconds
        while True:
            due = min((part.deadline for part in self.parts), default=float("inf"))
            event = self._heap[0][0] if self._heap else float("inf")
            at = min(due, event)
            if at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            if event <= due:
                heapq.heappop(self._heap)[2]()
            for part in self.parts:
                if part.deadline <= self.now:
                    part.tick(self.now)
                    assert part.deadline > self.now or self._moved(part), part
            for part in self.parts:
                if hasattr(part, "after"):
                    part.after()

    def _moved(self, part: Any) -> bool:
        """A part may be due again at once, but not for ever."""
        for _ in range(100):
            if part.deadline > self.now:
                return True
            part.tick(self.now)
        return False


class ModelCore:
    """What the core promises, by its words: commits, duplicate detection, restarts.

    A datagram is known again by endpoint and bytes, an HTTP write by its key, for ten minutes
    and across restarts. `crash_after_commit` makes the next answers get lost with the process.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.alive = True
        self.crash_after_commit = 0
        self.worlds: dict[str, bytes] = {}
        self.commits: list[tuple[str, bytes]] = []
        self.duplicates = 0
        self.observed_at: dict[str, float] = {}
        self._known: dict[Any, tuple[float, Any]] = {}

    def again(self, key: Any) -> Any:
        self._known = {k: v for k, v in self._known.items() if self.clock.now - v[0] < KEY_LIFE_S}
        if key in self._known:
            self.duplicates += 1
            return self._known[key][1]
        return None

    def commit(self, world: str, method: str, body: bytes) -> bool:
        # Copies of our own, so that what the test keeps is not taken for the bridge's memory.
        world, body = world[:1] + world[1:], body[:1] + body[1:]
        new = world not in self.worlds
        before = self.worlds.get(world, b"") if method == "POST" else b""
        self.worlds[world] = before + body
        self.commits.append((world, body))
        return new

    def coap(self, endpoint: Any, data: bytes) -> bytes | None:
        message = messages.decode(data)
        if not message.is_request:
            return None
        if (answer := self.again((endpoint, data))) is not None:
            return answer
        world = b"/".join(messages.path_of(message)).decode()
        if message.code == GET:
            body = self.worlds.get(world)
            code = messages.NOT_FOUND if body is None else messages.CONTENT
            reply = message.reply(code, body or b"")
        elif message.code in (PUT, POST):
            method = "PUT" if message.code == PUT else "POST"
            new = self.commit(world, method, message.payload)
            reply = message.reply(messages.CREATED if new else messages.CHANGED)
        else:
            gone = self.worlds.pop(world, None)
            assert message.code == DELETE
            reply = message.reply(messages.DELETED if gone is not None else messages.NOT_FOUND)
        answer = messages.encode(reply)
        self._known[endpoint, data] = (self.clock.now, answer)
        if self._crashes():
            return None
        return answer

    def http(self, reading: Reading) -> Fate:
        if reading.key and (fate := self.again(reading.key)):
            return fate
        self.observed_at[reading.world] = reading.observed_at
        new = self.commit(reading.world, reading.method, reading.body)
        fate = Fate(201 if new else 204)
        if reading.key:
            self._known[reading.key] = (self.clock.now, fate)
        return Fate(0, "reset") if self._crashes() else fate

    def _crashes(self) -> bool:
        if self.crash_after_commit:
            self.crash_after_commit -= 1
            self.alive = False
            return True
        return False


class Bench:
    """One board on the bench: simulated board, line, bridge side, core."""

    def __init__(
        self,
        clock: Clock,
        core: ModelCore,
        *,
        name: str = "b1",
        behaviour: Behaviour | None = None,
        seed: int = 1,
        spool: Spool | None = None,
        latency: float = 0.003,
        wire_loss: float = 0.0,
        line_loss: float = 0.0,
        **settings: Any,
    ) -> None:
        self.clock, self.core, self.latency, self.wire_loss = clock, core, latency, wire_loss
        self.rand, self.line_loss = random.Random(seed), line_loss
        self.said: list[str] = []
        self.shown: list[str] = []
        self.endpoints: set[int] = set()
        self.sent_up: list[tuple[int, bytes]] = []
        self.connected = False
        self.settings = BoardSettings(name, f"home/sensor/{name}", **settings)
        self.outbox = Outbox(self.say, spool)
        self.wire = self
        self.board = Board(self.settings, self, clock.now)
        self.board.talker.rand = random.Random(seed + 1)
        self.sim = SimulatedBoard(self._from_board, behaviour, random.Random(seed + 2))
        self.sim.boot(clock.now)
        clock.parts += [self.sim, self.board, self]

    # -- what the board's side does ------------------------------------------------------------

    def plug(self, *, reboot: bool = False) -> None:
        self.connected = True
        if reboot:
            self.sim.boot(self.clock.now)
        self.board.plugged("/dev/ttySIM", self.clock.now)

    def unplug(self) -> None:
        self.connected = False
        self.board.unplugged(self.clock.now)

    def _from_board(self, data: bytes) -> None:
        self.clock.later(self.latency, lambda: self._arrives(data))

    def _arrives(self, data: bytes) -> None:
        if self.connected:
            self.board.received(data, self.clock.now)

    # -- outlets -------------------------------------------------------------------------------

    def line(self, data: bytes) -> None:
        if self.rand.random() >= self.line_loss:
            self.clock.later(self.latency, lambda: self._to_board(data))

    def _to_board(self, data: bytes) -> None:
        if self.connected:
            self.sim.feed(data, self.clock.now)

    def show(self, text: str) -> None:
        self.shown.append(text)

    def say(self, text: str) -> None:
        self.said.append(text)

    def wall(self) -> float:
        return EPOCH + self.clock.now

    # -- the wire to the core ------------------------------------------------------------------

    def send(self, generation: int, data: bytes) -> bool:
        assert generation in self.endpoints, "a closed endpoint was used"
        if not self.core.alive:
            return False
        self.sent_up.append((generation, data))
        if self.rand.random() < self.wire_loss:
            return True
        answer = self.core.coap((self.board.id, generation), data)
        if answer is not None and self.rand.random() >= self.wire_loss:
            self.clock.later(0.001, lambda: self._from_core(generation, answer))
        return True

    def _from_core(self, generation: int, data: bytes) -> None:
        if generation in self.endpoints:
            self.board.uplink.received(generation, data, self.clock.now)

    def open(self, generation: int) -> None:
        self.endpoints.add(generation)

    def close(self, generation: int) -> None:
        self.endpoints.discard(generation)

    def __call__(self, message: Message) -> Message | None:
        """Ask the board, and let time pass until there is an answer."""
        answers: list[Any] = []
        self.board.talker.ask(message, answers.append, self.clock.now)
        for _ in range(1000):
            if answers:
                return answers[0].message
            self.clock.run(0.1)
        raise AssertionError("no answer, and no failure either")

    # -- HTTP ----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        return self.outbox.deadline

    def tick(self, now: float) -> None:
        self.outbox.tick(now)
        self._pump()

    def after(self) -> None:
        self.outbox.settle()
        self._pump()

    def _pump(self) -> None:
        reading = self.outbox.next(self.clock.now)
        if reading is None:
            return
        if not self.core.alive:
            self._ends(Fate(0, "connection refused", unsent=True))
        else:
            self._ends(self.core.http(reading))

    def _ends(self, fate: Fate) -> None:
        self.clock.later(0.002, lambda: self.outbox.finished(fate, self.clock.now))
