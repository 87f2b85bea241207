"""The spool and the outbox: on disk before the answer, in order per world, each once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boardlab import EPOCH, Bench, Clock, ModelCore
from elastik.coap import messages
from elastik.coap.messages import PUT
from elastik_cli.serialio import spool
from elastik_cli.serialio.outbox import Fate, Outbox
from elastik_cli.serialio.simulator import Behaviour
from elastik_cli.serialio.spool import Full, Reading, Spool


def reading(number: int, world: str = "home/sensor/b/t", body: bytes | None = None) -> Reading:
    payload = b"%d" % number if body is None else body
    return Reading("PUT", world, payload, "text/plain", EPOCH + number, f"{number:032x}")


def drained(queue: Spool) -> list[Reading]:
    found = []
    while (head := queue.head()) is not None:
        found.append(head)
        queue.delivered()
    return found


def test_what_goes_in_comes_out_in_order_also_after_a_restart(tmp_path: Path):
    queue = Spool(tmp_path)
    for number in range(10):
        queue.append(reading(number))
    assert [queue.head().key, queue.delivered()][1] is None
    queue.close()
    again = Spool(tmp_path)
    assert again.count == 9
    again.append(reading(10))
    assert [r.body for r in drained(again)] == [b"%d" % n for n in range(1, 11)]
    assert (again.count, again.bytes, dict(again.waiting)) == (0, 0, {})
    again.close()


def test_a_power_cut_loses_only_what_was_not_synced(tmp_path: Path):
    queue = Spool(tmp_path)
    for number in range(5):
        queue.append(reading(number))
    queue.sync()
    whole = next(tmp_path.glob("*.log")).read_bytes()
    os.close(queue._lock)
    for cut in range(len(whole) + 1):
        next(tmp_path.glob("*.log")).write_bytes(whole[:cut])
        left = Spool(tmp_path)
        bodies = [r.body for r in drained(left)]
        assert bodies == [b"%d" % n for n in range(len(bodies))]
        assert len(bodies) == 5 or cut < len(whole)
        left.append(reading(99))
        assert [r.body for r in drained(left)] == [b"99"]
        os.close(left._lock)
        for file in tmp_path.glob("*"):
            file.unlink()
        (tmp_path / "00000001.log").touch()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=50)), max_size=40))
def test_counts_and_order_whatever_is_written(tmp_path_factory, entries):
    place = tmp_path_factory.mktemp("spool")
    queue = Spool(place)
    for number, (world, body) in enumerate(entries):
        queue.append(reading(number, f"home/{world}", body))
    queue.close()
    again = Spool(place)
    assert again.count == len(entries)
    assert [(r.world, r.body) for r in drained(again)] == [(f"home/{w}", b) for w, b in entries]
    again.close()


def test_segments_are_begun_and_removed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 500)
    queue = Spool(tmp_path)
    for number in range(30):
        queue.append(reading(number))
    assert len(list(tmp_path.glob("*.log"))) > 5
    assert [r.body for r in drained(queue)] == [b"%d" % n for n in range(30)]
    assert len(list(tmp_path.glob("*.log"))) == 1
    queue.close()


def test_a_full_spool_refuses(tmp_path: Path):
    queue = Spool(tmp_path, largest=400)
    queue.append(reading(0))
    with pytest.raises(Full):
        queue.append(reading(1, body=b"x" * 400))
    assert 1 <= queue.count < 5
    queue.close()


def test_two_bridges_do_not_share_a_spool(tmp_path: Path):
    queue = Spool(tmp_path)
    with pytest.raises(BlockingIOError, match="in use"):
        Spool(tmp_path)
    queue.close()
    Spool(tmp_path).close()


def test_what_the_core_refuses_is_kept_aside_and_holds_nothing_up(tmp_path: Path):
    box = Outbox(lambda text: None, Spool(tmp_path), away=True)
    for number in range(3):
        box.reading(reading(number), lambda fate: None, 0.0)
    box.settle()
    for status in (413, 204, 201):
        assert box.next(100.0) is not None
        box.finished(Fate(status, "no"), 100.0)
    assert box.spool.count == 0
    assert '"reason": "413 no"' in (tmp_path / "refused.jsonl").read_text()
    box.spool.close()


# -- with a board ----------------------------------------------------------------------------------


def lab(tmp_path: Path, **more) -> Bench:
    clock = Clock()
    quiet = {"observe": ("none",), "worlds": False, "ping": 0.0, "up": "http"}
    queue = Spool(tmp_path / "spool", **more.pop("spool_settings", {}))
    bench = Bench(
        clock, ModelCore(clock), behaviour=Behaviour(interval=0), spool=queue, **quiet, **more
    )
    bench.sim.value = lambda n, now: b"%d" % n
    bench.plug()
    return bench


def test_the_answer_comes_after_the_sync(tmp_path: Path, monkeypatch):
    bench = lab(tmp_path)
    bench.core.alive = False
    order: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), sync(fd))[1])
    bench.board.tap.seen = lambda way, kind, data: order.append(f"{way}{data[1]:02x}")
    for number in range(4):
        bench.sim.read(b"%d" % number, bench.clock.now)
        bench.clock.run(2)
    assert bench.sim.told.accepted == [b"0", b"1", b"2", b"3"]
    assert bench.sim.told.codes == [messages.CHANGED] * 4
    # The first is tried at the core before it is kept; from then on kept, synced, answered.
    told = [step for step in order if step in ("fsync", "<03", ">44")]
    for at in (i for i, step in enumerate(told) if step == ">44"):
        assert told[at - 1] == "fsync"


def test_kept_readings_go_first_and_in_order_with_key_and_time(tmp_path: Path):
    bench = lab(tmp_path)
    bench.core.alive = False
    for number in range(20):
        bench.sim.read(b"%d" % number, bench.clock.now)
        bench.clock.run(1)
    assert bench.outbox.spool.count == 20
    bench.core.alive = True
    for number in range(20, 40):
        bench.sim.read(b"%d" % number, bench.clock.now)
        bench.clock.run(0.5)
    bench.clock.run(20)
    assert [b for _, b in bench.core.commits] == [b"%d" % n for n in range(40)]
    assert bench.outbox.spool.count == 0
    assert 20 <= bench.outbox.counted["delivered"] <= 40
    assert bench.core.observed_at["home/sensor/b1/reading"] < EPOCH + bench.clock.now - 20


def test_an_unknown_outcome_is_delivered_again_under_the_same_key(tmp_path: Path):
    bench = lab(tmp_path)
    bench.core.crash_after_commit = 1
    bench.sim.read(b"only", bench.clock.now)
    bench.clock.run(30)
    assert bench.sim.told.accepted == [b"only"]
    assert bench.outbox.counted["doubtful"] == 1
    bench.core.alive = True
    bench.clock.run(30)
    assert [b for _, b in bench.core.commits] == [b"only"]
    assert bench.core.duplicates == 1


def test_a_full_spool_is_told_to_board_and_person(tmp_path: Path):
    bench = lab(tmp_path, spool_settings={"largest": 600})
    bench.core.alive = False
    for number in range(10):
        bench.sim.read(b"%d" % number, bench.clock.now)
        bench.clock.run(1)
    assert messages.UNAVAILABLE in bench.sim.told.codes
    assert [line for line in bench.said if "spool is full" in line]
    kept = list(bench.sim.told.accepted)
    bench.core.alive = True
    bench.clock.run(200)
    stored = [b for _, b in bench.core.commits]
    assert stored[: len(kept)] == kept


def test_a_restarted_bridge_knows_what_it_kept(tmp_path: Path):
    """The answer was lost with the old bridge; the repetition is not stored a second time."""
    bench = lab(tmp_path)
    bench.core.alive = False
    options = tuple(messages.path_options("reading"))
    message = messages.Message(0, PUT, 7, b"t", options, b"once")
    bench.sim._send(message)
    bench.clock.run(2)
    assert bench.outbox.spool.count == 1
    bench.outbox.spool.close()
    second = Bench(
        bench.clock,
        bench.core,
        behaviour=Behaviour(interval=0),
        spool=Spool(tmp_path / "spool"),
        up="http",
        observe=("none",),
        worlds=False,
        ping=0.0,
    )
    second.plug()
    second.sim._send(message)
    bench.clock.run(2)
    assert second.outbox.spool.count == 1
    bench.core.alive = True
    bench.clock.parts = [p for p in bench.clock.parts if p not in (bench, bench.board, bench.sim)]
    bench.clock.run(30)
    assert [b for _, b in bench.core.commits] == [b"once"]
