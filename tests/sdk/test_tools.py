"""The shell pool, request tracing, and the fixtures for other people's tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import elastik
from elastik import FakeElastik, ShellPoolError, TrustedShellPool

ROOT = Path(__file__).resolve().parents[2]

# -- shells ----------------------------------------------------------------------------------------


def test_output_and_codes():
    with TrustedShellPool(1) as pool:
        both = pool.run("echo out; echo err >&2")
        assert (both.stdout, both.returncode, both.ok) == ("out\nerr\n", 0, True)
        assert pool.run("printf unended; false").stdout == "unended"
        assert pool.run("false").returncode == 1
        assert pool.run("kept=1").ok
        assert pool.run("echo $kept").stdout == "1\n", "the same warm shell"
        with pytest.raises(ShellPoolError) as caught:
            pool.run("exit 3", check=True)
        assert caught.value.result.returncode == 3
        assert pool.run("echo alive").stdout == "alive\n"


def test_a_command_that_hangs_is_replaced():
    with TrustedShellPool(1, timeout=0.2) as pool:
        late = pool.run("sleep 30")
        assert (late.timed_out, late.ok, late.returncode) == (True, False, -1)
        assert pool.run("echo next").stdout == "next\n"


def test_the_pool_is_bounded_and_can_be_waited_for():
    with TrustedShellPool(1) as pool:
        busy = threading.Thread(target=pool.run, args=["sleep 0.5"])
        busy.start()
        threading.Event().wait(0.1)
        with pytest.raises(TimeoutError, match="no trusted shell"):
            pool.run("true", acquire_timeout=0.05)
        busy.join()
        assert pool.run("true", acquire_timeout=1).ok


def test_surroundings_and_closing(tmp_path):
    pool = TrustedShellPool(2, cwd=tmp_path, env={"WORD": "x", "PATH": os.environ["PATH"]})
    assert pool.run("pwd; echo $WORD").stdout == f"{tmp_path}\nx\n"
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.run("true")
    with pytest.raises(ValueError, match="size"):
        TrustedShellPool(0)


# -- tracing ---------------------------------------------------------------------------------------


def test_records_and_statistics(either):
    assert either.enable_debug(record=True) is either
    either.put("a", b"123")
    either.request("GET", "nothing")
    stats = either.debug_stats()
    assert stats["total_requests"] == 2
    assert stats["by_method"] == {"PUT": 1, "GET": 1}
    assert stats["by_status"] == {201: 1, 404: 1}
    assert stats["slowest"] in either.debug_history
    put = either.debug_history[0]
    assert (put["method"], put["path"], put["status"]) == ("PUT", "a", 201)
    assert put["rid"].isdecimal()
    either.disable_debug()
    either.get("a")
    assert either.debug_stats()["total_requests"] == 2
    assert not either.debug_enabled


def test_levels_and_sink(either):
    either.enable_debug(level="errors")
    either.put("a", b"")
    either.request("GET", "nothing")
    lines = either.get_text("tmp/debug/requests").splitlines()
    assert [json.loads(line)["status"] for line in lines] == [404]
    assert either.get_text("tmp/debug/errors").splitlines() == lines
    either.enable_debug(level="slow", slow_ms=0)
    either.get("a")
    assert either.exists("tmp/debug/slow")
    assert either.head("tmp/debug/requests")["content-type"] == "application/x-ndjson"


def test_secrets_are_not_recorded(either):
    either.enable_debug(record=True, verbose=3)
    headers = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "X-Plain": "1"}
    either.request("GET", "/proc/version", headers=headers)
    [record] = either.debug_history
    assert "s3cret" not in json.dumps(record)
    assert record["request_headers"]["x-plain"] == "1"


def test_a_failing_hook_breaks_nothing(either):
    def hook(*_):
        raise RuntimeError

    either.enable_debug(hook=hook, sink=None)
    either.put("a", b"x")
    assert either.get("a") == b"x"


def test_the_panel_is_a_page(either, capsys):
    either.enable_debug(panel=True)
    assert either.head("tmp/debug-panel.html")["content-type"].startswith("text/html")
    assert "debug panel" in capsys.readouterr().err


def test_breaking_on_a_status(either, monkeypatch):
    stopped = []
    monkeypatch.setattr("builtins.breakpoint", lambda: stopped.append(1))
    either.enable_debug(break_on=[404], sink=None)
    either.put("a", b"")
    assert not stopped
    either.request("GET", "nothing")
    assert stopped
    for bad in ({"level": "x"}, {"level": "all", "verbose": 1}):
        with pytest.raises(ValueError, match="level"):
            either.enable_debug(**bad)


def test_the_constructor_can_switch_it_on(keeping_core):
    assert elastik.Elastik(keeping_core.url, debug="errors").debug_enabled
    assert not elastik.Elastik(keeping_core.url).debug_enabled


# -- for other people's tests ----------------------------------------------------------------------


def test_the_plugin_gives_a_real_core(tmp_path, core_binary):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["elastik.testing"]\n')
    (tmp_path / "test_theirs.py").write_text(
        "def test_one(elastik_client, elastik_core):\n"
        "    elastik_client.put('note', 'x', project='p')\n"
        "    assert elastik_client.verify('note')\n"
        "    assert elastik_client.head('note')['x-meta-project'] == 'p'\n"
        "    assert elastik_client.url == elastik_core.url\n"
        "def test_two(elastik_client):\n"
        "    assert 'note' not in elastik_client\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=env | {"PYTHONPATH": str(ROOT), "ELASTIK_CORE": str(core_binary)},
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_fake_needs_no_pytest():
    code = "import sys; from elastik.testing import FakeElastik; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("page", ["/proc/df", "/proc/pool"])
def test_what_the_fake_does_not_imitate_it_refuses(page):
    with pytest.raises(NotImplementedError):
        FakeElastik().get(page)


def test_the_fake_refuses_to_pretend_that_a_copy_is_atomic():
    fake = FakeElastik()
    fake.put("a", b"")
    for call in (fake.copy, fake.mv):
        with pytest.raises(NotImplementedError):
            call("a", "b", atomic=True)
