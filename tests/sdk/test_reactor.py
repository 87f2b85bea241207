"""The reactor: who is called with what, order, repetition, position, loss, stopping."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from elastik import Archive, Drop, Elastik, FakeElastik, MoveTo, Reactor, Reply
from elastik.bookmark import Bookmark
from elastik.delivery import Lanes, Retry
from listening import once_listening

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def reactor():
    return Reactor()


def run(reactor, e, work, **options):
    """Run until `max_events` are handled, doing `work` once the stream is open."""
    once_listening(reactor, work)
    options.setdefault("retry_s", 0.01)
    reactor.run(e, **options)


def test_a_handler_gets_what_it_asks_for(either, reactor):
    seen = []

    @reactor.listen("/home/in/*")
    def all_of_it(body, path, world, etag, pattern, meta, e, method, event, superseded):
        seen.append((body, path, world, etag, pattern, meta, e, method, event["path"], superseded))

    @reactor.listen("in/*")
    def only_the_body(body):
        seen.append(body)

    @reactor.listen("/home/in/a")
    def anything(body, **context):
        seen.append(sorted(context))

    run(reactor, either, lambda: either.put("in/a", "x", project="p"), max_events=1)
    etag = either.checksum("in/a")
    assert seen == [
        (b"x", "/home/in/a", "/home/in/a", etag, "/home/in/*", {"x-meta-project": "p"}, either,
         "PUT", "/home/in/a", False),
        b"x",
        ["e", "etag", "event", "meta", "method", "path", "pattern", "superseded", "world"],
    ]  # fmt: skip


def test_deletes_are_handled_without_a_body(either, reactor):
    seen = []
    reactor.listen("x")(lambda body, method: seen.append((method, body)))
    either.put("x", b"1")
    run(reactor, either, lambda: either.delete("x"), max_events=1)
    assert seen == [("DELETE", b"")]


def test_actions(either, reactor):
    @reactor.listen("/home/in/*")
    def route(body, path):
        return (
            body
            and {
                "a": Reply("/home/out/a", body + b"!", content_type="x/y"),
                "b": MoveTo("/home/out/b"),
                "c": Archive(),
                "d": [Reply("/home/out/d", "seen"), Drop()],
                "e": None,
            }[path[-1]]
        )

    def work():
        for name in "abcde":
            either.put(f"in/{name}", name)

    # The deletes that the actions make are events of the same paths: five puts, three deletes.
    run(reactor, either, work, max_events=8)
    assert either.get("out/a") == b"a!"
    assert either.head("out/a")["content-type"] == "x/y"
    assert either.get("out/b") == b"b"
    assert either.get("archive/c") == b"c"
    assert either.get("out/d") == b"seen"
    assert either.ls("in") == ["home/in/a", "home/in/e"]


def test_a_newer_version_is_not_deleted_by_the_action_of_an_older_event(either, reactor):
    @reactor.listen("job")
    def slow(body, method):
        if method != "PUT" or body != b"1":
            return None
        either.put("job", b"2")
        return Drop()

    run(reactor, either, lambda: either.put("job", b"1"), max_events=1)
    assert either.get("job") == b"2"


def test_registering(reactor):
    reactor.listen("a")(print)
    with pytest.raises(ValueError, match="already registered"):
        reactor.listen("a")(print)
    reactor.listen("a", replace=True)(len)
    assert reactor.has_routes()
    reactor.unlisten("a")
    reactor.unlisten("a")
    assert not reactor.has_routes()
    with pytest.raises(RuntimeError, match=r"no @elastik\.listen handlers"):
        reactor.run(FakeElastik())


def test_hooks_run_in_order_and_reverse_even_when_run_fails(reactor):
    said = []
    reactor.on_startup(lambda: said.append("up 1"))
    reactor.on_startup(lambda e: said.append(f"up 2 {type(e).__name__}"))
    reactor.on_shutdown(lambda: said.append("down 1"))
    reactor.on_shutdown(lambda **given: said.append(f"down 2 {sorted(given)}"))
    e = FakeElastik()

    def fail(body):
        raise ZeroDivisionError

    reactor.listen("x")(fail)
    with pytest.raises(ZeroDivisionError):
        run(reactor, e, lambda: e.put("x", b""), reconnect=False)
    assert said == ["up 1", "up 2 FakeElastik", "down 2 ['e']", "down 1"]


# -- at least once ---------------------------------------------------------------------------------


def test_a_failing_handler_is_tried_again_and_the_others_are_not(either, reactor, capsys):
    calls = defaultdict(int)

    @reactor.listen("/home/job/*")
    def steady(body):
        calls["steady"] += 1

    @reactor.listen("job/*")
    def flaky(body):
        calls["flaky"] += 1
        if calls["flaky"] < 3:
            raise OSError("not yet")

    run(reactor, either, lambda: either.put("job/1", b""), max_events=1)
    assert calls == {"steady": 1, "flaky": 3}
    assert capsys.readouterr().err.count("not yet; retrying in") == 2


def test_an_event_that_cannot_be_handled_becomes_a_dead_letter(either, reactor):
    handled = []

    @reactor.listen("job/*")
    def handler(body, path):
        if path.endswith("bad"):
            raise ValueError("broken order")
        handled.append(path)

    def work():
        either.put("job/bad", b"\xff")
        either.put("job/good", b"")

    run(reactor, either, work, max_events=1, attempts=2, dead_letters="/home/dead/")
    assert handled == ["/home/job/good"]
    [path] = either.ls("dead")
    letter = either.get_json(path)
    assert letter["path"] == "/home/job/bad"
    assert letter["error"] == "ValueError: broken order"
    assert path.endswith("/" + letter["id"])
    if "body-base64" in letter:
        assert base64.b64decode(letter["body-base64"]) == b"\xff"


def test_without_a_place_for_dead_letters_it_is_said_and_dropped(either, reactor, capsys):
    def handler(body, path):
        if path.endswith("bad"):
            raise ValueError("no")

    reactor.listen("job/*")(handler)
    work = lambda: (either.put("job/bad", b""), either.put("job/good", b""))  # noqa: E731
    run(reactor, either, work, max_events=1, attempts=1)
    assert "gave up PUT /home/job/bad" in capsys.readouterr().err


def test_a_position_file_continues_where_the_last_run_ended(either, tmp_path):
    state = tmp_path / "position"
    seen = []
    for round_ in range(3):
        reactor = Reactor()
        reactor.listen("job/*")(lambda body: seen.append(body))
        if round_ == 0:
            run(reactor, either, lambda: either.put("job/x", b"0"), max_events=1, state=state)
        else:
            reactor.run(either, max_events=2, state=state)
        # These come while nobody listens.
        either.put("job/x1", b"%d1" % round_)
        either.put("job/x2", b"%d2" % round_)
    assert seen == [b"0", b"01", b"02", b"11", b"12"]
    assert json.loads(state.read_text())["after"] > 0


def test_a_position_can_be_a_world(either):
    place = either / "home" / "position"
    seen = []
    for _ in range(2):
        reactor = Reactor()
        reactor.listen("*")(lambda body, path: seen.append(path))
        reactor.run(either, max_events=1, state=place, after=0) if seen else run(
            reactor, either, lambda: either.put("job/a", b""), max_events=1, state=place
        )
        either.put("job/b", b"")
    assert seen == ["/home/job/a", "/home/job/b"], "its own world is no event to it"
    assert place.stat()["content-type"] == "application/json"


def test_a_broken_position_is_refused_and_not_replaced(reactor, tmp_path):
    state = tmp_path / "position"
    state.write_text("garbage")
    reactor.listen("x")(print)
    with pytest.raises(ValueError, match="holds no reactor position"):
        reactor.run(FakeElastik(), state=state)
    assert state.read_text() == "garbage"


def test_after_zero_begins_with_what_the_core_remembers(either, reactor):
    seen = []
    either.put("old/1", b"a")
    either.put("old/2", b"b")
    reactor.listen("old/*")(lambda body: seen.append(body))
    reactor.run(either, max_events=2, after=0)
    assert seen[-2:] == [b"a", b"b"]


def test_the_position_never_passes_an_unfinished_event():
    mark = Bookmark(None, 10)
    for number in (11, 12, 13, 15):
        mark.begin(number)
    mark.finish(12)
    mark.finish(15)
    assert mark.position == 10
    assert mark.knows(12)
    mark.finish(11)
    assert mark.position == 12
    mark.skip(20)
    assert mark.position == 12
    mark.finish(13)
    assert mark.position == 20


def test_order_for_each_path_and_parallelism_across_paths(either, reactor):
    seen = defaultdict(list)
    at_once, most = [0], [0]
    lock = threading.Lock()

    @reactor.listen("lane/*")
    def handler(path, event, **_):
        raise AssertionError

    reactor.clear_routes()

    @reactor.listen("lane/*")
    def work(body, path, event):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.002)
        seen[path].append(int(event["id"]))
        with lock:
            at_once[0] -= 1

    def puts():
        for n in range(10):
            for lane in "abcd":
                either.put(f"lane/{lane}", b"%d" % n)

    run(reactor, either, puts, max_events=40, workers=4)
    assert sorted(seen) == [f"/home/lane/{lane}" for lane in "abcd"]
    assert all(ids == sorted(ids) and len(ids) == 10 for ids in seen.values())
    assert most[0] > 1


def test_a_resting_path_does_not_hold_up_the_others():
    done, gate = [], threading.Event()
    lanes = Lanes(1, Retry(None, 0.02), lambda job, exc: None)

    def stuck():
        if not gate.is_set():
            raise OSError
        done.append("stuck")

    lanes.add("a", stuck)
    lanes.add("a", lambda: done.append("behind"))
    lanes.add("b", lambda: (done.append("other"), gate.set()))
    lanes.drain()
    lanes.stop()
    assert done == ["other", "stuck", "behind"]


def test_a_lost_range_is_reported(either, reactor, monkeypatch):
    lost = []
    reactor.on_lost(lambda missed, reason, event: lost.append((missed, event["event"])))
    reactor.listen("x")(lambda body: None)
    stream = either.listen
    first = [{"event": "lag", "id": "", "data": "missed: 7", "missed": "7"}]

    def lagging(*args, **kwargs):
        opened = stream(*args, **kwargs)
        opened._ready = first.copy()
        first.clear()
        return opened

    monkeypatch.setattr(either, "listen", lagging)
    run(reactor, either, lambda: either.put("x", b""), max_events=1)
    assert lost == [(7, "lag")]


def test_a_position_above_the_newest_event_is_given_up(e, reactor, tmp_path):
    # As after the return of an older backup: the numbers begin again below the position.
    state = tmp_path / "state"
    state.write_text(json.dumps({"after": 10**12}))
    lost = []
    reactor.on_lost(lambda reason: lost.append(reason))
    reactor.listen("x")(lambda body: None)
    run(reactor, e, lambda: e.put("x", b""), max_events=1, state=state)
    assert "above the newest" in lost[0]
    assert json.loads(state.read_text())["after"] < 10**12


def test_a_superseded_event_is_told(reactor, old):
    # The published core has no bodies in its events, so the second PUT overtakes the first.
    seen = []
    gate = threading.Event()

    @reactor.listen("x")
    def handler(body, superseded):
        gate.wait(2)
        seen.append((body, superseded))

    @reactor.listen("gone")
    def told(body, superseded):
        seen.append((body, superseded))

    def work():
        old.put("x", b"0")
        time.sleep(0.1)
        old.put("x", b"1")
        old.put("x", b"2")
        old.put("gone", b"3")
        old.delete("gone")
        gate.set()

    run(reactor, old, work, max_events=5)
    assert seen == [(b"0", False), (b"2", True), (b"2", False), (b"", True), (b"", False)]


def test_an_older_core_that_restarts_loses_nothing_afterwards(reactor, published, tmp_path):
    import realcore

    first = published.start(tmp_path / "data")
    port = first.address[1]
    e = Elastik(first.url, first.approve)
    seen, lost = [], []
    reactor.on_lost(lambda event: lost.append(event))
    reactor.listen("x")(lambda body: seen.append(body))

    def work():
        for n in range(30):
            e.put("x", b"%d" % n)
        while len(seen) < 30:
            time.sleep(0.01)
        first.stop()
        again = realcore.launch(published.binary, tmp_path / "data", port=port)
        cores.append(again)
        e.put("x", b"after")

    cores = [first]
    try:
        run(reactor, e, work, max_events=31, retry_s=0.05)
    finally:
        for core in cores:
            core.kill()
    assert seen[-1] == b"after"
    assert len(lost) == 1
