"""Each 8.3.0 method in three columns gives the same: old SDK on our core, ours on ours and on old.

The old SDK on its own core is the yardstick for all three.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import realcore
from method_cases import CASES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "method_cases.py"
COLUMNS = {
    "old SDK, our core": ("old", "ours"),
    "our SDK, our core": ("ours", "ours"),
    "our SDK, old core": ("ours", "old"),
}
# Where a column deliberately answers otherwise: case -> entry of docs/migrating.md.
DIFFERENT = {
    ("old SDK, our core", "delete"): "403-for-a-known-token",
    ("our SDK, our core", "delete"): "403-for-a-known-token",
}


def run(python: Path, core: realcore.Core, out: Path, **env: str):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    done = subprocess.run(
        [python, SCRIPT, core.url, core.approve, out],
        env=clean | env, cwd=out.parent, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="session")
def found(published, core_binary, tmp_path_factory):
    """What each column found out, and the yardstick."""
    folder = tmp_path_factory.mktemp("columns")
    keep = {"ELASTIK_PERSIST_HEADERS": "x-meta-*"}
    cores = {
        "ours": realcore.launch(core_binary, folder / "ours", env=keep),
        "old": realcore.launch(
            published.binary, folder / "old", port=realcore.free_port(), env=keep
        ),
    }
    pythons = {
        "ours": (Path(sys.executable), {"PYTHONPATH": str(ROOT)}),
        "old": (published.python, {}),
    }
    try:
        results = {}
        for name, (sdk, core) in {"yardstick": ("old", "old"), **COLUMNS}.items():
            python, env = pythons[sdk]
            results[name] = run(python, cores[core], folder / f"{sdk}-{core}.json", **env)
        return results
    finally:
        for core in cores.values():
            core.kill()


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("case", CASES)
def test_the_same_as_8_3(found, column, case):
    expected, got = found["yardstick"][case], found[column][case]
    if (column, case) in DIFFERENT:
        assert got != expected, "no longer a difference: take it off the list"
        return
    assert got == expected


def test_every_difference_has_its_entry():
    page = (ROOT / "docs" / "migrating.md").read_text()
    assert not {entry for entry in DIFFERENT.values() if f'<a id="{entry}"></a>' not in page}


def test_the_cases_are_not_empty(found):
    assert len(CASES) >= 40
    broken = [
        c for c, r in found["yardstick"].items() if isinstance(r, list) and r[:1] == ["raises"]
    ]
    assert not broken, "a case that fails on the yardstick compares nothing"
