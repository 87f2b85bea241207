"""What the storage tests share: a store with a bit of everything, and the offline commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from realcore import KEY, Core, launch


class Said(NamedTuple):
    """How an offline command ended: its exit code, its JSON Lines, its stderr."""

    code: int
    lines: list[dict[str, Any]]
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        return self.lines[-1]

    @property
    def problems(self) -> set[tuple[str, str]]:
        """Each finding as (problem, path)."""
        return {(line["problem"], line["path"]) for line in self.lines if "problem" in line}


@pytest.fixture
def offline(core_binary: Path) -> Callable[..., Said]:
    """Run `elastik-core WORDS --json`; the key comes by the environment as an operator gives it."""

    def run(*words: str | Path, key: str = KEY, **env: str) -> Said:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
        done = subprocess.run(
            [core_binary, *words, "--json"],
            env=inherited | {"ELASTIK_KEY": key} | env,
            capture_output=True,
            timeout=120,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return Said(done.returncode, lines, done.stderr.decode())

    return run


def fill(core: Core) -> None:
    """Worlds with several events, headers, pieces, and one that was deleted."""
    core.put("/home/a", b"one", content_type="text/plain")
    core.put("/home/a", b"two", content_type="text/plain")
    core.request("POST", "/home/a", b" three")
    core.put("/home/b", b"<p>hi</p>", content_type="text/html", content_language="en")
    core.put("/home/big", bytes(range(256)) * 1200)
    core.put("/home/gone", b"soon")
    core.request("DELETE", "/home/gone")
    core.put("/etc/conf", b"x=1")


@pytest.fixture(scope="session")
def filled_once(core_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("filled") / "data"
    core = launch(core_binary, data)
    fill(core)
    assert core.stop() == 0
    return data


@pytest.fixture
def filled(filled_once: Path, tmp_path: Path) -> Path:
    """A data directory of this test's own, of a core that was stopped."""
    return Path(shutil.copytree(filled_once, tmp_path / "filled"))
