"""Short forms of the crash proofs, and that the simulated disk can fail them."""

from __future__ import annotations

import os
import random

import pytest

from soak import crash
from soak.disk import Disk
from soak.history import Broken

SEED = int(os.environ.get("ELASTIK_SOAK_SEED", "1"))
SECONDS = float(os.environ.get("ELASTIK_SOAK_SECONDS", "0"))

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("lossy", [False, True], ids=["kill -9", "power cut"])
def test_nothing_acknowledged_is_lost(core_binary, tmp_path, lossy):
    report = crash.run(
        core_binary, tmp_path / "run", seed=SEED, seconds=SECONDS, cycles=10, lossy=lossy
    )
    assert report.acknowledged > 100, "the kills came before any work was done"
    assert report.unanswered > 0


def test_a_disk_that_lies_about_fsync_is_found_out(core_binary, tmp_path, monkeypatch):
    honest = Disk.environment
    monkeypatch.setattr(Disk, "environment", lambda disk: honest(disk) | {"DISK_LIES": "-wal"})
    with pytest.raises((Broken, RuntimeError)):
        crash.run(core_binary, tmp_path / "run", seed=SEED, cycles=20, lossy=True)


def test_a_core_killed_before_its_first_call_leaves_the_disk_as_it_was(tmp_path):
    disk = Disk(tmp_path)
    (disk.data / "elastik.db").write_bytes(b"x")
    disk.environment()
    (disk.image / "dir").write_text("0 elastik.db\n")  # killed before it wrote `names`
    (disk.image / "f0").write_bytes(b"x")
    for seed in range(20):
        disk.cut(random.Random(seed), 0.9)
        assert (disk.data / "elastik.db").read_bytes() == b"x"
