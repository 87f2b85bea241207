"""Manual pages, reference pages and completions are what their generators print now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="typer is a developer's tool: make build")

ROOT = Path(__file__).resolve().parent.parent


def task(name: str) -> subprocess.CompletedProcess[str]:
    """One task as a maintainer runs it."""
    typer = Path(sys.executable).with_name("typer")
    return subprocess.run(
        [typer, "dev/tasks.py", "run", name, "--check"], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["man", "docs", "completions"])
def test_what_is_generated_is_fresh(name):
    done = task(name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_verb_has_a_manual_page():
    verbs = {p.stem.replace("_", "-") for p in ROOT.glob("elastik_cli/commands/[a-z]*.py")}
    pages = {p.stem for p in (ROOT / "man").glob("*.1")}
    assert {f"elastik-{verb}" for verb in verbs} <= pages
    assert "elastik" in pages
