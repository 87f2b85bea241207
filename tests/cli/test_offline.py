"""data, key, anchor and verify without a server: by the real core, with a context's settings."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3

import pytest

from old_layout import golden
from realcore import KEY


@pytest.fixture
def at_rest(start_core, bare, core_binary):
    """The command in a directory with `data`, a store that no server has open, and its `key`."""
    core = start_core(bare.home / "data", env={"ELASTIK_HISTORY": "home/*=5"})
    for body in (b"one", b"two"):
        core.put("/home/note", body)
    core.put("/home/other", b"three")
    core.stop()
    secret_file(bare.home / "key", KEY)
    return bare.with_env(ELASTIK_CORE=str(core_binary), ELASTIK_KEY_FILE="key")


def secret_file(path, text):
    path.write_text(text)
    path.chmod(0o600)


def summary(ended):
    return json.loads(ended.lines[-1])


def test_a_store_that_holds_and_one_that_does_not(at_rest):
    held = at_rest("verify", "--all", "--data-dir", "data", "--json")
    assert (held.code, held.err) == (0, "")
    # The ledger of deletes may be a world of its own, so at least the two.
    assert summary(held)["valid"] is True and summary(held)["worlds"] >= 2
    named = at_rest("verify", "note", "--data-dir", "data", "--json")
    assert json.loads(named.lines[0])["path"] == "home/note"
    assert at_rest("verify", "nothing", "--data-dir", "data").code == 4
    spoil(at_rest.home / "data" / "elastik.db")
    broken = at_rest("verify", "--data-dir", "data", "--json")
    assert (broken.code, summary(broken)["valid"]) == (1, False)
    assert json.loads(broken.lines[0])["path"] == "home/other"


def spoil(database):
    """Change one byte of a body behind the core's back."""
    data = database.read_bytes()
    assert data.count(b"three") == 1
    database.write_bytes(data.replace(b"three", b"thrXe"))


def test_an_anchor_finds_a_store_that_was_put_back(at_rest, start_core):
    data = at_rest.home / "data"
    shutil.copytree(data, at_rest.home / "old")
    core = start_core(data)
    core.put("/home/note", b"three")
    core.stop()
    (at_rest.home / "anchors").write_bytes(at_rest.ok("anchor"))
    assert at_rest("verify", "--anchor", "anchors").code == 0
    shutil.rmtree(data)
    (at_rest.home / "old").rename(data)
    assert at_rest("verify", "--data-dir", "data").code == 0, "each chain for itself holds"
    assert at_rest("verify", "--anchor", "anchors").code == 1


def test_a_key_is_rotated_and_the_old_one_still_verifies(at_rest):
    secret_file(at_rest.home / "new", "f" * 32)
    assert at_rest("key", "rotate").code == 2
    assert at_rest("key", "rotate", "--new-key-file", "new").code == 0
    (at_rest.home / "past").mkdir()
    (at_rest.home / "key").rename(at_rest.home / "past" / "2026")
    new = at_rest.with_env(ELASTIK_KEY_FILE="new")
    assert new("verify", "--all", "--keyring", "past").code == 0
    assert new("verify", "--all", "--data-dir", "data").code not in (0, 2), "the old key is away"
    assert new("anchor").code == 0


def test_export_import_and_compact(at_rest):
    assert at_rest("data", "export", "--to", "layout8").code == 0
    assert (at_rest.home / "layout8" / "home%2Fnote" / "universe.db").is_file()
    ended = at_rest("data", "import", "--from", "layout8", "--data-dir", "again", "--json")
    assert ended.code == 0, ended
    assert at_rest("verify", "note", "other", "--data-dir", "again").code == 0
    assert at_rest("data", "compact", "--data-dir", "again").code == 0
    assert at_rest("data", "compact", "--prune-days", "-1").code == 2
    assert at_rest("data", "export", "--to", "layout8").code != 0, "it is not empty"


def test_a_directory_of_8_3_is_imported(at_rest):
    old = golden(at_rest.home / "8.3")
    before = {path: path.stat().st_mtime_ns for path in old.rglob("universe.db")}
    ended = at_rest("data", "import", "--from", "8.3", "--data-dir", "new")
    assert ended.code in (0, 8), ended
    assert {path: path.stat().st_mtime_ns for path in old.rglob("universe.db")} == before
    with sqlite3.connect(at_rest.home / "new" / "elastik.db") as db:
        assert db.execute("SELECT count(*) FROM world").fetchone()[0] > 0


def test_the_key_goes_by_environment_and_the_store_by_the_context(at_rest, tmp_path):
    """A stand-in for the core writes down what it was given; the real one must not be needed."""
    spy = tmp_path / "spy"
    spy.write_text('#!/bin/sh\nprintf "%s\\n" "$*" "$ELASTIK_KEY" "$ELASTIK_DATA"\nexit 8\n')
    spy.chmod(0o755)
    secret_file(at_rest.home / "config-key", "k" * 32)
    given = {"ELASTIK_CORE": str(spy), "ELASTIK_KEY_FILE": ""}
    told = at_rest.with_env(**given)
    told.ok("context", "set", "mine", "data_dir=/srv/mine", f"key_file={tmp_path}/config-key")
    ended = told("data", "compact", "--context", "mine", "--json")
    assert ended.code == 8, "the core's exit code is the command's"
    assert ended.lines == ["data compact --json", "k" * 32, "/srv/mine"]
    asked = told("verify", "-a", "--anchor", "x", "--context", "mine").lines[0]
    assert asked == "verify --anchor=x --"


def test_what_lacks_a_key_or_mixes_servers_and_stores_is_said(bare, core_binary):
    program = bare.with_env(ELASTIK_CORE=str(core_binary))
    for words in (["anchor"], ["data", "compact"], ["verify", "--data-dir", "data"]):
        ended = program(*words)
        assert (ended.code, ended.out) == (2, b"")
        assert "no key" in ended.err
    assert program("verify", "--all", "--key-file", "key").code == 2
    assert program("verify").code == 2


def test_a_server_that_runs_is_not_disturbed(at_rest, start_core):
    """Writing into a store needs it alone; the lock is the core's, its complaint ours."""
    core = start_core(at_rest.home / "data")
    secret_file(at_rest.home / "new", "f" * 32)
    assert at_rest("key", "rotate", "--new-key-file", "new").code not in (0, 2)
    assert core.put("/home/note", b"still here").status == 200
    assert os.listdir(at_rest.home / "data")
