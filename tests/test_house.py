"""The house in order: one version everywhere, nothing unfinished, nothing of one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import elastik

ROOT = Path(__file__).resolve().parent.parent
# Written apart, so that this file does not find itself.
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "to" + "do!", "un" + "implemented!"]))
MACHINES = re.compile("|".join(["/wo" + "rk/", "/ro" + "ot/", "/tmp/pe" + "er"]))


def text_files() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    names = [n for n in done.stdout.split("\0") if n and not n.endswith((".lock", ".bin"))]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


def test_nothing_is_left_unfinished():
    assert lines_with(UNFINISHED) == []


def test_no_file_knows_the_machine_it_was_written_on():
    assert lines_with(MACHINES) == []


def test_every_part_has_the_same_version(core_binary):
    version = elastik.__version__
    crate = re.search(r'^version = "(.+)"', (ROOT / "core-bin/Cargo.toml").read_text(), re.M)[1]
    # Cargo writes 9.0.0-dev.0 where Python writes 9.0.0.dev0.
    assert crate.replace("-dev.", ".dev") == version
    for program in ([core_binary], [sys.executable, "-m", "elastik"]):
        said = subprocess.run([*program, "--version"], capture_output=True, text=True).stdout
        assert version in said, program
    assert version in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=str)
def test_every_relative_link_leads_somewhere(path):
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", path.read_text())
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing
