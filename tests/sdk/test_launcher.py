"""start() and stop(): a core that runs, says why it does not, and is never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import elastik
from realcore import free_port

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _this_core(core_binary, monkeypatch):
    monkeypatch.setenv("ELASTIK_CORE", str(core_binary))


@pytest.fixture
def start(tmp_path):
    def start(**options):
        options = {"port": 0, "key": KEY, "write_token": "w", "data_dir": tmp_path} | options
        return elastik.start(**options)

    return start


def test_start_and_stop(start, tmp_path):
    e = start(approve_token="a")
    assert e.bearer_token == "a"
    assert elastik.is_running()
    assert elastik.live_info() == {"url": e.url, "data_dir": str(tmp_path), "state": "running"}
    assert e.get("/proc/version").startswith(b"elastik-core ")
    elastik.put("note", "by the module")
    assert e.get("note") == b"by the module"
    assert "running" in repr(e)
    with pytest.raises(RuntimeError, match="already running"):
        start()
    elastik.stop()
    elastik.stop()
    assert not elastik.is_running()
    assert elastik.live_info()["state"] == "stopped"
    with pytest.raises(elastik.Unreachable):
        e.get("note")


def test_the_strongest_token_and_the_environment(start, monkeypatch):
    assert start().bearer_token == "w"
    elastik.stop()
    monkeypatch.setenv("ELASTIK_APPROVE_TOKEN", "from-env")
    assert start().bearer_token == "from-env"
    elastik.stop()
    assert start(approve_token="").bearer_token == "w"


def test_keys(start, monkeypatch):
    with pytest.raises(RuntimeError, match="audit key required"):
        start(key=None)
    for blank in ("", "   "):
        with pytest.raises(RuntimeError, match="must not be blank"):
            start(key=blank)
    with pytest.warns(UserWarning, match="at least 32"):
        assert start(key="dev-key").put("a", b"")["status"] == 201
    elastik.stop()


def test_a_wrong_key_tells_what_the_core_said(start):
    start().put("a", b"x")
    elastik.stop()
    with pytest.raises(RuntimeError, match=r"child output:\n.*elastik-core"):
        start(key=KEY[::-1])
    assert not elastik.is_running()


def test_ports(start):
    with pytest.raises(RuntimeError, match="between 0 and 65535"):
        start(port=70000)
    with pytest.raises(RuntimeError, match="must be an integer"):
        start(port="x")
    taken = pytest.raises(RuntimeError, match="port already in use before elastik start")
    with socket.create_server(("127.0.0.1", 0)) as stranger, taken:
        start(port=stranger.getsockname()[1])
    port = free_port()
    assert start(port=port).url == f"http://127.0.0.1:{port}"


def test_a_missing_binary_says_where_it_looked(start, monkeypatch):
    monkeypatch.setenv("ELASTIK_CORE", "/nowhere/elastik-core")
    with pytest.raises(RuntimeError, match="/nowhere/elastik-core"):
        start()
    assert elastik.binary_info()["exists"] is False


def test_binary_info(core_binary):
    info = elastik.binary_info()
    assert info["path"] == str(core_binary)
    assert info["size_bytes"] > 100_000


def test_quiet_false_passes_the_cores_lines_on(start, capfd):
    start(quiet=False)
    deadline = time.monotonic() + 5
    said = ""
    while "elastik-core v" not in said and time.monotonic() < deadline:
        said += capfd.readouterr().err
        time.sleep(0.01)
    assert "elastik-core v" in said
    assert "ELASTIK_APPROVE_TOKEN not set" in said


def test_run_listens_to_the_core_that_start_runs(start, monkeypatch):
    monkeypatch.setenv("ELASTIK_URL", "http://127.0.0.1:9")
    e = start()

    @elastik.listen("in/*")
    def handler(body, e):
        e.put("out", body)

    e.put("in/1", b"x")
    elastik.run(max_events=1, after=0)
    assert e.get("out") == b"x"


def test_the_published_core_can_be_run_too(start, published, monkeypatch):
    monkeypatch.setenv("ELASTIK_CORE", str(published.binary))
    e = start()
    assert b"8.3.0" in e.get("/proc/version")


# -- nothing is left behind ------------------------------------------------------------------------

PARENT = """
import os, sys, threading, time
sys.path.insert(0, {root!r})
import elastik
from elastik import launcher

def begin():
    e = elastik.start(port=0, key={key!r}, write_token="w", data_dir=sys.argv[1])
    print(launcher._core.pid, e.url, flush=True)

{body}
"""


def run_parent(body: str, tmp_path) -> tuple[subprocess.Popen, int, str]:
    code = PARENT.format(root=str(ROOT), key=KEY, body=textwrap.dedent(body))
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, url = parent.stdout.readline().split()
    return parent, int(pid), url


def ends(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return False


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_killed_parent_takes_its_core_along(tmp_path, how):
    parent, core, _ = run_parent("begin(); time.sleep(60)", tmp_path)
    parent.send_signal(how)
    parent.wait()
    assert ends(core)


def test_a_core_outlives_the_thread_that_started_it(tmp_path):
    body = """
    thread = threading.Thread(target=begin)
    thread.start(); thread.join()
    time.sleep(60)
    """
    parent, core, url = run_parent(body, tmp_path)
    time.sleep(0.3)
    assert elastik.Elastik(url, "w").get("/proc/version")
    parent.kill()
    parent.wait()
    assert ends(core)


def test_a_forked_child_does_not_keep_the_core_alive(tmp_path):
    body = """
    begin()
    if os.fork() == 0:
        os.close(1)
        time.sleep(20)
        os._exit(0)
    time.sleep(60)
    """
    parent, core, _ = run_parent(body, tmp_path)
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    assert ends(core)


def test_a_forked_child_that_ends_does_not_stop_the_core(tmp_path):
    body = """
    begin()
    pid = os.fork()
    if pid == 0:
        elastik.stop()
        sys.exit()          # runs the atexit handlers of the parent's import
    os.waitpid(pid, 0)
    print("forked", flush=True)
    time.sleep(60)
    """
    parent, core, url = run_parent(body, tmp_path)
    assert parent.stdout.readline() == "forked\n"
    assert elastik.Elastik(url, "w").get("/proc/version")
    parent.kill()
    parent.wait()
    assert ends(core)


def test_a_program_that_started_another_does_not_leave_the_pipe_open(tmp_path):
    body = """
    begin()
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], close_fds=False)
    time.sleep(60)
    """
    parent, core, _ = run_parent(body, tmp_path)
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    assert ends(core)


def test_the_end_of_the_program_stops_the_core(tmp_path):
    parent, core, _ = run_parent("begin()", tmp_path)
    assert parent.wait(10) == 0
    assert ends(core)
