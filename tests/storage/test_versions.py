"""Kept versions are read by every check, and what was done to one is named."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest

from realcore import launch, wait_for
from tampering import edit

A, BIG, GONE = "home/a", "home/big", "home/gone"


@pytest.fixture(scope="module")
def kept_once(core_binary, tmp_path_factory):
    """Versions in rows, in shared pieces, in pieces of their own, and of a world that is gone."""
    data = tmp_path_factory.mktemp("kept") / "data"
    core = launch(core_binary, data, env={"ELASTIK_HISTORY": "home/*=20"})
    for text in ("one", "two", "three"):
        core.put("/home/a", text.encode(), content_type="text/plain", content_language="en")
    core.put("/home/big", b"a" * 100_000)
    for n in range(5):
        core.request("POST", "/home/big", b"%d" % n * 30_000)
    core.put("/home/big", b"b" * 100_000)
    core.put("/home/big", b"c" * 10)
    for text in ("first", "second", "third"):
        core.put("/home/gone", text.encode())
    core.request("DELETE", "/home/gone")
    assert core.stop() == 0
    return data


@pytest.fixture
def kept(kept_once, tmp_path):
    return shutil.copytree(kept_once, tmp_path / "kept")


def change(path: str, event: int, what: str) -> str:
    return f"UPDATE version SET {what} WHERE path = '{path}' AND event = {event}"


def forged(text: str) -> str:
    """A body and the hash that goes with it."""
    import hashlib

    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"body = CAST('{text}' AS BLOB), body_sha256 = x'{digest}'"


def piece_of(event: int) -> str:
    return (
        "UPDATE piece SET bytes = zeroblob(length(bytes)) WHERE id = (SELECT max(piece) FROM span "
        f"WHERE object = (SELECT object FROM version WHERE path = '{BIG}' AND event = {event}))"
    )


EDITS = {
    "body": (change(A, 2, "body = CAST('tw0' AS BLOB)"), "version-body", A, 1),
    "body and its hash": (change(A, 2, forged("tw0")), "version-row", A, 1),
    "headers": (change(A, 2, "headers = ''"), "version-row", A, 1),
    "type": (change(A, 2, "content_type = 'a/b'"), "version-row", A, 1),
    "time": (change(A, 1, "time_us = time_us - 1"), "version-row", A, 0),
    "size": (change(A, 1, "size = 2"), "version-row", A, 0),
    "hmac": (change(A, 1, "hmac = zeroblob(32)"), "version-row", A, 0),
    "path": (change(A, 1, "path = 'home/other'"), "version-row", "home/other", 0),
    "number": (change(A, 1, "seq = seq + 100000"), "version-not-logged", A, 0),
    "a piece": (piece_of(7), "version-body", BIG, 6),
    "a piece that many share": (piece_of(5), "version-body", BIG, 5),
    "of a world that is gone": (change(GONE, 2, "body = x'00'"), "version-body", GONE, 1),
    "and its hash, gone": (change(GONE, 2, forged("secand")), "version-row", GONE, 1),
    "and its headers, gone": (
        change(GONE, 1, "headers = 'x' || char(0) || 'y' || char(0)"), "version-row", GONE, 0,
    ),
}  # fmt: skip


def found(said) -> set[tuple[str, str, int]]:
    return {
        (line["problem"], line["path"], line["event"]) for line in said.lines if "problem" in line
    }


def test_what_is_kept_holds(kept, offline):
    said = offline("verify", "--data-dir", kept)
    assert (said.code, said.summary["versions"]) == (0, 2 + 7 + 3)
    assert offline("data", "check", "--data-dir", kept).code == 0
    only = offline("verify", "--data-dir", kept, "home/a")
    assert (only.code, only.summary["versions"]) == (0, 2)


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_of_a_version_is_named(name, kept, offline):
    sql, problem, path, event = EDITS[name]
    edit(kept, sql)
    said = offline("verify", "--data-dir", kept)
    assert said.code == 1
    assert (problem, path, event) in found(said), said
    assert {line[1] for line in found(said)} == {path}, "nobody else is blamed"


@pytest.mark.parametrize("name", [name for name in EDITS if name not in ("path", "number")])
def test_an_edited_version_is_served_as_such_and_not_put_back(name, kept, start_core):
    sql, _, path, event = EDITS[name]
    edit(kept, sql)
    core = start_core(data=kept, env={"ELASTIK_HISTORY": "home/*=20"})
    was = core.request("POST", f"/proc/history/{path}?at={event + 1}")
    assert was.status == 409, was
    if "piece" not in name:  # a large body is read by the checks, and when it is put back
        served = core.get(f"/proc/history/{path}?at={event + 1}")
        assert (served.status, served.headers["x-audit-valid"]) == (200, "false")
        assert "etag" not in served.headers


def test_versions_that_hold_are_served_with_their_etags(kept, start_core):
    core = start_core(data=kept, env={"ELASTIK_HISTORY": "home/*=20"})
    for path, events in ((A, 2), (BIG, 7), (GONE, 3)):
        for event in range(1, events + 1):
            served = core.get(f"/proc/history/{path}?at={event}")
            assert (served.status, "x-audit-valid" in served.headers) == (200, False)
            assert served.etag
    assert core.request("POST", f"/proc/history/{BIG}?at=5").status == 200


def test_data_check_reads_the_bodies_without_a_key(kept, offline):
    edit(kept, EDITS["body"][0] + ";" + EDITS["a piece"][0])
    said = offline("data", "check", "--data-dir", kept, key="")
    assert said.code == 1
    messages = [line["message"] for line in said.lines if "message" in line]
    assert messages[0].startswith("version 2: home/a: a kept version's body was edited")
    assert messages[1].startswith("version 7: home/big: a kept version's body was edited")


def test_the_scrub_and_the_check_over_http_read_them_too(kept, start_core):
    edit(kept, EDITS["body"][0])
    env = {"ELASTIK_SCRUB_PAUSE": "0.1", "ELASTIK_HISTORY": "home/*=20"}
    core = start_core(data=kept, env=env)
    assert wait_for(lambda: b"scrub_problems 1" in core.get("/proc/pool").body)
    assert "home/a: a kept version's body was edited (event 1" in core.stderr()
    assert core.put("/home/a", b"goes on").status == 200, "the world itself holds"
    lines = [json.loads(line) for line in core.get("/proc/audit/verify").body.splitlines()]
    assert [line["problem"] for line in lines[:-1]] == ["version-body"]


def test_versions_of_a_pruned_log_are_held_against_their_chains(kept, offline):
    assert offline("data", "compact", "--data-dir", kept, "--prune-days", "0").code == 0
    assert offline("verify", "--data-dir", kept).code == 0
    edit(kept, change(A, 2, forged("tw0")))
    said = offline("verify", "--data-dir", kept)
    assert found(said) == {("version-row", A, 1)}


def test_a_check_beside_writes_that_trim_versions_finds_nothing(start_core):
    core = start_core(env={"ELASTIK_HISTORY": "home/*=2", "ELASTIK_SCRUB_PAUSE": "0.05"})
    for n in range(150):
        core.put(f"/home/{n % 3}", b"%d" % n * 3000)
        core.request("POST", "/home/0", b"more" * 3000)
        if n % 10 == 0:
            said = core.get("/proc/audit/verify").body.splitlines()
            assert json.loads(said[-1])["valid"], said
    assert wait_for(lambda: b"scrub_passes 0 " not in core.get("/proc/pool").body)
    assert "scrub found" not in core.stderr()


def test_the_edits_are_edits(kept):
    """Each statement above changes exactly one row."""
    for sql, *_ in EDITS.values():
        db = sqlite3.connect(kept / "elastik.db")
        assert db.execute(sql).rowcount == 1, sql
        db.close()
