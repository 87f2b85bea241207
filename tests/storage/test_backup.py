"""Backups and what they are for: the restore drill, damaged files, serving a copy."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest

from realcore import KEY, refuse


def environment(**env: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    return inherited | {"ELASTIK_KEY": KEY} | env


def tables(file) -> dict[str, list]:
    with sqlite3.connect(file) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: sorted(db.execute(f"SELECT * FROM {name}"), key=repr) for name in names}
    db.close()
    return found


def test_the_restore_drill(start_core, filled, tmp_path, offline):
    """What docs/operations.md tells to do: back up, verify, lose all, restore, go on."""
    core = start_core(data=filled)
    anchor = core.get("/proc/audit/anchor").body
    backup = tmp_path / "elastik.backup"
    assert offline("data", "backup", "--data-dir", filled, "--to", backup).code == 0
    (tmp_path / "anchor").write_bytes(anchor)
    checked = offline("verify", "--data-dir", backup, "--anchor", tmp_path / "anchor")
    assert (checked.code, checked.summary["worlds"]) == (0, 5)
    late = core.put("/home/late", b"after the backup")
    with core.listen("home/*", last_event_id="1") as events:
        newest = max(int(events.event()["id"]) for _ in range(7))
    assert late.status == 201
    core.kill()
    shutil.rmtree(filled)

    said = offline("data", "restore", "--from", backup, "--data-dir", filled)
    assert said.code == 0
    before, now = tables(backup), tables(filled / "elastik.db")
    assert before.pop("store") != now.pop("store")
    assert before == now, "no row changes but the mark"
    core = start_core(data=filled)
    assert core.get("/home/a").body == b"two three"
    assert core.get("/home/late").status == 404
    with core.listen("*") as events:
        core.put("/home/a", b"on")
        assert int(events.event()["id"]) > newest + 2**31
    assert core.stop() == 0
    assert offline("verify", "--data-dir", filled).code == 0


def test_a_backup_goes_through_a_pipe(filled, tmp_path, core_binary, offline):
    to = [core_binary, "data", "backup", "--data-dir", filled, "--to", "-"]
    sent = subprocess.run(to, env=environment(), capture_output=True, check=True).stdout
    assert sent.startswith(b"SQLite format 3\0")
    assert sorted(p.name for p in filled.iterdir() if "backup" in p.name) == []
    restore = [core_binary, "data", "restore", "--data-dir", tmp_path / "new", "--from", "-"]
    subprocess.run(restore, env=environment(), input=sent, check=True, capture_output=True)
    assert offline("verify", "--data-dir", tmp_path / "new").code == 0


def test_a_backup_beside_writes_is_one_moment(start_core, tmp_path, offline):
    """A writer puts the same number into two worlds by turns; no backup has them two apart."""
    core = start_core(env={"ELASTIK_SCRUB_PAUSE": "0"})
    stop = threading.Event()

    def writer() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            core.put("/home/first", str(number).encode())
            core.put("/home/second", str(number).encode())

    thread = threading.Thread(target=writer)
    core.put("/home/ballast", bytes(2_000_000))
    core.put("/home/second", b"0")
    thread.start()
    try:
        for turn in range(5):
            backup = tmp_path / f"b{turn}"
            assert offline("data", "backup", "--data-dir", core.data, "--to", backup).code == 0
            assert offline("verify", "--data-dir", backup).code == 0
            db = sqlite3.connect(backup)
            sql = "SELECT CAST(body AS TEXT) FROM world WHERE path = ?"
            first, second = (
                int((db.execute(sql, (path,)).fetchone() or ["0"])[0])
                for path in ("home/first", "home/second")
            )
            db.close()
            assert first - second in (0, 1)
    finally:
        stop.set()
        thread.join()


def test_restore_never_overwrites(filled, tmp_path, offline):
    offline("data", "backup", "--data-dir", filled, "--to", tmp_path / "b")
    assert offline("data", "restore", "--data-dir", filled, "--from", tmp_path / "b").code == 6
    assert offline("data", "backup", "--data-dir", filled, "--to", tmp_path / "b").code == 3
    none = offline("data", "restore", "--data-dir", tmp_path / "n", "--from", tmp_path / "none")
    assert none.code == 4
    (tmp_path / "junk").write_bytes(b"SQLite format 3\0 but no more")
    junk = offline("data", "restore", "--data-dir", tmp_path / "n", "--from", tmp_path / "junk")
    assert junk.code == 3
    assert not (tmp_path / "n" / "elastik.db").exists()


def test_check_tells_a_sound_file_from_a_damaged_one(filled, offline):
    assert offline("data", "check", "--data-dir", filled).summary == {"sound": True, "problems": 0}
    with sqlite3.connect(filled / "elastik.db") as db:
        db.execute("DELETE FROM piece WHERE id = (SELECT max(id) FROM piece)")
    db.close()
    said = offline("data", "check", "--data-dir", filled)
    assert said.code == 1
    assert said.lines[0]["message"] == "1 pieces that a body names are missing"


def damage(data, wanted: str) -> None:
    """Overwrite one page of a table's data with noise, as a bad disk would."""
    db = sqlite3.connect(data / "elastik.db")
    pages = db.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (wanted,))
    numbers = [number for (number,) in pages]
    db.close()
    with (data / "elastik.db").open("r+b") as file:
        file.seek((numbers[len(numbers) // 2] - 1) * 4096)
        file.write(os.urandom(4096))


@pytest.mark.parametrize("table", ["world", "event", "log", "piece", "span"])
def test_what_is_readable_of_a_damaged_file_is_rebuilt(table, start_core, tmp_path, offline):
    data = tmp_path / "data"
    core = start_core(data=data)
    for number in range(120):
        core.put(f"/home/{number:03}", b"%d " % number * 40)
    for number in range(120):
        core.put(f"/home/{number:03}", b"%d " % number * 30)
    for number in range(6):
        core.put(f"/home/large{number}", bytes([number]) * 200_000)
    assert core.stop() == 0
    try:
        damage(data, table)
    except sqlite3.OperationalError:
        pytest.skip("this SQLite cannot tell which page is whose")
    assert offline("data", "check", "--data-dir", data).code in (1, 3)
    said = offline("data", "recover", "--data-dir", data)
    assert said.code == 8, said.stderr
    assert list(data.glob("elastik.db.damaged-*"))
    aside = {line["path"] for line in said.lines if line.get("outcome") == "set-aside"}
    if table != "piece":  # bytes that are gone are told as long as a body names them
        assert offline("data", "check", "--data-dir", data).code == 0, "the rest fits together"
    core = start_core(data=data, env={"ELASTIK_SCRUB_PAUSE": "0"})
    worlds = core.get("/proc/worlds").body.decode().split()
    assert len(worlds) > 60
    good = [path for path in worlds if path not in aside]
    assert len(good) > 60
    for path in good[::9]:
        assert core.put(f"/{path}", b"goes on").status == 200
        assert core.verify(path).status == 200
    for path in aside:
        assert core.put(f"/{path}", b"x").status == 409


def test_a_copy_is_served_and_not_written(start_core, filled, tmp_path, offline):
    backup = tmp_path / "copy" / "elastik.db"
    backup.parent.mkdir()
    offline("data", "backup", "--data-dir", filled, "--to", backup)
    before = backup.read_bytes()
    backup.parent.chmod(0o555)
    core = start_core(data=backup.parent, arguments=("--read-only",))
    second = start_core(data=backup.parent, arguments=("--read-only",))
    assert core.get("/home/big").body == second.get("/home/big").body
    assert core.verify("home/a").status == 200
    for method, body in (("PUT", b"x"), ("POST", b"x"), ("DELETE", None)):
        reply = core.request(method, "/home/a", body)
        assert reply.status == 503 and b"only reads" in reply.body, method
    assert core.put("/home/large", bytes(400_000)).status == 503
    assert core.get("/proc/audit/anchor").status == 200
    # An idle core sees once a second to its housekeeping; this one has none.
    time.sleep(1.5)
    assert core.stop() == 0
    second.kill()
    backup.parent.chmod(0o755)
    assert backup.read_bytes() == before
    assert [p.name for p in backup.parent.iterdir()] == ["elastik.db"]


def killed_copy(core, copy):
    """What a core leaves that was killed before it copied its WAL into the file."""
    core.put("/home/a", b"in the wal")
    core.kill()
    copy.mkdir()
    for name in ("elastik.db", "elastik.db-wal"):
        shutil.copy(core.data / name, copy)
    return copy


def test_a_wal_that_cannot_be_read_is_not_passed_over(core, core_binary, tmp_path):
    """What lies beside a killed core's file is part of it."""
    copy = killed_copy(core, tmp_path / "copy")
    assert (copy / "elastik.db-wal").stat().st_size > 0
    script = (
        f"mount --bind {copy} {copy} && mount -o remount,bind,ro {copy} && "
        f"{core_binary} verify --data-dir {copy}"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=environment(), capture_output=True, text=True
    )
    if "not permitted" in done.stderr:
        pytest.skip("no mounts in a name space of one's own")
    assert done.returncode == 3 and "its -wal holds changes" in done.stderr


def test_a_copy_with_a_wal_is_not_written_either(core, start_core, tmp_path):
    copy = killed_copy(core, tmp_path / "copy")
    # Only its frames, without the room behind them.
    frames = -(-len((copy / "elastik.db-wal").read_bytes().rstrip(b"\0")) // 4120)
    os.truncate(copy / "elastik.db-wal", 32 + frames * 4120)
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    served = start_core(data=copy, arguments=("--read-only",))
    assert served.get("/home/a").body == b"in the wal"
    time.sleep(1.5)
    assert {name: (copy / name).read_bytes() for name in before} == before
    served.kill()


def test_ls_data_lists_a_store_and_a_backup(filled, tmp_path, offline):
    offline("data", "backup", "--data-dir", filled, "--to", tmp_path / "b")
    for place in (filled, tmp_path / "b"):
        said = offline("ls-data", "--data-dir", place)
        listed = {line["path"]: (line["size"], line["events"]) for line in said.lines}
        assert listed["home/a"] == (9, 3) and len(listed) == 5


def test_a_second_core_says_who_holds_the_directory(core, core_binary):
    env = {"ELASTIK_KEY": KEY, "ELASTIK_DATA": str(core.data), "ELASTIK_PORT": "0"}
    code, text = refuse(core_binary, env)
    assert code == 1 and f"PID {core.process.pid}" in text
