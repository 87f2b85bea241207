"""The reactor when things go wrong around its handlers: full queues, fatal errors, lost state."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from elastik import Elastik, FakeElastik, Reactor
from elastik.bookmark import Bookmark
from elastik.delivery import Lanes, Retry
from listening import once_listening

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def reactor():
    return Reactor()


def ended(work, seconds: float = 30) -> list[BaseException]:
    """Run in a thread that must end: a hang is a failure and not a stuck suite."""
    raised: list[BaseException] = []

    def guarded():
        try:
            work()
        except BaseException as exc:
            raised.append(exc)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return raised


# -- stopping --------------------------------------------------------------------------------------


def test_stop_does_not_wait_for_room_behind_a_path_that_fails(reactor):
    e = FakeElastik()
    refused = threading.Event()

    @reactor.listen("job")
    def handler(body):
        refused.set()
        raise OSError("the printer is off")

    def work():
        for n in range(400):
            e.put("job", b"%d" % n)
        refused.wait(10)
        # By now run() waits for room in the only lane.
        time.sleep(0.2)
        reactor.stop()

    once_listening(reactor, work)
    assert not ended(lambda: reactor.run(e, workers=2, attempts=None, retry_s=60))


def test_sigterm_ends_a_reactor_whose_queue_is_full(keeping_core, tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import elastik
e = elastik.Elastik({keeping_core.url!r}, {keeping_core.approve!r})
@elastik.listen("full/job")
def handler(body):
    print("failing", flush=True)
    raise OSError
elastik.on_startup(lambda: print("ready", flush=True))
elastik.run(e, workers=2, attempts=None, retry_s=600)
"""
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    e = Elastik(keeping_core.url, keeping_core.approve)
    told = threading.Thread(target=program.stdout.readline)
    told.start()
    for n in range(400):
        e.put("full/job", b"%d" % n)
    while told.is_alive():
        e.put("full/job", b"again")
        told.join(0.05)
    time.sleep(0.3)
    program.send_signal(signal.SIGTERM)
    try:
        assert program.wait(20) == -signal.SIGTERM
    finally:
        program.kill()
        program.communicate()


class Fatal(BaseException):
    """What no retry is meant for, as SystemExit."""


def test_what_is_no_exception_ends_run_at_once_also_from_a_worker(reactor):
    e = FakeElastik()

    @reactor.listen("job/*")
    def handler(body):
        raise Fatal

    # Both at once: two workers that end the run must not wait for each other.
    once_listening(reactor, e.put_many, {"job/a": b"", "job/b": b""})
    [raised] = ended(lambda: reactor.run(e, workers=2, retry_s=0.01))
    assert isinstance(raised, Fatal)


def test_without_reconnecting_a_workers_failure_raises_at_once(reactor):
    e = FakeElastik()

    @reactor.listen("job")
    def handler(body):
        raise ZeroDivisionError

    once_listening(reactor, e.put, "job", b"")
    [raised] = ended(lambda: reactor.run(e, workers=2, reconnect=False))
    assert isinstance(raised, ZeroDivisionError)


def test_workers_that_fail_at_the_same_time_do_not_wait_for_each_other():
    both = threading.Barrier(2, timeout=10)

    def fail():
        both.wait()
        raise Fatal

    lanes = Lanes(2, Retry(1, 0.01), lambda job, exc: None)
    lanes.add("a", fail)
    lanes.add("b", fail)
    assert not ended(lanes.drain)
    assert not ended(lanes.stop)
    assert isinstance(lanes.error, Fatal)


@pytest.mark.parametrize("workers", [1, 2])
def test_stopping_before_a_dead_letter_is_stored_keeps_the_event(reactor, tmp_path, workers):
    e = FakeElastik()
    state = tmp_path / "state"
    tried = threading.Event()

    def refuse(path, value):
        from elastik import ServerError

        tried.set()
        raise ServerError(503, b"")

    @reactor.listen("job")
    def handler(body):
        raise ValueError

    def work():
        # The stream may not be open yet on a slow machine: then nobody is told.
        while not tried.is_set():
            e.put("job", b"1")
            tried.wait(1)
        reactor.stop()

    put_json, e.put_json = e.put_json, refuse
    once_listening(reactor, work)
    assert not ended(
        lambda: reactor.run(
            e, state=state, attempts=1, retry_s=0.01, dead_letters="dead", workers=workers
        )
    )
    assert not e.ls("dead")
    e.put_json = put_json
    again = Reactor()
    again.listen("job")(lambda body: seen.append(body))
    seen = []
    again.run(e, state=state, max_events=1)
    assert seen == [b"1"]


# -- the position ----------------------------------------------------------------------------------


def test_workers_share_one_position_file(tmp_path, monkeypatch):
    """Each save is whole and none fails, whoever else saves at the same time."""
    from elastik import bookmark

    monkeypatch.setattr(bookmark, "SAVE_EVERY_S", 0.0)
    complaints = []
    monkeypatch.setattr(bookmark, "complain", complaints.append)
    state = tmp_path / "state"
    mark = Bookmark(state, 0)
    for number in range(1, 401):
        mark.begin(number)

    def finish(first):
        for number in range(first, 401, 8):
            mark.finish(number)

    threads = [threading.Thread(target=finish, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mark.save()
    assert not complaints
    assert json.loads(state.read_text()) == {"after": 400}
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_position_that_cannot_be_stored_now_fails_no_event(reactor, tmp_path, capsys):
    e = FakeElastik()
    folder = tmp_path / "gone"
    folder.mkdir()
    seen = []

    @reactor.listen("job/*")
    def handler(body):
        seen.append(body)
        if body == b"1":
            folder.rename(tmp_path / "away")
        elif body == b"2":
            (tmp_path / "away").rename(folder)

    def work():
        for n in (1, 2, 3):
            e.put(f"job/{n}", b"%d" % n)

    once_listening(reactor, work)
    assert not ended(lambda: reactor.run(e, state=folder / "state", max_events=3))
    assert seen == [b"1", b"2", b"3"], "and none of them twice"
    assert json.loads((folder / "state").read_text())["after"] > 0


def test_a_position_in_a_world_outlives_a_long_absence_of_the_core(start_core, reactor):
    core = start_core()
    e = Elastik(core.url, core.approve)
    seen, written, killed = [], threading.Event(), threading.Event()

    @reactor.listen("job/*")
    def handler(body):
        seen.append(body)
        if len(seen) == 1:
            # Its event is handled while there is no core to store the position in.
            written.wait(10)
            core.kill()
            killed.set()
            threading.Timer(1.5, start_core, [core.data], {"port": core.address[1]}).start()

    def work():
        e.put("job/1", b"1")
        written.set()
        killed.wait(10)
        while True:
            try:
                Elastik(core.url, core.approve).put("job/2", b"2")
                return
            except OSError:
                time.sleep(0.05)

    place = e / "home" / "position"
    once_listening(reactor, work)
    raised = ended(lambda: reactor.run(e, state=place, max_events=2, attempts=2, retry_s=0.05), 60)
    assert not raised
    assert seen == [b"1", b"2"]
    assert json.loads(place.read())["after"] > 0


def test_events_that_nobody_wants_move_the_position_too(reactor, tmp_path, monkeypatch):
    from elastik import bookmark

    monkeypatch.setattr(bookmark, "SAVE_SKIPPED_EVERY_S", 0.0)
    e = FakeElastik()
    state = tmp_path / "state"
    reactor.listen("a")(print)
    reactor.listen("b")(print)

    def work():
        for _ in range(5):
            e.put("noise", b"")
        with e.listen() as events:
            newest = int(events.last_event_id)
        while json.loads(state.read_text())["after"] < newest:
            time.sleep(0.01)
        reactor.stop()

    once_listening(reactor, work)
    assert not ended(lambda: reactor.run(e, state=state))
