"""A world's chain and its old versions over HTTP; bodies and patterns in event streams."""

from __future__ import annotations

import base64
import json

import pytest

from realcore import READ, WRITE


def rows(reply):
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in reply.body.splitlines()]


@pytest.fixture
def chain(wire, fresh):
    path = fresh()
    wire.put(path, b"a", Content_Type="text/x", Cache_Control="no-store")
    for _ in range(4):
        wire.request("POST", path, b"b")
    return path


def test_events_come_newest_first_or_from_a_position(wire, chain):
    target = f"/proc/audit{chain}/events"
    assert [row["id"] for row in rows(wire.get(target))] == [5, 4, 3, 2, 1]
    assert [row["id"] for row in rows(wire.get(f"{target}?limit=2"))] == [5, 4]
    assert [row["id"] for row in rows(wire.get(f"{target}?limit=2&before=4"))] == [3, 2]
    assert [row["id"] for row in rows(wire.get(f"{target}?after=3"))] == [4, 5]
    assert [row["id"] for row in rows(wire.get(f"{target}?after=0&limit=1"))] == [1]
    assert rows(wire.get(f"{target}?after=5")) == []


def test_an_event_tells_all_that_its_hmac_covers(wire, chain):
    first, *_, last = rows(wire.get(f"/proc/audit{chain}/events?after=0"))
    assert (first["type"], first["target"], first["size"]) == ("put", chain[1:], 1)
    assert (first["content_type"], first["headers"]) == ("text/x", {"cache-control": "no-store"})
    assert (first["prev_hmac"], last["type"], last["size"]) == ("", "append", 5)
    verdict = wire.verify(chain).headers
    assert verdict["x-audit-genesis"] == f"hmac-{first['hmac']}"
    assert wire.get(chain).etag == f'"hmac-{last["hmac"]}"'


def test_a_long_chain_is_whole_in_both_orders(start_core):
    core = start_core()
    core.put("/home/long", b"")
    line = {"op": "append", "path": "home/long", "body": "x"}
    body = (json.dumps(line) + "\n").encode() * 2500
    assert core.request("POST", "/proc/batch", body).status == 200
    ids = list(range(1, 2502))
    assert [r["id"] for r in rows(core.get("/proc/audit/home/long/events?after=0"))] == ids
    assert [r["id"] for r in rows(core.get("/proc/audit/home/long/events"))] == ids[::-1]


def test_worlds_without_a_chain(wire, fresh):
    memory = fresh("tmp")
    wire.put(memory, b"")
    reply = wire.get(f"/proc/audit{memory}/events")
    assert (reply.status, reply.headers["x-audit-valid"]) == (204, "n/a")
    assert wire.get("/proc/audit/home/none/events").status == 404
    assert wire.get("/proc/audit/home/events").status == 400
    assert wire.get("/proc/audit/a/events?after=x").status == 400
    assert wire.get("/proc/audit/a/events?after=1&before=1").status == 400
    assert wire.request("GET", "/proc/audit/a/events", token=None).status == 401


@pytest.fixture
def kept(start_core):
    core = start_core(arguments=("--history", "home/*=10"))
    for body in (b"one", b"two", b"three"):
        core.put("/home/note", body, Content_Type=f"text/{body.decode()}")
    return core


def test_old_versions_can_be_read_and_listed(kept):
    target = "/proc/history/home/note"
    versions = rows(kept.get(target, accept="application/jsonl"))
    assert [(v["event"], v["size"], v["type"]) for v in versions] == [
        (2, 3, "text/two"),
        (1, 3, "text/one"),
    ]
    for version, body in zip(versions, (b"two", b"one"), strict=True):
        for at in (str(version["event"]), version["time"]):
            reply = kept.get(f"{target}?at={at}")
            assert (reply.status, reply.body) == (200, body)
            assert reply.etag == f'"{version["etag"]}"'
    part = kept.get(f"{target}?at=1", range="bytes=1-")
    assert (part.status, part.body) == (206, b"ne")
    assert kept.get(f"{target}?at=3").body == b"three"


@pytest.mark.parametrize(
    ("at", "status"),
    [("9", 404), ("2001-01-01T00:00:00Z", 404), ("yesterday", 400), ("2026-01-01", 400)],
)
def test_versions_that_are_not_there(kept, at, status):
    assert kept.get(f"/proc/history/home/note?at={at}").status == status


def test_an_old_version_is_put_back(kept):
    target = "/proc/history/home/note?at=1"
    assert kept.request("POST", target, token=WRITE).status == 403
    assert kept.request("POST", target).status == 200
    world = kept.get("/home/note")
    assert (world.body, world.headers["content-type"]) == (b"one", "text/one")
    assert kept.verify("home/note").headers["x-audit-events"] == "4"


def test_a_purge_leaves_no_version(kept):
    purge = {"X-Elastik-Purge": "true"}
    assert kept.request("DELETE", "/home/note", None, {"X-Elastik-Purge": "x"}).status == 400
    assert kept.request("DELETE", "/home/note", None, purge).status == 204
    assert kept.get("/proc/history/home/note?at=1").status == 404


def test_a_lifetime_must_be_one(wire, fresh):
    path = fresh()
    assert wire.put(path, b"", X_Elastik_TTL="soon").status == 400
    assert wire.put(path, b"", X_Elastik_TTL="3600").status == 201
    assert wire.get(path).headers["x-elastik-ttl"] == "3600"
    assert wire.put(path, b"", X_Elastik_TTL="0").status == 200
    assert wire.get(path).status == 404


@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_bodies_within_events(wire, fresh, namespace):
    path = fresh(namespace)
    with wire.listen(f"{path[1:]}?body=inline&max=10") as ears:
        wire.put(path, b"a\n\nb\xff")
        frame = ears.frame()
        encoded = base64.b64encode(b"a\n\nb\xff").decode()
        assert frame.endswith(f"data: body-base64: {encoded}\n")
        wire.put(path, b"x" * 11)
        assert ears.frame().endswith("data: body: too-large\n")
        wire.put(path, b"")
        assert ears.frame().endswith("data: body-base64: \n")
        wire.request("DELETE", path)
        assert "body" not in ears.frame()


def test_a_body_is_never_another_versions(wire, fresh):
    path = fresh()
    start = wire.put(path, b"first")
    assert start.status == 201
    wire.put(path, b"second")
    with wire.listen(f"{path[1:]}?body=inline", last_event_id="1") as ears:
        seen = [ears.event() for _ in range(2)]
    assert seen[0]["body"] == "superseded"
    assert base64.b64decode(seen[1]["body-base64"]) == b"second"


@pytest.mark.parametrize("query", ["body=raw", "body=inline&max=x", "pattern=a//b"])
def test_bad_queries_of_a_stream(wire, query):
    assert wire.request("GET", f"/listen/*?{query}").status == 400


def test_several_patterns_in_one_stream(wire, fresh):
    one, two, three = fresh(), fresh("tmp"), fresh()
    with wire.listen(f"{one[1:]}?pattern={two[1:]}") as ears:
        for path in (three, two, one):
            wire.put(path, b"")
        assert [ears.event()["path"] for _ in range(2)] == [two, one]


def test_a_star_within_is_one_segment_and_home_is_the_default(wire, fresh):
    base = fresh().rsplit("/", 1)[0].removeprefix("/home/")
    with wire.listen(f"{base}/*/t") as ears, wire.listen(f"{base}/a%2A") as literal:
        for name in ("x/y/t", "x/t", "ab", "a%2A"):
            wire.put(f"/home/{base}/{name}", b"")
        assert ears.event()["path"] == f"/home/{base}/x/t"
        assert literal.event()["path"] == f"/home/{base}/a*"


def test_head_of_a_stream_takes_no_place(start_core):
    core = start_core(env={"ELASTIK_MAX_LISTEN_CONNECTIONS": "1"})
    with core.listen("*") as ears:
        assert ears.status == 200
        reply = core.request("HEAD", "/listen/*")
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
        full = core.request("GET", "/listen/*")
        assert (full.status, full.body) == (503, b"too many listen connections\n")
        assert full.headers["retry-after"] == "1"
    assert core.request("HEAD", "/listen/*", token="nobody").status == 401
    assert core.request("HEAD", "/listen/*", token=READ).status == 200
