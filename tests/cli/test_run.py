"""init and run: from nothing to a server that keeps a note; where each setting comes from."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request

import pytest

from commandline import ROOT, until
from elastik_cli import units
from elastik_cli.exits import Failure
from foreign import needed
from realcore import free_port

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def home(bare, core_binary):
    """The command with a core to run and nothing else."""
    return bare.with_env(ELASTIK_CORE=str(core_binary))


@pytest.fixture
def running(home, background):
    """Start `elastik run` and wait until its port answers."""

    def start(*words, program=home, port, **options):
        process = background("run", *words, program=program, **options)

        def answers():
            assert process.poll() is None, process.communicate()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers)
        return process

    return start


def stopped(process, number=signal.SIGINT):
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err.decode()


def test_init_run_put_get(home, running):
    port = free_port()
    home.ok("init", "--port", str(port))
    process = running(port=port)
    home.ok("put", "note", stdin=b"hello\n")
    assert home.ok("get", "note") == b"hello\n"
    assert home.ok("rm", "note") == b"1\n"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/home/note")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 401
    code, _, err = stopped(process)
    assert code == 0
    assert "elastik-core v" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(home, running, number, tmp_path):
    port = free_port()
    keyed = home.with_env(ELASTIK_KEY=KEY, ELASTIK_PORT=str(port))
    assert stopped(running(port=port, program=keyed), number)[0] == 0


def test_without_a_key_it_says_exactly_that(home):
    ended = home("run")
    assert ended.code == 2
    assert ended.err.startswith("elastik: no key")
    assert "elastik init" in ended.err


def test_no_secret_is_on_argv(home, running, tmp_path):
    port = free_port()
    for name in ("key", "write"):
        (tmp_path / name).write_text(KEY + name + "\n")
        (tmp_path / name).chmod(0o600)
    process = running(
        "--key-file", "key", "--write-token-file", "write", "--port", str(port), port=port
    )
    with open(f"/proc/{process.pid}/cmdline") as argv:
        assert KEY not in argv.read()
    with open(f"/proc/{process.pid}/environ") as environ:
        assert f"ELASTIK_KEY={KEY}key\0" in environ.read()
    answer = home.with_env(
        ELASTIK_URL=f"http://127.0.0.1:{port}", ELASTIK_WRITE_TOKEN=f"{KEY}write"
    )
    answer.ok("put", "x", "--text", "1")


def test_published_secret_options_work_and_warn(home, running, tmp_path):
    port = free_port()
    process = running("--key", KEY, "--write-token", "w", "--port", str(port), port=port)
    with open(f"/proc/{process.pid}/cmdline") as argv:
        assert KEY not in argv.read()
    _, _, err = stopped(process)
    assert "use --key-file" in err
    assert "use --write-token-file" in err


def test_the_data_directory_in_order(home, running, tmp_path):
    port = free_port()
    keyed = home.with_env(ELASTIK_KEY=KEY, ELASTIK_PORT=str(port), ELASTIK_WRITE_TOKEN="w")

    def used(program, *words):
        process = running(*words, program=program, port=port)
        with open(f"/proc/{process.pid}/environ") as environ:
            settings = dict(item.split("=", 1) for item in environ.read().split("\0") if item)
        assert stopped(process)[0] == 0
        return settings["ELASTIK_DATA"]

    assert used(keyed) == str(tmp_path / "data" / "elastik" / "default")
    (tmp_path / "data").mkdir(exist_ok=True)
    assert used(keyed) == str(tmp_path / "data")
    home.ok("init", "--data-dir", str(tmp_path / "context"))
    assert used(keyed) == str(tmp_path / "context")
    assert used(keyed.with_env(ELASTIK_DATA="env")) == str(tmp_path / "env")
    flag = ("--data-dir", "flag")
    assert used(keyed.with_env(ELASTIK_DATA="env"), *flag) == str(tmp_path / "flag")


def test_dotenv_fills_what_the_environment_lacks(home, running, tmp_path):
    port = free_port()
    (tmp_path / ".env").write_text(
        f"ELASTIK_KEY={KEY}\nELASTIK_WRITE_TOKEN=theirs\nELASTIK_PORT=1\n"
    )
    mine = home.with_env(ELASTIK_PORT=str(port), ELASTIK_DATA="d")
    process = running(program=mine, port=port)
    with open(f"/proc/{process.pid}/environ") as environ:
        settings = dict(item.split("=", 1) for item in environ.read().split("\0") if item)
    assert settings["ELASTIK_KEY"] == KEY
    assert settings["ELASTIK_WRITE_TOKEN"] == "theirs"
    assert settings["ELASTIK_PORT"] == str(port)


def test_python_m_elastik_is_the_same_program(home):
    home.argv = (home.argv[0], "-m", "elastik")
    assert home.ok("--version").startswith(b"elastik 9")
    assert home("nonsense").code == 2


def test_the_path_of_the_binary(home, core_binary):
    assert home.ok("run", "--print-path").decode().strip() == str(core_binary)
    assert home.with_env(ELASTIK_CORE="/nonexistent")("run", "--print-path").code == 3


@pytest.mark.parametrize("system", [True, False])
def test_the_unit_is_one_that_systemd_takes(system, tmp_path, core_binary, monkeypatch):
    monkeypatch.setenv("ELASTIK_CONFIG", str(tmp_path / "config" / "config.toml"))
    if not system:
        (units.secrets_dir(False)).mkdir(parents=True)
        (units.secrets_dir(False) / "read-token").write_text("r")
    text = units.text(core_binary, system=system)
    assert not re.search(r"@(core|data|config|credentials|hardening|target)@", text)
    assert ("LoadCredential=read-token:" in text) is not system
    assert "DynamicUser=yes" in text or not system
    systemd = needed("systemd-analyze", package="systemd")
    unit = tmp_path / "elastik.service"
    unit.write_text(text)
    shutil.copy(ROOT / "elastik_cli" / "elastik.socket", tmp_path)
    user = [] if system else ["--user"]
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    for name in ("elastik.service", "elastik.socket"):
        words = [systemd, "verify", "--man=no", *user, str(tmp_path / name)]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, env={**os.environ, **runtime}
        )
        assert "elastik." not in done.stderr, done.stderr


def test_the_service_exposes_little(tmp_path, core_binary):
    unit = tmp_path / "elastik.service"
    unit.write_text(units.text(core_binary, system=True))
    systemd = needed("systemd-analyze", package="systemd")
    done = subprocess.run(
        [systemd, "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "nrecognized option" in done.stderr:
        pytest.skip("this systemd is too old to judge a file")
    judged = re.search(r"exposure level for elastik.service: ([0-9.]+)", done.stdout)
    # 10 is everything. What is left is the network, which is what a server is for.
    assert judged, done
    assert float(judged[1]) <= 1.5, done.stdout


def test_a_first_connection_starts_the_store(home, tmp_path, core_binary):
    port = free_port()
    environment = {
        "ELASTIK_KEY": KEY, "ELASTIK_DATA": str(tmp_path / "d"), "ELASTIK_READ_TOKEN": "r",
        "ELASTIK_PORT": "1",  # not used: the address is the socket's
    }  # fmt: skip
    passed = [word for item in environment.items() for word in ("-E", "=".join(item))]
    activate = needed("systemd-socket-activate", package="systemd")
    process = subprocess.Popen(
        [activate, "-l", f"127.0.0.1:{port}", *passed, str(core_binary)], stderr=subprocess.PIPE
    )
    try:
        until(lambda: b"Listening" in process.stderr.readline())
        asking = home.with_env(ELASTIK_URL=f"http://127.0.0.1:{port}", ELASTIK_READ_TOKEN="r")
        assert asking("get", "nothing").code == 4
        assert asking("ls").code == 0
    finally:
        process.terminate()
        process.wait(20)


def test_install_unit_replaces_its_own_and_nothing_else(home, tmp_path, monkeypatch, core_binary):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    (unit, socket_unit), then = units.install(core_binary)
    assert socket_unit == unit.with_suffix(".socket")
    assert unit == tmp_path / "c/systemd/user/elastik.service"
    assert "systemctl --user" in then
    assert units.install(core_binary)[0] == [unit, socket_unit]
    for strange in (unit, socket_unit):
        kept = strange.read_text()
        strange.write_text("[Unit]\n")
        with pytest.raises(Failure):
            units.install(core_binary)
        assert strange.read_text() == "[Unit]\n"
        strange.write_text(kept)
