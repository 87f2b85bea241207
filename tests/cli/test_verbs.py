"""cp, mv, diff, edit, sync, put -r, get -r, du, plot, context: one by one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import time
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commandline import talking_to
from elastik_cli.config import read_config, write_config
from elastik_cli.diffing import json_changes
from elastik_cli.plotting import chart, sparkline, thinned
from elastik_cli.quantities import human_size, parse_duration
from elastik_cli.trees import escape_of
from realcore import wait_for


def test_cp_takes_type_and_headers_along(elastik):
    elastik.ok("put", "cp/a", "--text", "x", "--type", "text/x-a", "--cache-control", "no-store")
    assert elastik.ok("cp", "cp/a", "cp/b") == b"1\n"
    head = json.loads(elastik.ok("head", "cp/b", "--json"))
    assert (head["content-type"], head["cache-control"]) == ("text/x-a", "no-store")
    assert elastik("cp", "cp/a", "cp/b", "--create-only").code == 6
    assert elastik("cp", "cp/nothing", "cp/c").code == 4
    assert elastik("cp", "cp/a", "cp/a").code == 2


def test_cp_and_mv_only_the_version_that_was_seen(elastik):
    def etag(path):
        return json.loads(elastik.ok("head", path, "--json"))["etag"].strip('"')

    for path in ("pin/a", "pin/b", "pin/c"):
        elastik.ok("put", path, "--text", path)
    old = etag("pin/a")
    elastik.ok("put", "pin/a", "--text", "newer")
    for verb in ("cp", "mv"):
        assert elastik(verb, "pin/a", "pin/new", "--if-match", old).code == 6
        assert elastik(verb, "pin/a", "pin/b", "--target-if-match", old).code == 6
        assert elastik(verb, "-r", "pin", "pun", "--if-match", old).code == 2
    assert elastik.ok("get", "pin/b") == b"pin/b"
    assert elastik("get", "pin/new").code == 4
    assert elastik.ok("cp", "pin/a", "pin/new", "--if-match", etag("pin/a")) == b"1\n"
    both = ("--if-match", etag("pin/a"), "--target-if-match", etag("pin/b"))
    assert elastik.ok("mv", "pin/a", "pin/b", *both) == b"1\n"
    assert (elastik.ok("get", "pin/b"), elastik("get", "pin/a").code) == (b"newer", 4)
    taken = elastik("cp", "pin/b", "pin/c", "--create-only", "--if-match", etag("pin/b"))
    assert taken.code == 6
    assert elastik("cp", "pin/none", "pin/x", "--if-match", old).code in (4, 6)


def test_a_condition_is_never_dropped_for_an_older_server(published, tmp_path):
    """8.3 has no COPY; a copy by GET and PUT would not keep the promise."""
    core = published.start(tmp_path / "old-store")
    try:
        old = talking_to(core, tmp_path)
        old.ok("put", "pin", "--text", "x")
        ended = old("cp", "pin", "pan", "--if-match", "hmac-0")
        assert ended.code == 3, ended
        assert "needs a server with COPY" in ended.err
        assert old("get", "pan").code == 4
    finally:
        core.kill()


def test_cp_and_mv_whole_prefixes(alone):
    for path in ("one/a", "one/b/c"):
        alone.ok("put", path, "--text", path)
    assert alone.ok("cp", "-r", "one", "two") == b"2\n"
    assert alone.ok("mv", "-r", "one", "three", "-n").decode().splitlines() == [
        "home/one/a\thome/three/a", "home/one/b/c\thome/three/b/c",
    ]  # fmt: skip
    assert alone.ok("mv", "-r", "one", "three") == b"2\n"
    listed = alone.ok("ls", "--all", "home").decode().split()
    assert listed == ["home/three/a", "home/three/b/c", "home/two/a", "home/two/b/c"]
    assert alone("cp", "-r", "two", "two/deeper").code == 2


def test_diff_says_yes_no_or_why_not(elastik, tmp_path):
    elastik.ok("put", "d/a", "--text", "one\ntwo\n")
    (tmp_path / "same").write_text("one\ntwo\n")
    (tmp_path / "other").write_text("one\nthree\n")
    assert elastik("diff", "d/a", "--file", "same") == (0, b"", "")
    ended = elastik("diff", "d/a", "--file", "other")
    assert (ended.code, ended.lines[-2:]) == (1, ["-two", "+three"])
    assert elastik("diff", "d/a", "--file", "-", stdin=b"one\ntwo\n").code == 0
    assert elastik("diff", "d/a", "d/nothing").code == 4
    assert elastik("diff", "d/a").code == 2


def test_diff_of_bytes_shows_sizes_and_hashes(elastik):
    elastik.ok("put", "d/x", stdin=b"\0\1")
    elastik.ok("put", "d/y", stdin=b"\0\1\2")
    ended = elastik("diff", "d/x", "d/y")
    assert ended.code == 1
    assert [line.split("\t")[0] for line in ended.lines] == ["2", "3"]


def test_diff_against_another_server(elastik, start_core, tmp_path):
    other = start_core(tmp_path / "other-store")
    other.put("/home/d/z", b"theirs\n")
    elastik.ok("put", "d/z", "--text", "ours\n")
    token = tmp_path / "token"
    token.write_text(other.read)
    token.chmod(0o600)
    elastik.ok("context", "set", "lab", f"url={other.url}", f"read_token_file={token}")
    ended = elastik("diff", "d/z", "--to-context", "lab")
    assert (ended.code, ended.lines[-2:]) == (1, ["-ours", "+theirs"])


def test_edit_keeps_both_versions_when_somebody_was_faster(elastik, tmp_path):
    elastik.ok("put", "e/x", "--text", "first\n")
    racing = tmp_path / "editor"
    racing.write_text(
        f'#!/bin/sh\necho mine > "$1"\n{" ".join(elastik.argv)} put e/x --text theirs\n'
    )
    racing.chmod(0o755)
    ended = elastik("edit", "e/x", "--editor", str(racing))
    assert ended.code == 6
    assert elastik.ok("get", "e/x") == b"theirs"
    kept = ended.err.rpartition("your version is in ")[2].strip()
    with open(kept) as file:
        assert file.read() == "mine\n"
    os.unlink(kept)
    assert "+mine" in ended.out.decode()


def test_edit_keeps_type_and_creates(elastik):
    elastik.ok("put", "e/t", "--text", "a", "--type", "text/x-a", "--cache-control", "no-store")
    elastik.ok("edit", "e/t", "--editor", "sed -i s/a/b/")
    head = json.loads(elastik.ok("head", "e/t", "--json"))
    assert (head["content-type"], head["cache-control"]) == ("text/x-a", "no-store")
    elastik.ok("edit", "e/new.txt", "--editor", "sh -c 'echo new > $0'")
    assert elastik.ok("get", "e/new.txt") == b"new\n"


def tree_of(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_put_r_and_get_r_bring_a_tree_there_and_back(alone):
    home = alone.home
    (home / "site" / "sub dir").mkdir(parents=True)
    for name, body in (("a", b"1"), ("sub dir/ü", os.urandom(200_000)), ("empty", b"")):
        (home / "site" / name).write_bytes(body)
    (home / "site" / "link").symlink_to("/etc/passwd")
    alone.ok("put", "-r", "site", "there")
    alone.ok("get", "-r", "there", "back")
    assert tree_of(home / "back") == {
        k: v for k, v in tree_of(home / "site").items() if k != "link"
    }


def test_get_r_never_leaves_its_directory(alone):
    home = alone.home
    (home / "outside").mkdir()
    (home / "into").mkdir()
    (home / "into" / "sub").symlink_to(home / "outside")
    alone.ok("put", "g/sub/x", "--text", "1")
    alone.ok("put", "g/fine", "--text", "2")
    ended = alone("get", "-r", "g", "into")
    assert ended.code == 8
    assert "is a link" in ended.err
    assert list((home / "outside").iterdir()) == []
    assert (home / "into" / "fine").read_text() == "2"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    try:
        assert escape_of(tmp_path, tmp_path / name)
    except ValueError:
        pass  # not below the directory at all


def test_sync_does_what_its_dry_run_said_and_nothing_twice(alone):
    home = alone.home
    (home / "s").mkdir()
    for name in ("a", "b", "c.tmp"):
        (home / "s" / name).write_text(name)
    plan = alone.ok("sync", "./s", ":s", "-n", "--exclude", "*.tmp")
    assert alone("ls", "s").code == 4
    assert alone.ok("sync", "./s", ":s", "--exclude", "*.tmp") == plan
    assert alone.ok("sync", "./s", ":s", "--exclude", "*.tmp") == b""
    (home / "s" / "b").write_text("B")  # the same size: only the bytes tell
    assert alone.ok("sync", "./s", ":s", "--exclude", "*.tmp") == b"put\t1\thome/s/b\n"


def test_sync_deletes_only_when_told_and_only_so_much(alone):
    home = alone.home
    (home / "s").mkdir()
    (home / "s" / "a").write_text("a")
    for name in ("a", "x", "y"):
        alone.ok("put", f"s/{name}", "--text", "a")
    assert alone.ok("sync", "./s", ":s") == b""
    assert alone("sync", "./s", ":s", "--delete", "--max-delete", "1").code == 6
    assert len(alone.ok("ls", "s").split()) == 3
    alone.ok("sync", "./s", ":s", "--delete", "--max-delete", "2")
    assert alone.ok("ls", "s").split() == [b"home/s/a"]
    (home / "s" / "z").write_text("z")
    assert alone.ok("sync", ":s", "./s") == b""
    assert alone.ok("sync", ":s", "./s", "--delete") == b"remove\t1\thome/s/z\n"
    assert not (home / "s" / "z").exists()


def test_sync_needs_one_side_there_and_one_here(alone):
    assert alone("sync", "./a", "./b").code == 2
    assert alone("sync", ":a", ":b").code == 2
    assert alone("sync", "./missing", ":b").code == 2


def test_du_sums_up(alone):
    for path, size in (("u/a", 1), ("u/b/c", 10), ("u/b/d", 100)):
        alone.ok("put", path, stdin=b"x" * size)
    assert alone.ok("du", "u") == b"1\thome/u/a\n10\thome/u/b/c\n100\thome/u/b/d\n"
    assert alone.ok("du", "u", "-d", "1") == b"1\thome/u/a\n110\thome/u/b/\n"
    assert alone.ok("du", "u", "-s") == b"111\thome/u\n"
    assert alone.ok("du", "u", "--sort", "size").startswith(b"100\t")


def test_plot_draws_on_a_terminal_and_counts_in_a_pipe(elastik):
    elastik.ok("put", "plot/x", "--text", "t=1\nt=2\nt=3\n")
    assert elastik.ok("plot", "plot/x") == b"1\n2\n3\n"
    assert "█" in elastik.on_terminal("plot", "plot/x")[1].decode()
    elastik.ok("put", "plot/none", "--text", "nothing here")
    assert elastik("plot", "plot/none").code == 3


def test_contexts_are_made_used_and_forgotten(bare):
    bare.ok("context", "set", "lab", "url=http://lab:1", "port=1")
    bare.ok("context", "set", "home", "url=http://home:2", "token_command=pass show 'my token'")
    bare.ok("context", "use", "home")
    rows = [json.loads(line) for line in bare.ok("context", "list", "--json").splitlines()]
    assert [(r["context"], r["selected"]) for r in rows] == [("home", True), ("lab", False)]
    shown = [json.loads(line) for line in bare.ok("context", "show", "--json").splitlines()]
    url = next(row for row in shown if row["setting"] == "url")
    assert (url["value"], url["source"]) == ("http://home:2", "context home")
    bare.ok("context", "remove", "home")
    assert bare("context", "use", "home").code == 4
    assert bare("context", "set", "lab", "token=secret").code == 2


def test_doctor_finds_what_is_wrong(bare, elastik):
    assert elastik("doctor").code == 0
    ended = bare.with_env(ELASTIK_URL="http://127.0.0.1:9")("doctor", "--json")
    failed = [r for r in map(json.loads, ended.lines) if r["state"] == "fail"]
    assert (ended.code, [r["check"] for r in failed]) == (1, ["server"])
    assert failed[0]["next"] == "elastik run"


def test_a_time_names_a_version_for_every_verb(start_core, tmp_path):
    core = start_core(tmp_path / "kept", env={"ELASTIK_HISTORY": "home/*=5"})
    program = talking_to(core, tmp_path)
    for text in ("one", "two", "three"):
        program.ok("put", "v", "--text", text)
        time.sleep(0.01)
    rows = [json.loads(line) for line in program.ok("log", "v", "--json").splitlines()]
    times = {row["event"]: row["time"] for row in rows}
    assert all(text.endswith("Z") for text in times.values()), "printed in UTC"
    assert program.ok("get", "v", "--at", times[1]) == b"one"
    changes = program("diff", "v", "--at", times[1], "--at", times[2])
    assert changes.code == 1 and b"-one" in changes.out and b"+two" in changes.out
    # A time without an offset is the caller's own.
    utc = datetime.fromisoformat(times[2].replace("Z", "+00:00"))
    local = (utc + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    east = program.with_env(TZ="XST-2")
    assert east.ok("get", "v", "--at", local) == b"two"
    east.ok("revert", "v", "--at", local)
    assert program.ok("get", "v") == b"two"
    assert program("revert", "v", "--at", "2001-01-01T00:00").code == 4


def test_doctor_tells_what_the_scrub_found(start_core, tmp_path):
    core = start_core(tmp_path / "d", env={"ELASTIK_SCRUB_PAUSE": "0"})
    core.put("/home/a", b"body")
    program = talking_to(core, tmp_path)
    found = {row["check"]: row for row in map(json.loads, program("doctor", "--json").lines)}
    assert (found["ready"]["state"], found["ready"]["evidence"]) == ("ok", "ready")
    assert found["scrub"]["evidence"] == "0 passes, 0 problems, 0 worlds set aside"
    assert core.stop() == 0
    with sqlite3.connect(core.data / "elastik.db") as db:
        db.execute("UPDATE world SET body = CAST('edit' AS BLOB) WHERE path = 'home/a'")
    db.close()
    edited = start_core(tmp_path / "d", env={"ELASTIK_SCRUB_PAUSE": "0.1"})
    program = talking_to(edited, tmp_path)
    assert wait_for(lambda: b"scrub_problems 1" in edited.get("/proc/pool").body)
    found = {row["check"]: row for row in map(json.loads, program("doctor", "--json").lines)}
    assert (found["scrub"]["state"], found["scrub"]["next"]) == ("fail", "elastik verify --all")


def test_doctor_asks_the_coap_door(start_core, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        program = talking_to(start_core(env={"ELASTIK_COAP_PORT": None}), tmp_path)
        mute = program.with_env(ELASTIK_COAP_PORT=port)("doctor", "--json")
    talks = talking_to(start_core(tmp_path / "b", env={"ELASTIK_COAP_PORT": port}), tmp_path)
    heard = talks.with_env(ELASTIK_COAP_PORT=port)("doctor", "--json")
    for ended, state in ((mute, "skip"), (heard, "ok")):
        rows = [row for row in map(json.loads, ended.lines) if row["check"] == "coap"]
        assert [row["state"] for row in rows] == [state], ended


def test_versions_are_listed_got_compared_put_back_and_purged(start_core, tmp_path):
    core = start_core(tmp_path / "kept", env={"ELASTIK_HISTORY": "home/*=5"})
    program = talking_to(core, tmp_path)
    for text in ("one", "two", "three"):
        program.ok("put", "v", "--text", text)
    rows = [json.loads(line) for line in program.ok("log", "v", "--kept", "--json").splitlines()]
    assert [row["event"] for row in rows] == [2, 1]
    assert program.ok("get", "v", "--at", "1") == b"one"
    program.ok("get", "v", "--at", rows[0]["time"], "-o", "old")
    assert (tmp_path / "old").read_bytes() == b"two"
    assert program("diff", "v", "--at", "1", "--at", "2").code == 1
    assert program("diff", "v", "--at", "1", "--at", "1").code == 0
    stale = rows[0]["etag"]
    assert program("revert", "v", "--at", "1", "--if-match", stale).code == 6
    program.ok("revert", "v", "--at", "1")
    assert program.ok("get", "v") == b"one"
    assert program("revert", "v", "--at", "99").code == 4
    assert program("get", "v", "--at", "soon").code == 2
    assert program.ok("rm", "v", "--purge") == b"1\n"
    assert program("log", "v").code == 4
    program.ok("put", "v", "--text", "again")
    assert program("get", "v", "--at", "1").out in (b"", b"again")


def test_tree_shows_sizes_and_ages_left_of_the_names(elastik):
    elastik.ok("put", "grove/a", "--text", "x" * 2048)
    elastik.ok("put", "grove/b/c", "--text", "12345")
    lines = elastik.ok("tree", "-l", "grove").decode().splitlines()
    assert lines[0] == " " * 13 + "home/grove"
    assert re.fullmatch(r"  2\.0K +\d+[sm]  ├── a", lines[1])
    assert lines[2] == " " * 13 + "└── b"
    assert re.fullmatch(r"     5 +\d+[sm]      └── c", lines[3])
    rows = [json.loads(line) for line in elastik.ok("tree", "-l", "grove", "--json").splitlines()]
    assert [(row["path"], row["size"]) for row in rows] == [
        ("home/grove/a", 2048),
        ("home/grove/b/c", 5),
    ]


def test_ls_sorts_by_size_and_age(elastik, shared_core):
    for name, body in (("b", b"12"), ("a", b"1"), ("c", b"123"), ("deep/x", b"1")):
        shared_core.put(f"/home/sorted/{name}", body)
    shared_core.put("/home/sorted/b", b"21")

    def names(*words):
        return [p.rpartition("sorted/")[2] for p in elastik("ls", "sorted", *words).lines]

    assert names() == ["a", "b", "c", "deep/"]
    assert names("--sort", "size") == ["c", "b", "a", "deep/"]
    assert names("--sort", "age")[0] == "b"
    assert names("--sort", "age")[-1] == "deep/"
    assert elastik("ls", "sorted", "--sort", "size", "--json").lines[0].count('"size": 3') == 1


def test_log_tells_each_write_and_what_can_still_be_read(start_core, tmp_path):
    core = start_core(tmp_path / "kept", env={"ELASTIK_HISTORY": "home/*=2"})
    program = talking_to(core, tmp_path)
    for text in ("one", "two", "three"):
        program.ok("put", "v", "--text", text, "--type", "text/x-v")
    program.ok("post", "v", "--text", "!")
    rows = [json.loads(line) for line in program.ok("log", "v", "--json").splitlines()]
    assert [(row["event"], row["action"], row["state"], row["size"]) for row in rows] == [
        (4, "append", "current", 6), (3, "put", "kept", 5), (2, "put", "kept", 3),
        (1, "put", "gone", 3),
    ]  # fmt: skip
    head = json.loads(program.ok("head", "v", "--json"))
    assert rows[0]["etag"] == head["etag"].strip('"')
    assert {row["type"] for row in rows} == {"text/x-v"}
    for row in rows[1:]:
        assert program("get", "v", "--at", str(row["event"])).code == (
            0 if row["state"] == "kept" else 4
        )
    fields = program.ok("log", "v", "-c", "1").decode().rstrip("\n").split("\t")
    assert [fields[0], *fields[2:5], fields[6]] == ["4", "append", "current", "6", "home/v"]
    code, screen = program.on_terminal("log", "v", "--color", "never")
    assert (code, len(screen.splitlines())) == (0, 5)
    program.ok("rm", "v")
    program.ok("put", "v", "--text", "again")
    lives = [json.loads(line) for line in program.ok("log", "v", "--json").splitlines()]
    assert [(row["action"], row["state"]) for row in lives] == [
        ("put", "current"), (None, "kept"), (None, "kept"),
    ]  # fmt: skip


def test_log_of_many_events_goes_page_by_page(alone, core):
    lines = "".join(
        f'{{"op":"append","path":"/home/long","body":"{n % 10}"}}\n' for n in range(2100)
    )
    core.put("/home/long", b"")
    reply = core.request("POST", "/proc/batch", lines.encode())
    assert reply.status == 200, reply
    events = [int(line.split("\t")[0]) for line in alone.ok("log", "long").decode().splitlines()]
    assert events == list(range(2101, 0, -1))
    assert len(alone.ok("log", "long", "-c", "1500").splitlines()) == 1500


def test_log_says_what_has_none(elastik):
    elastik.ok("put", "tmp/logged", "--text", "x")
    ended = elastik("log", "tmp/logged")
    assert (ended.code, "not audited" in ended.err) == (1, True)
    assert elastik("log", "nothing/logged").code == 4


def test_top_counts_what_happens(alone):
    process = alone.start("top", "--every", "1s", "--count", "2", "--json")
    for number in range(5):
        alone.ok("put", "hot/path", "--text", str(number))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert {"requests", "events", "paths", "listeners"} <= {row["name"] for row in rows}
    assert [row for row in rows if row["name"] == "home/hot/path" and row["value"] > 0]


# -- pure functions -----------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values, values)
def test_json_changes_are_none_just_for_equal_values(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (not list(json_changes(one, other))) is same


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1),
    st.integers(1, 99),
)
def test_pictures_fit(numbers, width):
    assert len(thinned(numbers, width)) <= width
    assert len(sparkline(numbers)) == len(numbers)
    assert len(chart(numbers, width, 5)) == 5


texts = st.text(st.characters(exclude_categories=["Cs"]))
tables = st.dictionaries(texts, st.none() | texts | st.integers() | st.lists(texts))


@given(st.dictionaries(texts, texts | st.integers(-(2**63), 2**63 - 1) | st.lists(texts)), tables)
def test_the_config_comes_back_as_written(tmp_path_factory, top, table):
    file = tmp_path_factory.mktemp("config") / "config.toml"
    kept = {k: v for k, v in table.items() if v is not None and not isinstance(v, int)}
    config = {**top, "contexts\0": {"a b": kept}}
    write_config(file, config)
    assert read_config(file) == config


@given(st.text())
def test_durations_are_a_number_or_a_clear_error(text):
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0


def test_durations_as_people_write_them():
    assert [parse_duration(t) for t in ("10", "10s", "250ms", "1h30m")] == [10, 10, 0.25, 5400]
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration("soon")


@given(st.integers(0, 10**20))
def test_sizes_for_people_are_short(count):
    assert len(human_size(count)) <= 7
