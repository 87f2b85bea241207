"""Old versions by rule, putting one back, lifetimes, and a DELETE that purges."""

from __future__ import annotations

import json
import time

import pytest

from realcore import READ, WRITE

RULES = {"ELASTIK_HISTORY": "home/kept/*=3", "ELASTIK_LIFETIME": "tmp/short/*=1s"}


@pytest.fixture
def keeping(start_core):
    return start_core(env=RULES)


def versions(core, path):
    reply = core.request("GET", f"/proc/history{path}", headers={"Accept": "application/jsonl"})
    assert reply.status == 200
    return [json.loads(line) for line in reply.body.splitlines()]


def test_a_version_is_read_by_event_and_by_time(keeping):
    keeping.put("/home/kept/n", b"one", Content_Type="text/x")
    then = versions_time(keeping)
    keeping.put("/home/kept/n", b"two")
    keeping.request("POST", "/home/kept/n", b" more")
    assert [line["event"] for line in versions(keeping, "/home/kept/n")] == [2, 1]
    for at, body in [("1", b"one"), ("2", b"two"), ("3", b"two more"), (then, b"one")]:
        assert keeping.get(f"/proc/history/home/kept/n?at={at}").body == body
    old = keeping.get("/proc/history/home/kept/n?at=1", Range="bytes=1-")
    assert (old.status, old.body, old.headers["content-type"]) == (206, b"ne", "text/x")


def versions_time(core):
    time.sleep(0.01)
    now = time.time()
    time.sleep(0.01)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06}Z"


def test_only_what_the_rule_names_is_kept(keeping):
    for number in range(6):
        for path in ("/home/kept/a", "/home/other/a"):
            keeping.put(path, str(number).encode())
    assert [line["event"] for line in versions(keeping, "/home/kept/a")] == [5, 4, 3]
    assert versions(keeping, "/home/other/a") == []
    assert keeping.get("/proc/history/home/other/a?at=2").status == 404


def test_a_version_is_put_back_as_a_new_event(keeping):
    first = keeping.put("/home/kept/r", b"good", Content_Type="text/x", Cache_Control="no-store")
    second = keeping.put("/home/kept/r", b"bad")
    target = "/proc/history/home/kept/r?at=1"
    stale = keeping.request("POST", target, b"", {"If-Match": first.etag})
    assert stale.status == 412
    reply = keeping.request("POST", target, b"", {"If-Match": second.etag})
    assert reply.status == 200
    now = keeping.get("/home/kept/r")
    assert (now.body, now.etag) == (b"good", reply.etag)
    assert (now.headers["content-type"], now.headers["cache-control"]) == ("text/x", "no-store")
    assert keeping.verify("home/kept/r").headers["x-audit-events"] == "3"


def test_putting_back_needs_the_approve_token(keeping):
    keeping.put("/home/kept/t", b"1")
    for token, status in [(None, 401), (READ, 403), (WRITE, 403)]:
        reply = keeping.request("POST", "/proc/history/home/kept/t?at=1", b"", token=token)
        assert reply.status == status


@pytest.mark.parametrize("at", ["yesterday", "2026-13-01T00:00:00Z", "-1", "1.5"])
def test_what_is_no_version_is_refused(keeping, at):
    assert keeping.get(f"/proc/history/home/kept/x?at={at}").status == 400


def test_purge_removes_versions_and_bytes(keeping):
    secret = b"words that nobody may read again"
    keeping.put("/home/kept/s", secret)
    keeping.put("/home/kept/s", b"")
    keeping.request("DELETE", "/home/kept/s")
    assert len(versions(keeping, "/home/kept/s")) == 2
    keeping.put("/home/kept/s", secret)
    keeping.request("DELETE", "/home/kept/s", headers={"X-Elastik-Purge": "1"})
    assert versions(keeping, "/home/kept/s") == []
    assert keeping.stop() == 0
    for file in keeping.data.iterdir():
        assert secret not in file.read_bytes(), file


def test_a_lifetime_by_header_or_rule_ends_with_a_delete_event(keeping):
    with keeping.listen("*") as listener:
        keeping.put("/home/brief", b"x", X_Elastik_TTL="1")
        keeping.put("/tmp/short/brief", b"x")
        for path in ("/home/brief", "/tmp/short/brief"):
            assert keeping.get(path).status == 200
        gone = {}
        for _ in range(8):
            frame = listener.frame()
            if "event: delete" in frame:
                gone[frame.split("data: path: ")[1].splitlines()[0]] = frame
            if len(gone) == 2:
                break
        assert gone.keys() == {"/home/brief", "/tmp/short/brief"}
        assert all("data: reason: expired" in frame for frame in gone.values())
    for path in ("/home/brief", "/tmp/short/brief"):
        assert keeping.get(path).status == 404
    assert keeping.verify("var/log/deletes").headers["x-audit-events"] == "2"
