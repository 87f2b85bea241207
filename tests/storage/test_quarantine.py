"""Worlds whose rows do not hold, and the audit of the whole store, while a core runs."""

from __future__ import annotations

import json
import sqlite3
import time

import pytest

from tampering import EDITS, A, B, edit


def lines(reply) -> list[dict]:
    assert reply.status == 200, reply
    assert reply.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in reply.body.splitlines()]


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_the_scrub_sets_a_broken_world_aside_and_all_else_goes_on(filled, start_core):
    edit(filled, EDITS["body in the row"].sql)
    core = start_core(data=filled, env={"ELASTIK_SCRUB_PAUSE": "0.2"})
    wait_for(lambda: "etag" not in core.get("/home/a").headers)
    reply = core.get("/home/a")
    assert (reply.status, reply.body) == (200, b"tw0 three")
    assert reply.headers["x-audit-valid"] == "false"
    refused = core.put("/home/a", b"x")
    assert refused.status == 409 and b"body was edited" in refused.body
    assert core.request("POST", "/home/a", b"x").status == 409
    assert core.put("/home/b", b"goes on").status == 200
    [aside] = lines(core.get("/proc/audit/set-aside"))
    assert aside["path"] == "home/a" and "body was edited" in aside["reason"]
    pool = core.get("/proc/pool").body.decode()
    assert "worlds_set_aside 1 snapshot" in pool
    wait_for(lambda: b"scrub_problems 2" in core.get("/proc/pool").body)
    assert core.stop() == 0
    again = start_core(data=filled, env={"ELASTIK_SCRUB_PAUSE": "0"})
    assert again.put("/home/a", b"x").status == 409, "it is remembered"
    assert again.request("DELETE", "/home/a").status == 204
    assert again.put("/home/a", b"repaired").status == 201
    assert lines(again.get("/proc/audit/set-aside")) == []
    assert again.verify("home/a").status == 200


def test_the_scrub_leaves_a_sound_store_alone(filled, start_core, offline):
    core = start_core(data=filled, env={"ELASTIK_SCRUB_PAUSE": "0.05"})
    for number in range(60):
        core.put(f"/home/{number % 5}", b"x" * number)
        core.request("POST", "/home/big", b"more")
        if number % 7 == 0:
            core.request("DELETE", f"/home/{number % 5}")
    wait_for(lambda: b"scrub_passes 0 " not in core.get("/proc/pool").body)
    assert lines(core.get("/proc/audit/set-aside")) == []
    assert "scrub found" not in core.stderr()
    assert core.stop() == 0
    assert offline("verify", "--data-dir", filled).code == 0


def test_the_anchor_over_http_is_the_one_of_the_file(filled, start_core, offline, tmp_path):
    core = start_core(data=filled)
    core.put("/home/new", b"x")
    text = core.get("/proc/audit/anchor").body.decode()
    assert text.startswith("elastik-anchor-1 ") and text.endswith("\n")
    told = json.loads(core.get("/proc/audit/anchor", accept="application/jsonl").body)
    assert told["anchor"] == text.strip()
    assert core.stop() == 0
    (tmp_path / "anchor").write_text(text)
    said = offline("verify", "--data-dir", filled, "--anchor", tmp_path / "anchor")
    assert said.code == 0
    assert offline("anchor", "--data-dir", filled).summary["anchor"] == text.strip()


def test_the_audit_pages_need_the_read_token(core):
    for page in ("anchor", "verify", "set-aside"):
        assert core.request("GET", f"/proc/audit/{page}", token=None).status == 401
        assert core.request("GET", f"/proc/audit/{page}", token=core.read).status == 200
        assert core.request("PUT", f"/proc/audit/{page}", b"x").status == 405


def test_the_whole_store_is_checked_over_http(filled, start_core):
    edit(filled, EDITS["world removed"].sql + ";" + EDITS["event: timestamp"].sql)
    core = start_core(data=filled, env={"ELASTIK_SCRUB_PAUSE": "0"})
    *found, summary = lines(core.get("/proc/audit/verify"))
    assert {("world-removed", B), ("event-log", A)} <= {(f["problem"], f["path"]) for f in found}
    assert summary["valid"] is False and summary["problems"] == len(found)


@pytest.mark.parametrize("name", [n for n, e in EDITS.items() if e.path == A and "log:" not in n])
def test_verify_of_one_world_finds_it_too(name, filled, start_core):
    """Over HTTP each world's own edits are a 409 with what was expected and what is there."""
    if name in ("store: id", "worlds exchanged"):
        pytest.skip("it is about the whole store")
    edit(filled, EDITS[name].sql)
    core = start_core(data=filled, env={"ELASTIK_SCRUB_PAUSE": "0"})
    reply = core.verify("home/a")
    assert (reply.status, reply.headers["x-audit-valid"]) == (409, "false")
    assert reply.headers["x-audit-expected"] != reply.headers["x-audit-actual"]
    assert core.verify("home/b").status == 200


def test_nothing_of_a_check_stays_open(core):
    """The WAL can be emptied while a check runs: each page is a transaction of its own."""
    for number in range(200):
        core.put(f"/home/{number}", bytes(5000))
    lines(core.get("/proc/audit/verify"))
    db = sqlite3.connect(core.data / "elastik.db")
    # The core's own checkpoint may be under way for a moment.
    truncate = "PRAGMA wal_checkpoint(TRUNCATE)"
    wait_for(lambda: db.execute(truncate).fetchone()[0] == 0)
    db.close()
