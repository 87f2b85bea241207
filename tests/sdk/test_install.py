"""The SDK works where nothing else is installed: `pip install --no-deps`."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is a developer's tool: make build")

PROBE = """
import sys, tempfile, elastik
e = elastik.start(port=0, key="k" * 32, write_token="w", data_dir=tempfile.mkdtemp())
with e.listen("note", timeout=5) as events:
    e.put("note", "hello")
    assert next(events)["path"] == "/home/note"
assert e.get_text("note") == "hello" and e.verify("note")
elastik.stop()
f = elastik.FakeElastik()
f["a"] = "b"
roots = {name.split(".")[0] for name in sys.modules}
print(elastik.__file__, *sorted(roots & {"click", "rich", "aiohttp"}))
"""


def test_without_dependencies(checkout, core_binary, tmp_path):
    env = os.environ | {"ELASTIK_CORE_BIN": str(core_binary)}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"],
        cwd=checkout, env=env, check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    done = subprocess.run(
        [python, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    where = done.stdout.split()
    assert where[1:] == []
    assert Path(where[0]).is_relative_to(tmp_path / "bare")
