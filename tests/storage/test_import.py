"""Moving house: directories of elastik 8.x become a store, and nothing is lost on the way."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from old_layout import (
    EXPECTED,
    golden,
    put,
    same_as_expected,
    sign,
    snapshot,
    write_world,
)
from realcore import KEY, refuse


def start_refused(core_binary: Path, data: Path, key: str = KEY) -> str:
    env = {"ELASTIK_KEY": key, "ELASTIK_DATA": str(data), "ELASTIK_PORT": "0"}
    code, text = refuse(core_binary, env)
    assert code == 1
    return text


def test_the_golden_directory_is_served_as_8_3_served_it(start_core, tmp_path, offline):
    data = golden(tmp_path / "data")
    before = snapshot(data)
    core = start_core(data=data)
    same_as_expected(core)
    assert "importing 13 worlds" in core.stderr()
    [original] = data.glob("8.x-original-*")
    assert snapshot(original) == before, "the old directories are whole"
    assert sorted(p.name for p in data.iterdir() if p.is_dir()) == [original.name]
    core.put("/home/text", b"goes on")
    assert core.verify("home/text").headers["x-audit-events"] == "2"
    assert core.stop() == 0
    again = start_core(data=data)
    assert again.get("/home/text").body == b"goes on"
    assert "importing" not in again.stderr()
    assert again.stop() == 0
    said = offline("verify", "--data-dir", data)
    assert (said.code, said.problems) == (0, set())


def test_every_event_row_is_unchanged(tmp_path, offline):
    data = golden(tmp_path / "data")
    said = offline("data", "import", "--data-dir", data)
    assert (said.code, said.summary["worlds"], said.summary["events"]) == (0, 13, 24)
    with sqlite3.connect(data / "elastik.db") as db:
        for path, world in EXPECTED["worlds"].items():
            rows = db.execute(
                "SELECT e.id, type, coalesce(target, path), lower(hex(e.body_sha256)), e.size,"
                " e.content_type, lower(hex(meta_sha256)), lower(hex(e.hmac)),"
                " lower(hex(prev_hmac)),"
                " datetime(time_us / 1000000, 'unixepoch'), time_text, raw"
                " FROM event e JOIN world w ON w.id = e.world WHERE path = ? ORDER BY e.id",
                (path,),
            ).fetchall()
            names = ["id", "event_type", "target", "body_sha256", "size", "content_type"]
            names += ["meta_sha256", "hmac", "prev_hmac", "timestamp"]
            want = [(*(event[name] for name in names), None, None) for event in world["events"]]
            assert rows == want, path
    db.close()


def test_imported_worlds_are_not_delivered_as_news(start_core, tmp_path):
    core = start_core(data=golden(tmp_path / "data"))
    with core.listen("home/*", last_event_id="0") as events:
        core.put("/home/new", b"x")
        assert events.event()["path"] == "/home/new"


def test_a_wrong_key_is_recognised_before_anything_changes(core_binary, tmp_path):
    data = golden(tmp_path / "data")
    before = snapshot(data), sorted(p.name for p in data.iterdir())
    text = start_refused(core_binary, data, key="x" * 32)
    assert "wrong key" in text and "nothing was changed" in text
    assert (snapshot(data), sorted(p.name for p in data.iterdir())) == before


def test_broken_worlds_are_set_aside_and_stop_nothing(start_core, tmp_path, offline):
    data = golden(tmp_path / "data")
    db = sqlite3.connect(data / "home%2Ftext" / "universe.db")
    db.execute("UPDATE stage_meta SET body = zeroblob(length(body))")
    db.commit()
    db.close()
    (data / "home%2Fbin" / "universe.db").write_bytes(b"this is no database at all")
    write_world(data, "home%2Fghost", b"", [])
    shutil.copytree(data / "home%2Fback", data / "home%2Frenamed")
    write_world(data, "junk", b"x", put("junk", b"x"))
    core = start_core(data=data)
    for path, reason in {
        "home/text": "body was edited",
        "home/bin": "cannot be read",
        "home/ghost": "no events",
        "home/renamed": "another path",
    }.items():
        reply = core.get(f"/{path}")
        assert (reply.status, reply.headers["x-audit-valid"]) == (200, "false"), path
        assert "etag" not in reply.headers
        refused = core.put(f"/{path}", b"new")
        assert refused.status == 409 and reason in refused.body.decode(), path
        assert core.request("POST", f"/{path}", b"more").status == 409
    assert core.get("/home/text").body == bytes(13), "it can still be downloaded for repair"
    assert "left out: junk" in core.stderr()
    assert core.get("/home/over").headers["etag"] == EXPECTED["worlds"]["home/over"]["etag"]
    assert core.request("DELETE", "/home/text").status == 204
    assert core.put("/home/text", b"repaired").status == 201
    assert core.verify("home/text").status == 200
    assert core.stop() == 0
    said = offline("verify", "--data-dir", data)
    aside = {path for problem, path in said.problems if problem == "set-aside"}
    assert aside == {"home/bin", "home/ghost", "home/renamed"}
    assert {path for _, path in said.problems} == aside, "all others hold"


def test_what_a_wal_holds_is_imported(start_core, tmp_path):
    """A core of 8.x that was killed leaves its newest commit in a -wal."""
    data = golden(tmp_path / "data")
    file = data / "home%2Ftext" / "universe.db"
    writer = sqlite3.connect(file)
    writer.execute("PRAGMA journal_mode=WAL")
    prev = writer.execute("SELECT hmac FROM events").fetchone()[0]
    sha, kind = hashlib.sha256(b"in the wal").hexdigest(), "text/plain"
    meta = hashlib.sha256(b"content-type\0" + kind.encode() + b"\0").hexdigest()
    mac = sign(KEY, prev, ("put", "home/text", sha, 10, kind, meta))
    writer.execute("UPDATE stage_meta SET body = ?, content_type = ?", (b"in the wal", kind))
    writer.execute("DELETE FROM meta_headers")
    writer.execute(
        "INSERT INTO events(timestamp, event_type, target, body_sha256, size, content_type,"
        " meta_sha256, hmac, prev_hmac) VALUES('2026-01-01 00:00:00', 'put', 'home/text', ?, 10,"
        " ?, ?, ?, ?)",
        (sha, kind, meta, mac, prev),
    )
    writer.commit()
    killed = tmp_path / "killed"
    shutil.copytree(data, killed)
    writer.close()
    assert (killed / "home%2Ftext" / "universe.db-wal").stat().st_size > 0
    core = start_core(data=killed)
    reply = core.get("/home/text")
    assert (reply.body, reply.etag) == (b"in the wal", f'"hmac-{mac}"')
    assert core.verify("home/text").headers["x-audit-events"] == "2"


def test_rows_that_are_not_in_normal_form_keep_a_raw_copy(tmp_path, offline):
    """Odd timestamps, an upper-case hash and other event types come back byte for byte."""
    data = tmp_path / "data"
    sha = hashlib.sha256(b"x").hexdigest()
    events = [
        ("yesterday", "delete", "home/odd", "", 0, "a/b"),
        ("2026-01-02T03:04:05Z", "put", "home/odd", sha.upper(), 1, "a/b"),
        ("2026-01-02 03:04:06", "put", "home/odd", sha, 1, "a/b"),
    ]
    write_world(data, "home%2Fodd", b"x", events)
    before = snapshot(data)
    assert offline("data", "import", "--data-dir", data).code == 0
    assert offline("verify", "--data-dir", data).code == 0
    out = tmp_path / "out"
    assert offline("data", "export", "--layout", "8", "--data-dir", data, "--to", out).code == 0
    assert rows_of(out / "home%2Fodd") == rows_of(next(data.glob("8.x-*")) / "home%2Fodd")
    assert snapshot(next(data.glob("8.x-*"))) == before


def test_an_edited_timestamp_of_an_imported_event_is_found(tmp_path, offline):
    data = golden(tmp_path / "data")
    offline("data", "import", "--data-dir", data)
    with sqlite3.connect(data / "elastik.db") as db:
        db.execute("UPDATE event SET time_us = 1 WHERE id = 1 AND size = 13")
    db.close()
    assert ("import-times", "home/text") in offline("verify", "--data-dir", data).problems


def test_worlds_of_6_3_come_through(start_core, tmp_path, offline):
    """Its ledger keeps the empty body as text and has one `delete` row for each delete."""
    data = tmp_path / "data"
    write_world(data, "home%2Fa", b"kept", put("home/a", b"kept"))
    gone = hashlib.sha256(b"gone").hexdigest()
    ledger = write_world(
        data,
        "var%2Flog%2Fdeletes",
        b"",
        [("2025-01-01 00:00:00", "delete", "home/gone", gone, 0, "application/octet-stream")],
    )
    db = sqlite3.connect(ledger / "universe.db")
    db.execute("UPDATE stage_meta SET body = ''")
    db.commit()
    db.close()
    core = start_core(data=data)
    assert core.get("/home/a").body == b"kept"
    assert core.verify("var/log/deletes").status == 200
    core.request("DELETE", "/home/a")
    assert core.verify("var/log/deletes").headers["x-audit-events"] == "3"
    assert core.stop() == 0
    assert offline("verify", "--data-dir", data).code == 0


def test_old_worlds_beside_a_store_stop_the_start_with_two_choices(core_binary, filled):
    write_world(filled, "home%2Fold", b"x", put("home/old", b"x"))
    text = start_refused(core_binary, filled)
    assert "Choose: move elastik.db" in text and "or move the 8.x directories away" in text
    (filled / "elastik.db").rename(filled.parent / "kept.db")
    code = start_refused(core_binary, filled, key="y" * 32)
    assert "wrong key" in code


def test_a_directory_elsewhere_is_imported_and_left_as_it_is(tmp_path, offline):
    old, data = golden(tmp_path / "old"), tmp_path / "new"
    before = snapshot(old)
    said = offline("data", "import", "--from", old, "--data-dir", data)
    assert (said.code, said.summary["original"]) == (0, None)
    assert snapshot(old) == before and not list(old.glob("8.x-*"))
    assert offline("data", "import", "--from", old, "--data-dir", data).code == 6
    assert offline("verify", "--data-dir", data).code == 0


def test_a_running_8_3_and_we_exclude_each_other(published, core_binary, start_core, tmp_path):
    data = golden(tmp_path / "data")
    theirs = published.start(data)
    assert f"PID {theirs.process.pid}" in start_refused(core_binary, data)
    theirs.kill()
    ours = start_core(data=data)
    with pytest.raises(RuntimeError, match=f"PID {ours.process.pid}"):
        published.start(data)
    same_as_expected(ours)


def test_an_export_is_opened_by_the_real_8_3(published, start_core, filled, tmp_path, offline):
    data = golden(tmp_path / "data")
    core = start_core(data=data)
    core.put("/home/new", b"since then", content_language="en")
    core.put("/home/large", bytes(300_000))
    core.request("DELETE", "/home/back")
    core.request("POST", "/home/large", b"more")
    paths = core.get("/proc/worlds").body.decode().split("\n")[:-1]
    tags = {path: core.get("/" + "/".join(map(escaped, path.split("/")))) for path in paths}
    assert core.stop() == 0
    out = tmp_path / "out"
    said = offline("data", "export", "--layout", "8", "--data-dir", data, "--to", out)
    assert (said.code, said.summary["worlds"], said.summary["left_out"]) == (0, 14, 0)
    theirs = published.start(out)
    try:
        assert theirs.get("/proc/worlds").body.decode().split("\n")[:-1] == paths
        for path, ours in tags.items():
            target = "/" + "/".join(map(escaped, path.split("/")))
            reply = theirs.get(target)
            assert (reply.etag, reply.body) == (ours.etag, ours.body), path
            assert theirs.request("GET", f"/proc/audit{target}/verify").status == 200, path
        assert theirs.put("/home/new", b"and on").status == 200
    finally:
        theirs.kill()


def test_worlds_with_another_key_are_left_out_or_rechained(filled, start_core, tmp_path, offline):
    new, ring = "n" * 32, tmp_path / "ring"
    ring.mkdir()
    (ring / "old").write_text(KEY)
    (tmp_path / "new").write_text(new)
    offline("key", "rotate", "--data-dir", filled, "--new-key-file", tmp_path / "new")
    core = start_core(data=filled, env={"ELASTIK_KEY": new})
    core.put("/home/a", b"new key")
    core.put("/home/fresh", b"all under the new key")
    assert core.stop() == 0
    words = ("data", "export", "--data-dir", filled, "--keyring", ring, "--to")
    said = offline(*words, tmp_path / "some", key=new)
    assert (said.code, said.summary["worlds"]) == (8, 1)
    named = {line["path"] for line in said.lines if line.get("outcome") == "left-out"}
    assert named == {"home/a", "home/b", "home/big", "etc/conf", "var/log/deletes"}
    said = offline(*words, tmp_path / "all", "--rechain", key=new)
    assert (said.code, said.summary["worlds"]) == (0, 6)
    again = offline(
        "data", "import", "--from", tmp_path / "all", "--data-dir", tmp_path / "b", key=new
    )
    assert (again.code, again.summary["worlds"], again.summary["set_aside"]) == (0, 6, [])


def test_no_room_is_told_before_anything_is_written(tmp_path, core_binary):
    """In a file system of 24 MiB, worlds of 20 MiB cannot be copied."""
    script = (
        f"mount -t tmpfs -o size=24m none {tmp_path} && mkdir {tmp_path}/d && "
        f"cp -r {golden.__globals__['GOLDEN']}/. {tmp_path}/d && "
        f"head -c 8000000 /dev/zero > {tmp_path}/ballast && "
        f"ls -R {tmp_path}/d > {tmp_path}/before && "
        f"{core_binary} data import --data-dir {tmp_path}/d; echo code $?; "
        f"ls -R {tmp_path}/d | diff - {tmp_path}/before && echo same"
    )
    env = {**os.environ, "ELASTIK_KEY": KEY}
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=env, capture_output=True, text=True
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("no mounts in a name space of one's own")
    assert "no room to import" in done.stderr
    assert done.stdout.split() == ["code", "3", "same"]


def escaped(part: str) -> str:
    return "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02X}" for b in part.encode())


def rows_of(world: Path) -> str:
    """All rows of a world's four tables."""
    db = sqlite3.connect(world / "universe.db")
    tables = ["stage_meta", "meta_headers", "events", "event_headers"]
    found = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    db.close()
    return json.dumps(found, default=repr)
