"""Types: strict on the package, on a file of user code, and wrong code is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is a developer's tool: make build")

ROOT = Path(__file__).resolve().parents[2]
USER = Path(__file__).with_name("user_code.py")


def mypy(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return done.stdout


def test_user_code_passes():
    assert "Success" in mypy(USER)


WRONG = {
    'n: int = elastik.get("a")': "assignment",
    'b: bytes = elastik.get("a", if_none_match="x")': "assignment",
    'elastik.put("a", 5)': "arg-type",
    'elastik.nothing("a")': "attr-defined",
    'elastik.Elastik().ls("a", depht=1)': "call-arg",
    "elastik.errors.Nothing": "attr-defined",
    'c: str = elastik.aio.Elastik().get("a")': "assignment",
    'elastik.aio.Elastik().nothing("a")': "attr-defined",
}


def test_wrong_code_is_found(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("\n".join(["import elastik, elastik.aio, elastik.errors", *WRONG]) + "\n")
    said = mypy(wrong)
    for number, complaint in enumerate(WRONG.values(), 2):
        assert f"wrong.py:{number}: error: " in said, said
        found = [line for line in said.splitlines() if f"wrong.py:{number}:" in line]
        assert complaint in found[0]


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "elastik" / "py.typed").exists()
