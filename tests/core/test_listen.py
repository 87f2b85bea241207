"""Events over SSE: exact frames, patterns, order, replay, and that no id is ever given twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest


def put_and_see(core, listener, path, body=b"x"):
    """Write a world and return the event this listener gets for it."""
    core.put(path, body)
    return listener.event()


@pytest.mark.parametrize(("path", "tag"), [("/home/a", "hmac-"), ("/tmp/a", "sha256-")])
def test_the_frames_of_put_post_and_delete(core, path, tag):
    with core.listen() as listener:
        etag = core.put(path, b"1").etag.strip('"')
        first = listener.frame().splitlines()
        number = int(first[1].removeprefix("id: "))
        assert first[0] == "event: put"
        assert first[2:5] == [f"data: path: {path}", "data: method: PUT", f"data: etag: {etag}"]
        assert etag.startswith(tag)

        etag = core.request("POST", path, b"2").etag.strip('"')
        second = listener.frame().splitlines()
        assert second[0] == "event: post"
        assert second[2:5] == [f"data: path: {path}", "data: method: POST", f"data: etag: {etag}"]

        core.request("DELETE", path)
        third = listener.frame().splitlines()
        assert third[0] == "event: delete"
        assert third[2:4] == [f"data: path: {path}", "data: method: DELETE"]

        numbers = [int(f[1].removeprefix("id: ")) for f in (second, third)]
        assert number < numbers[0] < numbers[1]


def test_the_stream_is_open_before_anything_happens(core):
    with core.listen() as listener:
        assert listener.status == 200
        assert listener.response.getheader("content-type") == "text/event-stream"
        assert listener.response.getheader("cache-control") == "no-cache"


def test_a_path_in_a_frame_is_raw_utf8(core):
    with core.listen() as listener:
        event = put_and_see(core, listener, "/home/%E6%97%A5%20x")
    assert event["path"] == "/home/日 x"


@pytest.mark.parametrize(
    ("pattern", "heard", "unheard"),
    [
        ("*", "/home/a", None),
        ("home/*", "/home/a/b", "/tmp/a"),
        ("home/a*", "/home/ab", "/home/b"),
        ("h*", "/home/a", "/tmp/a"),
        ("home/a", "/home/a", "/home/ab"),
        ("/home/a", "/home/a", "/home/b"),
        ("home/a%20b", "/home/a%20b", "/home/a"),
        ("tmp/*", "/tmp/a", "/home/a"),
        ("home/%E6%97%A5*", "/home/%E6%97%A5x", "/home/x"),
    ],
)
def test_a_pattern_hears_its_own_and_nothing_else(core, pattern, heard, unheard):
    with core.listen(pattern) as listener:
        if unheard:
            core.put(unheard, b"x")
        etag = core.put(heard, b"x").etag
        event = listener.event()
    assert event["etag"] == etag.strip('"')


def test_refused_writes_are_not_events(core):
    with core.listen() as listener:
        core.put("/home/a", b"x", if_match='"nothing"')
        core.request("POST", "/home/missing", b"x")
        core.request("DELETE", "/home/missing")
        core.put("/home", b"x")
        core.request("PUT", "/home/a", b"x", token=core.read)
        assert put_and_see(core, listener, "/home/sentinel")["path"] == "/home/sentinel"


def test_the_ledger_rows_of_a_delete_are_not_events_but_a_post_to_it_is(core):
    core.put("/home/a", b"x")
    with core.listen() as listener:
        core.request("DELETE", "/home/a")
        core.request("POST", "/var/log/deletes", b"note")
        assert listener.event()["event"] == "delete"
        assert listener.event()["path"] == "/var/log/deletes"


def test_every_listener_sees_the_same_order(core):
    with core.listen() as one, core.listen("home/*") as two, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: core.put(f"/home/{n % 5}", b"%d" % n), range(40)))
        first = [one.event() for _ in range(40)]
        second = [two.event() for _ in range(40)]
    assert first == second
    numbers = [int(event["id"]) for event in first]
    assert numbers == sorted(set(numbers))


def test_the_newest_event_is_the_state_that_get_shows(core):
    with core.listen() as listener, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: core.put("/home/one", b"%d" % n), range(40)))
        events = [listener.event() for _ in range(40)]
    assert events[-1]["etag"] == core.get("/home/one").etag.strip('"')
    assert core.verify("home/one").headers["x-audit-events"] == "40"


def test_replay_continues_after_the_id_it_is_given(core):
    with core.listen() as listener:
        events = [put_and_see(core, listener, f"/home/{n}") for n in range(5)]
    with core.listen(last_event_id=events[1]["id"]) as again:
        assert [again.event() for _ in range(3)] == events[2:]
        live = put_and_see(core, again, "/home/live")
        assert live["path"] == "/home/live"


def test_the_newest_number_is_told_to_who_has_heard_nothing(core):
    with core.listen("home/quiet/*") as listener:
        assert listener.response.getheader("x-last-event-id") == "0"
    core.put("/home/a", b"x")
    core.put("/tmp/a", b"x")
    with core.listen("home/quiet/*") as listener, core.listen(last_event_id="0") as replayed:
        newest = listener.response.getheader("x-last-event-id")
        assert replayed.response.getheader("x-last-event-id") == newest
        assert [replayed.event()["id"] for _ in range(2)][-1] == newest
    core.put("/home/quiet/a", b"x")
    with core.listen("home/quiet/*", last_event_id=newest) as again:
        assert again.event()["path"] == "/home/quiet/a"
    assert int(core.request("HEAD", "/listen/*").headers["x-last-event-id"]) == int(newest) + 1


def test_replay_is_filtered_by_the_pattern(core):
    with core.listen() as listener:
        first = put_and_see(core, listener, "/home/start")
    for name in ("/home/a", "/tmp/a", "/home/b"):
        core.put(name, b"x")
    with core.listen("tmp/*", last_event_id=first["id"]) as again:
        assert again.event()["path"] == "/tmp/a"


@pytest.mark.parametrize("sent", ["", "-1", "abc", "99999999999999999999999", "1.5"])
def test_an_id_that_is_no_number_means_no_replay(core, sent):
    core.put("/home/before", b"x")
    with core.listen(last_event_id=sent) as listener:
        event = put_and_see(core, listener, "/home/after")
        assert event["path"] == "/home/after"


def test_durable_events_are_replayed_after_a_restart(start_core):
    core = start_core()
    with core.listen() as listener:
        first = put_and_see(core, listener, "/home/a")
    core.put("/home/b", b"x")
    core.kill()
    again = start_core()
    with again.listen("home/*", last_event_id=first["id"]) as listener:
        event = listener.event()
        while event.get("event") == "lag":
            event = listener.event()
        assert event["path"] == "/home/b"
        assert put_and_see(again, listener, "/home/c")["path"] == "/home/c"


def test_no_id_is_given_twice_even_when_only_memory_was_written(start_core):
    highest = 0
    for _ in range(3):
        core = start_core()
        with core.listen() as listener:
            for n in range(30):
                number = int(put_and_see(core, listener, f"/tmp/{n % 3}")["id"])
                assert number > highest
                highest = number
        core.kill()


def test_an_id_above_the_newest_says_so_and_swallows_nothing(core):
    core.put("/home/a", b"x")
    with core.listen(last_event_id="9007199254740000") as listener:
        core.put("/home/b", b"x")
        first = listener.event()
        assert first["event"] == "lag"
        assert listener.event()["path"] == "/home/b"


def test_what_the_ring_no_longer_holds_is_told_once(start_core):
    core = start_core(env={"ELASTIK_LISTEN_REPLAY_MAX": "16"})
    with core.listen() as listener:
        first = int(put_and_see(core, listener, "/tmp/first")["id"])
    for n in range(40):
        core.put("/tmp/a", b"%d" % n)
    with core.listen("tmp/*", last_event_id=str(first)) as listener:
        lag = listener.event()
        assert (lag["event"], lag["missed"]) == ("lag", "24")
        assert [int(listener.event()["id"]) for _ in range(16)] == list(
            range(first + 25, first + 41)
        )
    # Nothing that this pattern could match is missing, so nothing is said.
    core.put("/home/a", b"x")
    with core.listen("home/*", last_event_id=str(first)) as listener:
        assert listener.event()["path"] == "/home/a"


def test_durable_events_beyond_the_ring_come_from_the_log(start_core):
    core = start_core(env={"ELASTIK_LISTEN_REPLAY_MAX": "16"})
    with core.listen() as listener:
        first = int(put_and_see(core, listener, "/home/first")["id"])
    for n in range(1, 1101):
        core.put(f"/home/{n % 7}", b"%d" % n)
    with core.listen("home/*", last_event_id=str(first)) as listener:
        numbers = [int(listener.event()["id"]) for _ in range(1100)]
    assert numbers == list(range(first + 1, first + 1101))


def test_listening_needs_the_read_token(core):
    reply = core.request("GET", "/listen/*", token=None)
    assert (reply.status, reply.body) == (401, b"auth required: listen requires read token\n")


def test_an_empty_pattern_is_400(core):
    assert core.get("/listen/").status == 400


def test_streams_end_cleanly_when_the_core_stops(core):
    with core.listen() as listener:
        core.process.terminate()
        assert listener.frame() == ""
    assert core.process.wait(10) == 0


def test_an_idle_stream_is_kept_alive_by_a_comment(start_core):
    core = start_core(env={"ELASTIK_HEARTBEAT": "1"})
    with core.listen() as listener:
        assert listener.frame() == ": keepalive\n"
        assert put_and_see(core, listener, "/home/a")["path"] == "/home/a"
        assert listener.frame() == ": keepalive\n"
