"""The unit and the udev rule that are shipped: systemd accepts them, and they promise what runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from foreign import needed

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
UNIT = CONTRIB / "systemd" / "elastik-serial@.service"
RULES = CONTRIB / "udev" / "60-elastik-serial.rules"


def test_systemd_accepts_the_unit(tmp_path: Path):
    analyze = needed("systemd-analyze", package="systemd")
    instance = tmp_path / "elastik-serial@ttyACM0.service"
    shutil.copy(UNIT, instance)
    done = subprocess.run(
        [analyze, "verify", "--man=no", instance],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Failed to" in done.stderr and "bus" in done.stderr:
        pytest.skip("no systemd runs here")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_hides_the_token_and_waits_for_the_port():
    text = UNIT.read_text()
    assert "Type=notify" in text
    assert "LoadCredential=write-token" in text
    assert "Group=dialout" in text
    start = re.search(r"^ExecStart=(.*)$", text, re.M)[1]
    assert "token" not in start


def test_its_options_are_options_of_the_bridge():
    from elastik_cli.commands.serialverbs.bridge import command

    known = {option for param in command.params for option in param.opts}
    start = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.M)[1]
    assert set(re.findall(r"--[a-z-]+", start)) <= known


def test_the_rule_starts_the_unit_of_the_port():
    wanted = [line for line in RULES.read_text().splitlines() if "SYSTEMD_WANTS" in line]
    assert wanted
    for line in wanted:
        assert 'SUBSYSTEM=="tty"' in line
        assert 'TAG+="systemd"' in line
        assert "elastik-serial@%k.service" in line
