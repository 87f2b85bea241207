"""An import that is killed at any step leaves either the old house or the new one, whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from old_layout import EXPECTED, golden, snapshot
from realcore import KEY

SOURCE = Path(__file__).with_name("killat.c")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("shim") / "killat.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-O1", "-o", library, SOURCE, "-ldl"], check=True
    )
    return library


def test_a_kill_at_any_step_loses_nothing(shim, core_binary, start_core, tmp_path, offline):
    """Each round kills the import before another call; what comes next always completes it."""
    run = [core_binary, "data", "import", "--data-dir"]
    base = {**os.environ, "ELASTIK_KEY": KEY, "LD_PRELOAD": str(shim)}
    count = tmp_path / "count"
    whole = golden(tmp_path / "whole")
    want = snapshot(whole)
    env = base | {"ELASTIK_KILL_COUNT": str(count)}
    subprocess.run([*run, whole], env=env, check=True, capture_output=True)
    steps = int(count.read_text())
    assert steps > 50, "the shim counts nothing"
    half_moved = 0
    # Pages of the new file are many and alike; its end, where names change, is tried whole.
    for at in [*range(1, steps - 40, 9), *range(steps - 40, steps)]:
        data = golden(tmp_path / f"at{at}")
        killed = subprocess.run(
            [*run, data], env=base | {"ELASTIK_KILL_AT": str(at)}, capture_output=True
        )
        assert killed.returncode in (-9, 0) and (killed.returncode or at > steps - 5), at
        assert snapshot(data) == want, f"step {at}: the original is whole"
        left = [p for p in data.iterdir() if (p / "universe.db").exists()]
        if not (data / "elastik.db").exists():
            assert offline("data", "import", "--data-dir", data).code == 0, at
        elif left:
            half_moved += 1
            core = start_core(data=data)
            assert "imported before" in core.stderr()
            core.kill()
        assert not [p for p in data.iterdir() if (p / "universe.db").exists()]
        assert snapshot(data) == want, f"step {at}: the original is whole after the import"
        said = offline("verify", "--data-dir", data)
        counted = said.summary["worlds"], said.summary["events"]
        assert (said.code, counted) == (0, (len(EXPECTED["worlds"]), 24)), at
        shutil.rmtree(data)
    assert half_moved > 5, "the moves themselves were never hit"
