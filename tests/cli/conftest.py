"""The command in several environments, and processes that end with the test."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commandline import Program, talking_to
from realcore import Core


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    """The command with nothing set: no server, no token, no context."""
    return Program(tmp_path, TERM="xterm")


@pytest.fixture
def elastik(shared_core: Core, tmp_path: Path) -> Program:
    """The command with a running server and all three tokens."""
    return talking_to(shared_core, tmp_path)


@pytest.fixture
def alone(core: Core, tmp_path: Path) -> Program:
    """The command with a server of its own, for tests that look at everything it holds."""
    home = tmp_path / "home"
    home.mkdir()
    return talking_to(core, home)


@pytest.fixture
def background(elastik: Program) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command; what still runs is killed at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str, program: Program = elastik, **options: Any) -> subprocess.Popen[bytes]:
        running.append(program.start(*words, **options))
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def listening(background: Callable[..., subprocess.Popen[bytes]]) -> Callable[..., Any]:
    """Start a listener and wait until the server knows it."""

    def start(*words: str, **options: Any) -> subprocess.Popen[bytes]:
        process = background("-v", "listen", *words, **options)
        while b"elastik: listening" not in (line := process.stderr.readline()):
            assert line, process.wait()
        return process

    return start
