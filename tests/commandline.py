"""Run the command as a user does: a process with pipes, signals and an environment."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from realcore import Core

ROOT = Path(__file__).resolve().parent.parent


class Ended(NamedTuple):
    """How a run ended: exit code (negative: killed by that signal) and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()


class Program:
    """The command in one environment. Call it to run it to its end."""

    argv = (sys.executable, "-m", "elastik_cli")

    def __init__(self, home: Path, **settings: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
        xdg = {f"XDG_{k}_HOME": str(home / k.lower()) for k in ("CONFIG", "DATA", "STATE")}
        self.env = {**kept, **xdg, "PYTHONPATH": str(ROOT), **settings}
        self.home = home

    def with_env(self, **settings: str) -> Program:
        """The same in an environment with other settings; an empty one is removed."""
        other = type(self).__new__(type(self))
        merged = {**self.env, **settings}
        other.argv = self.argv
        other.env, other.home = {k: v for k, v in merged.items() if v}, self.home
        return other

    def __call__(self, *words: str, stdin: bytes = b"", **options: Any) -> Ended:
        options.setdefault("timeout", 60)
        done = subprocess.run(
            [*self.argv, *words],
            input=stdin,
            capture_output=True,
            env=self.env,
            check=False,
            cwd=options.pop("cwd", self.home),
            **options,
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode())

    def ok(self, *words: str, stdin: bytes = b"", **options: Any) -> bytes:
        """Run it, insist that it worked, and give its standard output."""
        ended = self(*words, stdin=stdin, **options)
        assert ended.code == 0, ended
        return ended.out

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start it and go on; pipes for all streams."""
        settings: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        settings |= {"env": self.env, "cwd": self.home, **options}
        return subprocess.Popen([*self.argv, *words], **settings)

    def on_terminal(self, *words: str, columns: int = 80, keys: bytes = b"") -> tuple[int, bytes]:
        """Run it with a terminal as all its streams; its exit code and what the screen got."""
        screen, terminal = os.openpty()
        process = subprocess.Popen(
            [*self.argv, *words],
            **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
            env=self.env | {"COLUMNS": str(columns)},
            cwd=self.home,
            start_new_session=True,
        )
        os.close(terminal)
        if keys:
            os.write(screen, keys)
        shown = _until_hung_up(screen, process)
        os.close(screen)
        return process.wait(10), shown.replace(b"\r\n", b"\n")


def _until_hung_up(screen: int, process: subprocess.Popen[bytes]) -> bytes:
    shown, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(screen, 65536)
        except OSError:  # Linux: nobody holds the other side of the pty any more
            return shown
        if not piece:
            return shown
        shown += piece
    process.kill()
    return shown


def talking_to(core: Core, home: Path) -> Program:
    """The command with URL and tokens of `core` in its environment."""
    return Program(
        home,
        TERM="xterm",
        ELASTIK_URL=core.url.rstrip("/"),
        ELASTIK_READ_TOKEN=core.read,
        ELASTIK_WRITE_TOKEN=core.write,
        ELASTIK_APPROVE_TOKEN=core.approve,
    )


def finished(process: subprocess.Popen[bytes], seconds: float = 30) -> Ended:
    """Wait for the end of what `start` began; how it ended."""
    out, err = process.communicate(timeout=seconds)
    return Ended(process.returncode, out, err.decode())


def until(claim: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for a claim to become true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := claim()):
        assert time.monotonic() < deadline, f"waited {seconds} s for it"
        time.sleep(0.02)
    return value
