"""The SDK's page runs from top to bottom, and the page of differences is complete."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import elastik

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_runs(tmp_path, core_binary, monkeypatch):
    pytest.importorskip("aiohttp", reason="the page has a part about the extra aio")
    monkeypatch.setenv("ELASTIK_CORE", str(core_binary))
    page = (ROOT / "docs" / "sdk.md").read_text()
    some_file = tmp_path / "file"
    some_file.write_bytes(b"x" * 100_000)
    names = {
        "data_dir": tmp_path / "data",
        "some_file": some_file,
        "target": tmp_path / "numbers",
        "state_file": tmp_path / "state",
    }
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", page, re.S | re.M))
    assert len(blocks) >= 12
    for block in blocks:
        # Empty lines before the code, so that a failure names the line of the page.
        before = "\n" * page[: block.start(1)].count("\n")
        exec(compile(before + block[1], "docs/sdk.md", "exec"), names)
    assert not elastik.is_running()


def test_every_public_class_and_function_is_on_the_page_or_in_a_family():
    page = (ROOT / "docs" / "sdk.md").read_text() + (ROOT / "docs" / "migrating.md").read_text()
    families = {"put_text", "get_text"}  # shown by one of their family
    missing = [
        name
        for name in dir(elastik.Elastik)
        if not name.startswith("_") and name not in families and name not in page
    ]
    known = {
        "checksum", "clear", "clear_cache", "debug_enabled", "debug_history", "diff", "get_many",
        "head", "is_audited", "items", "keys", "list", "list_keys", "list_paths", "pop", "popitem",
        "request", "setdefault", "update", "values", "preview",
    }  # fmt: skip
    assert set(missing) <= known


def test_every_difference_of_the_command_has_its_entry():
    """The lines that tests/cli knows to differ stand in the page's own section."""
    suite = ast.parse((ROOT / "tests" / "cli" / "test_published.py").read_text())
    (known,) = (
        ast.literal_eval(node.value)
        for node in suite.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DIFFERENT"
    )
    page = (ROOT / "docs" / "migrating.md").read_text()
    section = page.split("\n## On the command line\n")[1].split("\n## ")[0]
    assert known
    assert not {line for line in known if f"`{f'elastik {line}'.strip()}`" not in section}
