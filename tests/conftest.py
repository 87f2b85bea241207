"""Fixtures that every test may use: the built core, a running one, the published one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from foreign import missing
from realcore import Core, free_port, launch

ROOT = Path(__file__).resolve().parent.parent
PEER_PYTHON = ROOT / ".venv-peer" / "bin" / "python"
# Settings of the tests themselves; every other ELASTIK_* of the developer's shell is hidden.
OURS = {"ELASTIK_TEST_CORE", "ELASTIK_SOAK_SECONDS", "ELASTIK_SOAK_SEED"}

# A shell that starts us in the background has SIGINT ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

for name in [n for n in os.environ if n.startswith("ELASTIK_") and n not in OURS]:
    del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the developer's own configuration."""
    home = tmp_path_factory.mktemp("xdg")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        yield


@pytest.fixture(scope="session")
def core_binary() -> Path:
    """The core of this checkout (ELASTIK_TEST_CORE names another), compiled when it is not."""
    if chosen := os.environ.get("ELASTIK_TEST_CORE"):
        return Path(chosen)
    binary = ROOT / "core-bin" / "target" / "release" / "elastik-core"
    if not binary.exists():
        subprocess.run(["make", "-C", ROOT, str(binary.relative_to(ROOT))], check=True)
    return binary


@pytest.fixture
def start_core(core_binary: Path, tmp_path: Path) -> Iterator[Callable[..., Core]]:
    """Start cores as `launch` does, each on port 0; whatever still runs is killed at the end."""
    running: list[Core] = []
    # Another core, as the published one, may not be able to name the port it was given.
    elsewhere = "ELASTIK_TEST_CORE" in os.environ

    def start(data: Path | None = None, **options: object) -> Core:
        if elsewhere:
            options.setdefault("port", free_port())
        core = launch(core_binary, data or tmp_path / "data", **options)  # type: ignore[arg-type]
        running.append(core)
        return core

    yield start
    for core in running:
        core.kill()


@pytest.fixture
def core(start_core: Callable[..., Core]) -> Core:
    """A fresh core with a key, three tokens and an empty data directory of its own."""
    return start_core()


@pytest.fixture(scope="session")
def shared_core(core_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """One core for all tests that only need a server and use names of their own."""
    port = free_port() if "ELASTIK_TEST_CORE" in os.environ else 0
    core = launch(core_binary, tmp_path_factory.mktemp("shared") / "data", port=port)
    yield core
    core.kill()


class Published(NamedTuple):
    """The published package: its interpreter and its core."""

    python: Path
    binary: Path

    def start(self, data: Path) -> Core:
        return launch(self.binary, data, port=free_port())


@pytest.fixture(scope="session")
def published() -> Published:
    """elastik 8.3.0 in an environment of its own; missing it is a failure only in CI."""
    if not PEER_PYTHON.exists():
        missing("elastik 8.3.0 is not installed: make peers")
    where = "import elastik; print(elastik.binary_info()['path'])"
    done = subprocess.run(
        [PEER_PYTHON, "-c", where], capture_output=True, text=True, check=True, cwd="/"
    )
    return Published(PEER_PYTHON, Path(done.stdout.strip()))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the committed and new files of this tree, without anything that was built."""
    git = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    copy = tmp_path / "checkout"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy
