"""Key rotation and pruning: one audited row each, and no world changes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from realcore import KEY

NEW = "fedcba9876543210fedcba9876543210"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A new key in a file, and a keyring with the first one."""
    ring = tmp_path / "keys"
    (ring / "old").mkdir(parents=True)
    (ring / "new").write_text(NEW + "\n")
    (ring / "old" / "first").write_text(KEY + "\n")
    return ring


def rows(data: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(data / "elastik.db") as db:
        found = db.execute(sql).fetchall()
    db.close()
    return found


def test_a_rotation_is_one_row_and_touches_no_world(filled, keys, start_core, offline):
    before = rows(filled, "SELECT * FROM world"), rows(filled, "SELECT * FROM event")
    logged = rows(filled, "SELECT * FROM log")
    said = offline("key", "rotate", "--data-dir", filled, "--new-key-file", keys / "new")
    assert said.code == 0
    assert (rows(filled, "SELECT * FROM world"), rows(filled, "SELECT * FROM event")) == before
    now = rows(filled, "SELECT * FROM log")
    assert now[:-1] == logged and len(now) == len(logged) + 1

    ring = {"ELASTIK_KEYRING": str(keys / "old")}
    assert offline("verify", "--data-dir", filled, key=NEW, **ring).code == 0
    core = start_core(data=filled, env={"ELASTIK_KEY": NEW, **ring})
    assert core.verify("home/a").status == 200
    with core.listen("home/*", last_event_id="0") as events:
        core.put("/home/a", b"under the new key")
        seen = [events.event() for _ in range(8)]
    assert seen[-1]["path"] == "/home/a" and all(event["event"] != "lag" for event in seen)
    reply = core.verify("home/a")
    assert (reply.status, reply.headers["x-audit-events"]) == (200, "4")
    assert core.stop() == 0
    assert offline("verify", "--data-dir", filled, key=NEW, **ring).code == 0


def test_without_the_old_key_its_rows_are_told_as_unchecked(filled, keys, start_core, offline):
    offline("key", "rotate", "--data-dir", filled, "--new-key-file", keys / "new")
    said = offline("verify", "--data-dir", filled, key=NEW)
    assert (said.code, said.problems) == (1, {("key-unknown", "")})
    core = start_core(data=filled, env={"ELASTIK_KEY": NEW})
    reply = core.verify("home/a")
    assert (reply.status, reply.headers["x-audit-actual"]) == (409, "not-in-keyring")
    assert core.put("/home/a", b"goes on").status == 200


def test_the_old_key_cannot_write_any_more(filled, keys, offline, core_binary):
    offline("key", "rotate", "--data-dir", filled, "--new-key-file", keys / "new")
    again = offline("key", "rotate", "--data-dir", filled, "--new-key-file", keys / "new")
    assert again.code == 3 and "it was replaced by another one" in again.stderr
    back = offline(
        "key", "rotate", "--data-dir", filled, "--new-key-file", keys / "old" / "first", key=NEW
    )
    assert back.code == 3 and "before" in back.stderr


def test_who_knows_the_old_key_cannot_write_under_it(filled, keys, start_core, offline):
    """An event under a key that is no longer in force is found, though its HMAC is right."""
    offline("key", "rotate", "--data-dir", filled, "--new-key-file", keys / "new")
    ring = {"ELASTIK_KEYRING": str(keys / "old")}
    core = start_core(data=filled, env={"ELASTIK_KEY": NEW, **ring})
    core.put("/home/after", b"x")
    assert core.stop() == 0
    with sqlite3.connect(filled / "elastik.db") as db:
        db.execute("UPDATE log SET key = 1 WHERE path = 'home/after'")
    db.close()
    said = offline("verify", "--data-dir", filled, key=NEW, **ring)
    assert {("log-key", "home/after"), ("log-mac", "home/after")} <= said.problems


def test_a_short_new_key_is_refused(filled, tmp_path, offline):
    (tmp_path / "short").write_text("short")
    said = offline("key", "rotate", "--data-dir", filled, "--new-key-file", tmp_path / "short")
    assert said.code == 2 and "32" in said.stderr


def test_a_running_core_is_not_rotated_under_its_feet(core, keys, offline):
    said = offline("key", "rotate", "--data-dir", core.data, "--new-key-file", keys / "new")
    assert said.code == 3 and f"PID {core.process.pid}" in said.stderr


def test_pruning_keeps_every_world_and_is_itself_audited(filled, start_core, offline):
    events = rows(filled, "SELECT * FROM event")
    said = offline("data", "compact", "--data-dir", filled, "--prune-days", "0")
    assert (said.code, said.summary["pruned_rows"]) == (0, 9)
    assert rows(filled, "SELECT * FROM event") == events
    assert offline("verify", "--data-dir", filled).code == 0
    core = start_core(data=filled)
    with core.listen("*", last_event_id="1") as stream:
        assert stream.event()["reason"] == "older rows of the log were pruned"
    core.put("/home/a", b"after")
    core.request("DELETE", "/home/b")
    core.put("/home/b", b"again")
    assert core.stop() == 0
    said = offline("verify", "--data-dir", filled)
    assert (said.code, said.problems) == (0, set())


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("DELETE FROM pruned WHERE path = 'home/b'", ("pruned", "")),
        ("DELETE FROM pruned", ("log-link", "")),
        ("DELETE FROM world WHERE path = 'home/b'", ("world-removed", "home/b")),
        ("UPDATE log SET link = replace(link, 'cut ', 'cut 1') WHERE kind = 7", ("log-mac", "")),
        ("UPDATE event SET size = 0 WHERE world = 1 AND id = 1", ("chain-mac", "home/a")),
    ],
)
def test_edits_of_a_pruned_store_are_found(sql, problem, filled, offline):
    offline("data", "compact", "--data-dir", filled, "--prune-days", "0")
    with sqlite3.connect(filled / "elastik.db") as db:
        db.execute(sql)
    db.close()
    said = offline("verify", "--data-dir", filled)
    assert problem in said.problems
