"""The core as a process: settings, the address it prints, signals, deadlines and exit codes."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess

import pytest

from realcore import KEY, refuse

# How long a clean stop may take: with clients that are done, and with ones that never will be.
DEADLINE = 12
SHORT = {"ELASTIK_SHUTDOWN_DEADLINE": "1"}


def settings(tmp_path, **changes):
    base = {"ELASTIK_KEY": KEY, "ELASTIK_PORT": "0", "ELASTIK_DATA": str(tmp_path / "data")}
    return {name: value for name, value in (base | changes).items() if value is not None}


def test_port_zero_prints_the_real_address(core):
    assert core.address[1] != 0
    assert core.get("/proc/version").status == 200
    assert core.log[0].startswith(b"elastik-core v9.")


def test_two_cores_on_port_zero_live_side_by_side(start_core, tmp_path):
    one, two = start_core(tmp_path / "one"), start_core(tmp_path / "two")
    assert one.address != two.address
    one.put("/home/a", b"one")
    assert two.get("/home/a").status == 404


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ELASTIK_KEY": None}, "ELASTIK_KEY"),
        ({"ELASTIK_KEY": ""}, "ELASTIK_KEY"),
        ({"ELASTIK_KEY": "   "}, "ELASTIK_KEY"),
        ({"ELASTIK_PORT": "abc"}, "ELASTIK_PORT"),
        ({"ELASTIK_PORT": "70000"}, "ELASTIK_PORT"),
        ({"ELASTIK_PORT": "-1"}, "ELASTIK_PORT"),
        ({"ELASTIK_DATA": ""}, "ELASTIK_DATA"),
        ({"ELASTIK_MAX_WORLD_BYTES": "1k"}, "ELASTIK_MAX_WORLD_BYTES"),
        ({"ELASTIK_MAX_MEMORY_BYTES": "-1"}, "ELASTIK_MAX_MEMORY_BYTES"),
        ({"ELASTIK_MAX_STORAGE_BYTES": "lots"}, "ELASTIK_MAX_STORAGE_BYTES"),
        ({"ELASTIK_LISTEN_REPLAY_MAX": "some"}, "ELASTIK_LISTEN_REPLAY_MAX"),
    ],
)
def test_a_bad_setting_is_refused_by_name(core_binary, tmp_path, changes, name):
    code, said = refuse(core_binary, settings(tmp_path, **changes))
    assert code != 0
    assert said.startswith("elastik-core: ")
    assert name in said
    assert not (tmp_path / "data" / "elastik.db").exists()


def test_an_unknown_flag_is_refused(core_binary, tmp_path):
    code, said = refuse(core_binary, settings(tmp_path), ("--no-such-flag",))
    assert code != 0
    assert "--no-such-flag" in said


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_answer_on_standard_output(core_binary, flag):
    done = subprocess.run([core_binary, flag], capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stderr) == (0, "")
    assert "elastik-core" in done.stdout
    if flag == "--help":
        for setting in ("ELASTIK_KEY", "ELASTIK_KEY_FILE", "ELASTIK_DATA", "ELASTIK_PORT"):
            assert setting in done.stdout


def test_a_wrong_key_is_recognised_and_changes_nothing(start_core, core_binary, tmp_path):
    core = start_core()
    core.put("/home/a", b"x")
    assert core.stop() == 0
    before = (tmp_path / "data" / "elastik.db").read_bytes()
    other = settings(tmp_path, ELASTIK_KEY="f" * 32)
    code, said = refuse(core_binary, other)
    assert code != 0
    assert "key" in said.lower()
    assert "f" * 32 not in said
    assert (tmp_path / "data" / "elastik.db").read_bytes() == before
    assert start_core().verify("home/a").status == 200


def test_a_key_file_loses_exactly_one_newline(start_core, tmp_path):
    def tag(**key):
        """The first ETag of a new store: it depends on the key, the path and the body."""
        data = tmp_path / f"data-{len(list(tmp_path.iterdir()))}"
        core = start_core(data, env={"ELASTIK_KEY": None} | key)
        return core.put("/home/a", b"x").etag

    def from_file(text):
        (tmp_path / "key").write_text(text)
        return tag(ELASTIK_KEY_FILE=str(tmp_path / "key"))

    assert from_file(KEY) == from_file(KEY + "\n") == tag(ELASTIK_KEY=KEY)
    assert from_file(KEY + "\n\n") == tag(ELASTIK_KEY=KEY + "\n") != tag(ELASTIK_KEY=KEY)


def test_a_second_core_on_the_same_data_is_refused(core, core_binary, tmp_path):
    code, said = refuse(core_binary, settings(tmp_path))
    assert code != 0
    assert str(core.process.pid) in said
    assert core.put("/home/a", b"still alive").status == 201


def test_a_taken_port_is_refused(core, core_binary, tmp_path):
    port = str(core.address[1])
    env = settings(tmp_path, ELASTIK_PORT=port, ELASTIK_DATA=str(tmp_path / "other"))
    code, said = refuse(core_binary, env)
    assert code != 0
    assert port in said


def test_a_data_root_that_is_a_file_is_refused(core_binary, tmp_path):
    (tmp_path / "data").write_text("not a directory")
    code, _ = refuse(core_binary, settings(tmp_path))
    assert code != 0
    assert (tmp_path / "data").read_text() == "not a directory"


def test_a_store_from_a_newer_version_is_refused_by_name(start_core, core_binary, tmp_path):
    core = start_core()
    core.put("/home/a", b"x")
    assert core.stop() == 0
    with sqlite3.connect(tmp_path / "data" / "elastik.db") as db:
        db.execute("pragma user_version = 9999")
    db.close()
    code, said = refuse(core_binary, settings(tmp_path))
    assert code != 0
    assert "newer" in said


def test_the_data_directory_is_private(core, tmp_path):
    core.put("/home/a", b"x")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(core, number):
    core.put("/home/a", b"x")
    core.process.send_signal(number)
    assert core.process.wait(DEADLINE) == 0
    # What SQLite leaves beside a database that was not closed.
    assert not list(core.data.glob("*-wal"))


UNFINISHED = {
    "nothing sent": b"",
    "half a request line": b"GET /home/",
    "half a header": b"GET /home/a HTTP/1.1\r\nHost: x\r\nAuthoriz",
    "half a body": b"PUT /home/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer w-token-for-tests\r\n"
    b"Content-Length: 100\r\n\r\nhalf",
}


@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED.keys())
def test_an_unfinished_request_does_not_hold_the_exit(start_core, sent):
    core = start_core(env=SHORT)
    with socket.create_connection(core.address) as line:
        line.sendall(sent)
        core.get("/proc/version")
        core.process.terminate()
        assert core.process.wait(DEADLINE) == 0


def test_a_listener_that_never_reads_does_not_hold_the_exit(start_core):
    core = start_core(env=SHORT)
    with core.listen():
        for _ in range(200):
            core.put("/home/a", b"x")
        core.process.terminate()
        assert core.process.wait(DEADLINE) == 0


def test_the_core_ends_when_the_watched_pipe_closes(start_core):
    reader, writer = os.pipe()
    core = start_core(arguments=("--exit-on-eof", str(reader)), pass_fds=(reader,))
    os.close(reader)
    assert core.put("/home/a", b"x").status == 201
    os.close(writer)
    assert core.process.wait(DEADLINE) == 0


def test_nothing_is_said_on_standard_output(core_binary, tmp_path):
    process = subprocess.Popen(
        [core_binary],
        env=settings(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert b"elastik-core v9." in process.stderr.readline()
    process.terminate()
    out, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (0, b"")
