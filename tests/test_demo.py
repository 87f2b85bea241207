"""The demo runs without a terminal, shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def demo(core_binary, tmp_path):
    """Start the demo with a temporary directory of its own."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, ROOT / "dev" / "demo.py"],
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def core_is_gone(said: str) -> bool:
    import socket

    port = int(re.search(r" on http://127\.0\.0\.1:(\d+)/", said)[1])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_demo_shows_everything_and_cleans_up(demo, tmp_path):
    process = demo()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert re.search(r"^    [├└]── install\.md$", said, re.M)
    assert '"system": ' in said
    assert [line for line in said.splitlines() if line.startswith("paid: ")] == [
        "paid: two coffees",
        "paid: one cake",
        "paid: the bill",
    ]
    assert int(re.search(r"^valid\t(\d+)\t\S+\thome/sensor/load$", said, re.M)[1]) > 3
    assert not re.search(r"^broken\t", said, re.M)
    assert "the server ended with 0" in said
    assert list(tmp_path.iterdir()) == []
    assert core_is_gone(said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_cleans_up_too(demo, tmp_path, number):
    process = demo()
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("$ elastik tree"):
            break
    process.send_signal(number)
    said += process.communicate(timeout=30)[0]
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []
    assert core_is_gone(said)
