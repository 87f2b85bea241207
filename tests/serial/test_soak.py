"""Days of unplugging, reboots and core restarts in simulated time: nothing lost, nothing doubled.

The short form runs two hours; ELASTIK_SOAK_SECONDS (as `make soak` sets it) runs all 24.
"""

from __future__ import annotations

import gc
import os
import random
import types
from collections import Counter
from pathlib import Path

import pytest

from boardlab import Bench, Clock, ModelCore
from elastik.coap.messages import POST, PUT
from elastik_cli.serialio.simulator import Behaviour
from elastik_cli.serialio.spool import Spool

LONG = "ELASTIK_SOAK_SECONDS" in os.environ
HOURS = 24 if LONG else 2
SEEDS = [int(os.environ.get("ELASTIK_SOAK_SEED", "1"))] if LONG else [1, 2]


class Misfortune:
    """Unplugs, reboots and core crashes, each at random times."""

    def __init__(self, bench: Bench, rand: random.Random) -> None:
        self.bench, self.rand = bench, rand
        self.counted: Counter[str] = Counter()
        self._next("unplug", 400, self.unplug)
        self._next("reboot", 900, self.reboot)
        self._next("crash", 600, self.crash)

    def _next(self, name: str, mean: float, action) -> None:
        def happen() -> None:
            self.counted[name] += 1
            action()
            self._next(name, mean, action)

        self.bench.clock.later(self.rand.expovariate(1 / mean), happen)

    def unplug(self) -> None:
        bench = self.bench
        if not bench.connected:
            return
        bench.unplug()
        bench.clock.later(self.rand.uniform(0.3, 90), lambda: bench.connected or bench.plug())

    def reboot(self) -> None:
        self.bench.sim.boot(self.bench.clock.now)

    def crash(self) -> None:
        core = self.bench.core
        if not core.alive:
            return
        # Now and then in the worst moment: committed, and the answer lost.
        if self.rand.random() < 0.7:
            core.crash_after_commit = 1
        else:
            core.alive = False
        self._back_later()

    def _back_later(self) -> None:
        self.bench.clock.later(self.rand.uniform(1, 200), self._back)

    def _back(self) -> None:
        self.bench.core.alive = True
        self.bench.core.crash_after_commit = 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", ["transparent", "http", "spool"])
@pytest.mark.parametrize("method", [PUT, POST], ids=["put", "post"])
def test_every_reading_with_a_good_answer_is_stored_exactly_once(
    tmp_path: Path, mode: str, method: int, seed: int
):
    clock = Clock()
    core = ModelCore(clock)
    spool = Spool(tmp_path / "spool") if mode == "spool" else None
    behaviour = Behaviour(interval=7.0, method=method, chatter=31.0, bad_fcs=0.01, lost=0.01)
    bench = Bench(
        clock,
        core,
        behaviour=behaviour,
        seed=seed,
        spool=spool,
        wire_loss=0.02,
        line_loss=0.02,
        up="coap" if mode == "transparent" else "http",
    )
    # Each reading is unlike any other; identical ones could not be told apart.
    bench.sim.value = lambda n, now: b"%d at %.3f" % (n, now)
    bench.plug()
    clock.run(60)
    misfortune = Misfortune(bench, random.Random(seed * 17))
    memory = []
    for _ in range(HOURS):
        clock.run(3600)
        del bench.said[:], bench.shown[:], bench.sent_up[:], bench.sim.told.codes[:]
        memory.append(held_by_the_bridge(bench))
    core.alive, core.crash_after_commit = True, 0
    if not bench.connected:
        bench.plug()
    misfortune._next = lambda *_: None
    clock.run(400)

    told = bench.sim.told
    assert min(misfortune.counted.values()) >= 1
    assert len(told.accepted) > 300 * HOURS * (0.9 if mode == "spool" else 0.5)
    stored = Counter(body for world, body in core.commits if world.endswith("/reading"))
    missing = [value for value in told.accepted if not stored[value]]
    doubled = [value for value in told.accepted if stored[value] > 1]
    assert not missing
    assert not doubled
    repeated = bench.board.uplink.counted.repeated + bench.board.writes.counted["repeated"]
    assert repeated + core.duplicates > 0, "nothing was ever repeated: the test shows nothing"
    if spool is not None:
        assert not spool.count
        assert bench.outbox.counted["delivered"] > 0
        spool.close()
    # The ring of printed lines fills up for days, up to 64 KiB; nothing else grows.
    assert memory[-1] < memory[0] + 1_000, memory


def held_by_the_bridge(bench: Bench) -> int:
    """How many objects can be reached from the board's and the outbox's own state."""
    ours = ("elastik_cli.serialio.", "builtins", "collections")
    seen: set[int] = set()
    todo: list[object] = [bench.board, bench.outbox]
    outside = {id(bench), id(bench.core), id(bench.clock), id(bench.sim)}
    while todo:
        thing = todo.pop()
        if id(thing) in seen or id(thing) in outside or isinstance(thing, type):
            continue
        if not type(thing).__module__.startswith(ours):
            continue
        seen.add(id(thing))
        if not isinstance(thing, (types.FunctionType, types.MethodType, types.ModuleType)):
            todo += gc.get_referents(thing)
    return len(seen) - len(bench.board.lines.ring)
