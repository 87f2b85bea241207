"""Limits of what is kept beside the worlds: old versions and the log."""

from __future__ import annotations

import sqlite3

import pytest

from realcore import KEY, Listener, refuse, wait_for


def line(core, name: str) -> list[str]:
    lines = [text.split("\t") for text in core.get("/proc/df").body.decode().splitlines()]
    assert [one[0] for one in lines[:5]] == ["storage", "memory", "worlds", "history", "log"]
    return next(one[1:] for one in lines if one[0] == name)


def test_the_oldest_versions_of_all_go_first(start_core, offline):
    core = start_core(env={"ELASTIK_HISTORY": "home/*=1000", "ELASTIK_MAX_HISTORY_BYTES": "100000"})
    for n in range(30):
        assert core.put("/home/a", b"%06d" % n * 1000).status in (200, 201)
        assert core.put("/home/b", b"x").status in (200, 201)
        assert core.request("POST", "/home/b", b"y" * 100).status == 200
    assert wait_for(lambda: int(line(core, "history")[0]) <= 100_000)
    used, quota, free = line(core, "history")
    assert (quota, int(used) + int(free)) == ("100000", 100_000)
    assert int(used) > 90_000, "not more went than had to"
    assert core.get("/home/a").body == b"%06d" % 29 * 1000, "the worlds stay"
    assert core.stop() == 0
    assert offline("data", "check", "--data-dir", core.data).code == 0
    assert offline("verify", "--data-dir", core.data).code == 0


def test_the_log_is_pruned_beside_the_work_and_stays_true(start_core, offline):
    core = start_core(env={"ELASTIK_MAX_LOG_ROWS": "50"})
    for n in range(20):
        core.put(f"/home/{n}", b"x")
    assert line(core, "log") == ["20", "50", "30"]
    for n in range(60):
        assert core.put(f"/home/{n % 7}", b"%d" % n).status in (200, 201)
    assert wait_for(lambda: int(line(core, "log")[0]) <= 51), line(core, "log")
    with Listener(core, "home/*", last_event_id="1") as listener:
        assert listener.event()["event"] == "lag", "who asks for what is gone is told"
    core.put("/home/after", b"goes on")
    assert core.get("/proc/audit/verify").body.splitlines()[-1].startswith(b'{"valid":true')
    assert core.stop() == 0
    said = offline("verify", "--data-dir", core.data)
    assert (said.code, said.summary["worlds"]) == (0, 21)
    assert offline("data", "check", "--data-dir", core.data).code == 0


def test_a_listener_hears_all_while_the_log_is_pruned(start_core):
    core = start_core(env={"ELASTIK_MAX_LOG_ROWS": "20"})
    with core.listen("home/*") as listener:
        for n in range(200):
            core.put("/home/a", b"%d" % n)
        ids = [int(listener.event()["id"]) for _ in range(200)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("layout", [3, 99])
def test_a_newer_layout_is_refused_by_name(layout, filled, core_binary):
    db = sqlite3.connect(filled / "elastik.db")
    db.execute(f"PRAGMA user_version = {layout}")
    db.close()
    code, said = refuse(core_binary, {"ELASTIK_KEY": KEY, "ELASTIK_DATA": str(filled)})
    assert code == 1 and f"has layout {layout}" in said


def test_a_layout_that_was_never_released_is_refused_by_name(filled, core_binary):
    db = sqlite3.connect(filled / "elastik.db")
    db.execute("PRAGMA user_version = 1")
    db.close()
    code, said = refuse(core_binary, {"ELASTIK_KEY": KEY, "ELASTIK_DATA": str(filled)})
    assert code == 1 and "has layout 1" in said and "never released" in said
