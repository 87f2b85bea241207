"""The tamper matrix: every edit of a store that is made behind its back is found and named."""

from __future__ import annotations

import shutil

import pytest

from tampering import BIG, EDITS, LEDGER, A, B, edit


def test_an_untouched_store_holds(filled, offline):
    said = offline("verify", "--data-dir", filled)
    assert (said.code, said.problems) == (0, set())
    counted = {name: said.summary[name] for name in ("worlds", "events", "log_rows", "bytes")}
    assert counted == {"worlds": 5, "events": 8, "log_rows": 9, "bytes": 307221}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_found_and_named(name, filled, offline):
    found = EDITS[name]
    edit(filled, found.sql)
    said = offline("verify", "--data-dir", filled)
    assert said.code == 1
    assert (found.problem, found.path) in said.problems
    assert all(line["expected"] != line["actual"] for line in said.lines[:-1])


@pytest.mark.parametrize("name", [n for n, e in EDITS.items() if e.path in (A, B, BIG, LEDGER)])
def test_other_worlds_are_not_blamed(name, filled, offline):
    edit(filled, EDITS[name].sql)
    said = offline("verify", "--data-dir", filled)
    blamed = {path for problem, path in said.problems if not problem.startswith("log")}
    assert "etc/conf" not in blamed


def test_what_is_found_is_told_in_plain_words_too(filled, core_binary, offline):
    edit(filled, EDITS["body in the row"].sql)
    line = next(n for n in offline("verify", "--data-dir", filled, A).lines if "problem" in n)
    assert line["message"] == "the world's body was edited"
    assert line["expected"].startswith("body-sha256-")
    assert offline("verify", "--data-dir", filled, B).code == 0
    assert offline("verify", "--data-dir", filled, "home/none").code == 4


def test_an_anchor_finds_an_older_store_that_was_put_back(filled, start_core, offline, tmp_path):
    older = shutil.copytree(filled, tmp_path / "older")
    early = offline("anchor", "--data-dir", filled).summary["anchor"]
    core = start_core(data=filled)
    core.put("/home/a", b"newer")
    assert core.stop() == 0
    late = offline("anchor", "--data-dir", filled).summary["anchor"]
    anchors = tmp_path / "anchors"
    anchors.write_text(f"# kept elsewhere\n{early}\n{late}\n")
    held = offline("verify", "--data-dir", filled, "--anchor", anchors)
    assert (held.code, held.problems) == (0, set())
    assert offline("verify", "--data-dir", older).code == 0, "in itself the older store holds"
    put_back = offline("verify", "--data-dir", older, "--anchor", anchors)
    assert (put_back.code, put_back.problems) == (1, {("anchor", "")})


def test_an_anchor_of_another_store_is_told(filled, start_core, offline, tmp_path):
    core = start_core(data=tmp_path / "other")
    core.put("/home/a", b"x")
    assert core.stop() == 0
    anchor = offline("anchor", "--data-dir", tmp_path / "other").summary["anchor"]
    (tmp_path / "anchor").write_text(anchor)
    said = offline("verify", "--data-dir", filled, "--anchor", tmp_path / "anchor")
    assert said.problems == {("anchor", "")}


def test_a_list_without_the_row_of_a_pruning_changes_nothing(filled, offline):
    edit(filled, "INSERT INTO pruned VALUES('home/x', 1, x'')")
    assert offline("verify", "--data-dir", filled).code == 0


def test_who_has_the_key_forges_what_came_after_the_anchor_only(filled, offline):
    """A log without its last row and a store row to match is an older store: anchors find it."""
    anchor = offline("anchor", "--data-dir", filled).summary["anchor"]
    (filled / "anchor").write_text(anchor)
    edit(
        filled,
        "DELETE FROM event WHERE world = (SELECT id FROM world WHERE path = 'etc/conf');"
        "DELETE FROM world WHERE path = 'etc/conf';"
        "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log);"
        "UPDATE store SET worlds = worlds - 1, bytes = bytes - 3,"
        " seq = (SELECT max(seq) FROM log), mac = (SELECT mac FROM log ORDER BY seq DESC LIMIT 1)",
    )
    assert offline("verify", "--data-dir", filled).code == 0
    said = offline("verify", "--data-dir", filled, "--anchor", filled / "anchor")
    assert (said.code, said.problems) == (1, {("anchor", "")})


def test_a_wrong_key_is_one_clear_message(filled, offline):
    said = offline("verify", "--data-dir", filled, key="x" * 32)
    assert (said.code, said.lines) == (3, [])
    assert "wrong key" in said.stderr


def test_reading_leaves_nothing_behind(filled, offline):
    before = {p.name: p.read_bytes() for p in filled.iterdir()}
    offline("verify", "--data-dir", filled)
    assert {p.name: p.read_bytes() for p in filled.iterdir()} == before


def test_a_running_core_is_verified_beside_its_writes(start_core, offline):
    core = start_core()
    for number in range(50):
        core.put(f"/home/{number % 7}", b"x" * number)
    said = offline("verify", "--data-dir", core.data)
    assert (said.code, said.summary["events"]) == (0, 50)
    assert core.put("/home/after", b"still writes").status == 201
