"""F11: one frame in a hundred is spoiled, each way, by a relay that knows nothing of frames."""

from __future__ import annotations

import random
from collections import Counter

from boardlab import Bench, Clock, ModelCore
from elastik_cli.serialio import slipmux
from elastik_cli.serialio.simulator import Behaviour


class Spoiler:
    """Flips a bit in one of a hundred pieces, and counts what that did."""

    def __init__(self, seed: int) -> None:
        self.rand = random.Random(seed)
        self.spoiled = 0

    def __call__(self, data: bytes) -> bytes:
        if len(data) < 6 or self.rand.random() >= 0.01:
            return data
        self.spoiled += 1
        at = self.rand.randrange(2, len(data) - 1)
        bent = data[at] ^ 1 << self.rand.randrange(8)
        # Not into or out of the framing bytes: those errors have tests of their own.
        return (
            data if {bent, data[at]} & {0xC0, 0xDB} else data[:at] + bytes([bent]) + data[at + 1 :]
        )


def test_f11_every_exchange_succeeds_and_the_counters_match():
    clock = Clock()
    core = ModelCore(clock)
    bench = Bench(
        clock, core, behaviour=Behaviour(interval=0), observe=("none",), worlds=False, ping=0.0
    )
    up, down = Spoiler(1), Spoiler(2)
    arrives, to_board = bench._arrives, bench._to_board
    bench._arrives = lambda data: arrives(up(data))
    bench._to_board = lambda data: to_board(down(data))
    bench.plug()
    clock.run(1)
    for number in range(2000):
        bench.sim.read(b"%d" % number, clock.now)
        clock.run(0.05 if number % 20 else 40)
    clock.run(100)
    told = bench.sim.told
    assert (len(told.accepted), told.unanswered, told.refused) == (2000, [], [])
    assert Counter(body for _, body in core.commits) == {b"%d" % n: 1 for n in range(2000)}
    counted = bench.board.counted
    assert counted["err:fcs"] > 5
    assert counted["err:fcs"] <= up.spoiled
    assert down.spoiled > 5
    assert bench.board.uplink.counted.up == len(bench.sent_up)


def test_the_spoiler_spoils():
    spoiler = Spoiler(1)
    frame = slipmux.encode_coap(bytes(20))
    assert sum(spoiler(frame) != frame for _ in range(2000)) > 5
