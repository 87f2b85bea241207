"""The reactor over stops, signals, kills and restarts: at least once, and nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

import elastik
import realcore
from elastik import Elastik, Reactor
from listening import once_listening

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def reactor():
    return Reactor()


@pytest.mark.parametrize("workers", [1, 3])
def test_stop_lets_the_handler_at_work_finish(either, reactor, tmp_path, workers):
    state = tmp_path / "state"
    finished = []

    @reactor.listen("x/*")
    def slow(body, event):
        reactor.stop()
        time.sleep(0.05)
        finished.append(int(event["id"]))

    once_listening(reactor, either.put, "x/1", b"")
    reactor.run(either, retry_s=0.01, workers=workers, state=state)
    assert len(finished) == 1
    assert json.loads(state.read_text())["after"] == finished[0]


def test_sigterm_is_graceful_and_still_fatal(keeping_core, tmp_path):
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
import elastik
e = elastik.Elastik({keeping_core.url!r}, {keeping_core.approve!r})
@elastik.listen("sig/*")
def handler(body):
    print("working", flush=True)
    time.sleep(0.3)
    print("done", flush=True)
elastik.on_startup(lambda: print("ready", flush=True))
elastik.on_shutdown(lambda: print("shut down", flush=True))
elastik.run(e, state={str(tmp_path / "s")!r}, after=0)
print("never", flush=True)
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    e = Elastik(keeping_core.url, keeping_core.approve)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    e.put("sig/1", b"")
    assert program.stdout.readline() == "working\n"
    program.send_signal(signal.SIGTERM)
    assert program.communicate(timeout=10)[0] == "done\nshut down\n"
    assert program.returncode == -signal.SIGTERM


def test_ten_thousand_events_over_a_restart(start_core, reactor, tmp_path):
    core = start_core()
    port = core.address[1]
    e = Elastik(core.url, core.approve)
    total, seen = 10_000, defaultdict(int)
    state = tmp_path / "state"
    lost = []
    reactor.on_lost(lambda event: lost.append(event))

    @reactor.listen("q/*")
    def handler(body, path):
        seen[path] += 1
        if len(seen) == total:
            reactor.stop()

    def write(worker):
        mine = Elastik(core.url, core.approve)
        for n in range(worker, total, 4):
            body = b"%d" % n
            while True:
                try:
                    mine.put(f"q/{n}", body)
                    break
                except elastik.Unreachable:
                    time.sleep(0.02)

    def restart():
        while len(seen) < total // 3:
            time.sleep(0.01)
        core.kill()
        start_core(core.data, port=port)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    threads.append(threading.Thread(target=restart))
    reactor.on_startup(lambda: [thread.start() for thread in threads])
    # Far beyond what it takes: a loaded machine must not look like lost events.
    watchdog = threading.Timer(300, reactor.stop)
    watchdog.daemon = True
    watchdog.start()
    reactor.run(e, retry_s=0.05, state=state, after=0, workers=2)
    watchdog.cancel()
    for thread in threads:
        thread.join()
    assert not lost
    missing = total - len(seen)
    assert missing == 0, f"{missing} events were never handled"


def test_two_programs_one_after_the_other_handle_everything(start_core, tmp_path):
    """A worker that is killed at any moment repeats, and loses nothing."""
    core = start_core()
    e = Elastik(core.url, core.approve)
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
import elastik
e = elastik.Elastik({core.url!r}, {core.approve!r})
@elastik.listen("q/*")
def handler(body, path):
    time.sleep(0.001)
    print(body.decode(), flush=True)
elastik.run(e, state={str(tmp_path / "s")!r}, after=0)
"""
    for n in range(300):
        e.put(f"q/{n}", b"%d" % n)
    handled = set()
    for _ in range(20):
        worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        for _ in range(100):
            line = worker.stdout.readline()
            handled.add(int(line))
            if len(handled) == 300:
                break
        os.kill(worker.pid, signal.SIGKILL)
        worker.communicate()
        if len(handled) == 300:
            break
    assert handled == set(range(300))


@pytest.mark.parametrize("place", ["file", "world"])
def test_what_happens_between_two_runs_is_not_missed(either, reactor, tmp_path, place):
    """The first run hears nothing at all, and still knows where the second has to begin."""
    state = tmp_path / "state" if place == "file" else either / "home" / "state"
    seen = []
    reactor.listen("job/*")(lambda body: seen.append(body))
    either.put("job/before", b"not for us")

    def stop_when_it_listens():
        while not state.exists():
            time.sleep(0.01)
        reactor.stop()

    threading.Thread(target=stop_when_it_listens).start()
    reactor.run(either, state=state)
    either.put("job/between", b"1")
    reactor.run(either, state=state, max_events=1)
    assert seen == [b"1"]


def test_a_scoped_token_misses_nothing_between_two_runs(start_core, reactor, tmp_path):
    """As above, where the events before belong to others and are not to be seen."""
    tokens, state, seen = tmp_path / "tokens.toml", tmp_path / "state", []
    tokens.write_text(realcore.scoped_token("board", "secret", "read", "/home/job/*"))
    core = start_core(arguments=("--tokens-file", str(tokens)))
    core.put("/home/other", b"not for us")
    reactor.listen("job/*")(lambda body: seen.append(body))
    with Elastik(core.url, "secret") as e:

        def stop_when_it_listens():
            realcore.wait_for(state.exists)
            reactor.stop()

        threading.Thread(target=stop_when_it_listens).start()
        reactor.run(e, state=state)
        core.put("/home/job/between", b"1")
        patience = threading.Timer(20, reactor.stop)
        patience.start()
        reactor.run(e, state=state, max_events=1)
        patience.cancel()
    assert seen == [b"1"]


def test_each_event_comes_with_its_own_body(e, reactor):
    seen = []
    busy, release = threading.Event(), threading.Event()

    @reactor.listen("x/*")
    def handler(body, path, superseded, event):
        seen.append((body, superseded, event["body-state"]))
        busy.set()
        release.wait(10)

    def work():
        e.put("x/busy", b"0")
        busy.wait(10)
        e.put("x/a", b"1")
        # The core has sent the event with its body before the next one replaces it.
        with e.listen("x/a", last_event_id=0, timeout=10, inline=True) as events:
            assert next(events)["body"] == b"1"
        time.sleep(0.2)
        e.put("x/a", b"2")
        release.set()

    once_listening(reactor, work)
    reactor.run(e, max_events=3)
    assert seen == [(body, False, "inline") for body in (b"0", b"1", b"2")]


def test_a_replayed_event_says_when_its_body_is_no_longer_there(e, reactor):
    seen = []
    reactor.listen("x")(
        lambda body, superseded, event: seen.append((body, superseded, event["body-state"]))
    )
    start = int(e.page("HEAD", "/listen/*").headers["x-last-event-id"])
    e.put("x", b"1")
    e.put("x", b"2")
    reactor.run(e, after=start, max_events=2)
    assert seen == [(b"2", True, "superseded"), (b"2", False, "inline")]


def test_a_large_body_is_fetched_and_is_the_same_version(e, reactor, monkeypatch):
    from elastik import reactor as module

    monkeypatch.setattr(module, "MAX_INLINE", 10)
    seen = []
    reactor.listen("x")(
        lambda body, superseded, event: seen.append((body, superseded, event["body-state"]))
    )
    start = int(e.page("HEAD", "/listen/*").headers["x-last-event-id"])
    e.put("x", b"x" * 11)
    reactor.run(e, after=start, max_events=1)
    assert seen == [(b"x" * 11, False, "too-large")]
