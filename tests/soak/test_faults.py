"""Short form of the fault proof: each failing call once or more, then a power cut."""

from __future__ import annotations

import os

import pytest

from soak import faults

SEED = int(os.environ.get("ELASTIK_SOAK_SEED", "1"))
SECONDS = float(os.environ.get("ELASTIK_SOAK_SECONDS", "0"))


@pytest.mark.soak
@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.name)
def test_one_failing_call_and_then_a_power_cut(core_binary, tmp_path, fault):
    report = faults.run(
        core_binary,
        tmp_path / "run",
        seed=SEED,
        seconds=SECONDS / len(faults.FAULTS),
        cycles=2,
        faults=(fault,),
    )
    assert report.cycles >= 2
    assert report.events > 0
