"""Event streams: frames from bytes however they are cut, closing, silence, ends."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik import TimedOut, Unreachable, events
from elastik.events import FrameParser, parse_frame, with_body

STREAM = (
    b": keepalive\n\n"
    b"event: put\nid: 1\ndata: path: /home/a: b\ndata: method: PUT\ndata: etag: hmac-1\n\n"
    b"event: lag\ndata: missed: 7\n\n"
    b"event: empty\n\n"
    b"event: post\r\nid: 2\r\ndata:path: /home/\xe6\x97\xa5\r\n\r\n"
    b"id: 3\rdata: path: /x\r\r"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_cut_gives_the_same_events(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    parser = FrameParser()
    found = []
    for start, end in pairwise(edges):
        found += parser.feed(STREAM[start:end])
    # A carriage return at the very end may still become a line end with a line feed.
    found += parser.feed(b": \n\n")
    assert [event["id"] for event in found] == ["1", "", "2", "3"]
    assert found[0]["path"] == "/home/a: b"
    assert found[1]["missed"] == "7"
    assert found[2]["path"] == "/home/日"


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(data):
    parser = FrameParser()
    for event in parser.feed(data) + parser.feed(b"\n\n"):
        assert {"event", "id", "data"} <= set(event)


def test_a_frame_without_end_is_refused():
    parser = FrameParser(max_frame=100)
    with pytest.raises(Unreachable, match="100 bytes"):
        parser.feed(b"data: " + b"x" * 200)


def test_data_cannot_forge_the_envelope():
    event = parse_frame(b"event: put\nid: 5\ndata: id: 9\ndata: event: delete\ndata: body: x")
    assert event is not None
    assert (event["event"], event["id"]) == ("put", "5")
    assert "body" not in event


def test_inline_bodies():
    assert with_body({"body-base64": "AAE="})["body"] == b"\x00\x01"
    assert with_body({"body-base64": ""})["body"] == b""
    damaged = with_body({"body-base64": "!"})
    assert (damaged["body"], damaged["body-state"]) == (None, "damaged")
    assert with_body({"body-state": "superseded"})["body"] is None


def test_closing_from_another_thread_ends_the_loop(either):
    stream = either.listen("quiet/*")
    threading.Timer(0.1, stream.close).start()
    assert list(stream) == []
    assert list(stream) == [], "and it stays closed"


def test_a_timeout_is_told(either):
    with either.listen("quiet/*", timeout=0.05) as stream, pytest.raises(TimedOut):
        next(stream)


def test_events_before_the_first_next_are_kept(either):
    with either.listen("early", timeout=5) as stream:
        either.put("early", b"")
        time.sleep(0.05)
        assert next(stream)["path"] == "/home/early"


def test_silence_beyond_two_heartbeats_is_a_dead_connection(e, monkeypatch):
    monkeypatch.setattr(events, "SILENCE_S", 0.1)
    with e.listen("quiet/*") as stream, pytest.raises(Unreachable, match="nothing heard"):
        next(stream)


def test_the_end_of_the_core_ends_the_stream(start_core):
    from elastik import Elastik

    core = start_core()
    stream = Elastik(core.url, core.approve).listen("*")
    threading.Timer(0.1, core.stop).start()
    assert list(stream) == []


def test_an_older_core_gives_several_patterns_and_bodies_too(old):
    with old.listen(["a/*", "tmp/x"], inline=True, timeout=5) as stream:
        old.put("b", b"no")
        old.put("a/1", b"one")
        first = next(stream)
        old.put("tmp/x", b"two")
        second = next(stream)
    assert (first["path"], first["body"]) == ("/home/a/1", b"one")
    assert (second["path"], second["body"]) == ("/tmp/x", b"two")


def test_a_stream_knows_where_to_resume_before_it_has_heard_anything(either):
    either.put("before", b"")
    with either.listen("*") as stream:
        start = stream.last_event_id
    either.put("between", b"")
    with either.listen("*", last_event_id=start, timeout=5) as stream:
        assert stream.last_event_id == start
        assert next(stream)["path"] == "/home/between"
    with either.listen("*", last_event_id=1 << 60) as stream:
        assert int(stream.last_event_id) == int(start) + 1, "that number is of another store"


def test_where_a_stream_resumes():
    assert events.start_of({}, None) == ""
    assert events.start_of({}, 7) == "7"
    assert events.start_of({"x-last-event-id": "9"}, None) == "9"
    assert events.start_of({"x-last-event-id": "9"}, "7") == "7"
    assert events.start_of({"x-last-event-id": "9"}, 10) == "9"
