"""A full disk and a read-only one: clear refusals, reads and deletes go on, no ghosts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("small_disk.py")
TESTS = SCRIPT.parents[1]


def in_a_namespace() -> list[str]:
    """How to get a place where a tmpfs may be mounted; skips by name where there is none."""
    for words in (["unshare", "-rm"], ["unshare", "-m"]):
        try:
            done = subprocess.run(
                [*words, "sh", "-c", 'd=$(mktemp -d) && mount -t tmpfs none "$d"'],
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            continue
        if done.returncode == 0:
            return words
    pytest.skip("no tmpfs of our own: unshare -rm is not allowed here")


@pytest.mark.parametrize("scene", ["fills", "starts_full", "read_only"])
def test_on_a_small_disk(core_binary, tmp_path, scene):
    done = subprocess.run(
        [*in_a_namespace(), sys.executable, SCRIPT, scene, core_binary, tmp_path],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1:] == [f"{scene}: ok"]
