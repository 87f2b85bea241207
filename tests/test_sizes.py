"""A file does one thing: it is short, and its first line says which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLACES = ["elastik", "elastik_cli", "core-bin/src", "core-bin/tests", "tests", "bench", "dev"]
FILE_LIMIT, COMMAND_LIMIT = 500, 80


def sources(*suffixes: str) -> list[Path]:
    found = [p for place in PLACES for p in (ROOT / place).rglob("*") if p.suffix in suffixes]
    return sorted(found) + [p for p in ROOT.glob("*") if p.suffix in suffixes]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_too_long():
    long = {named(p): len(lines(p)) for p in sources(".py", ".rs", ".sh", ".c")}
    assert len(long) > 20, "the test found no files"
    assert not {name: n for name, n in long.items() if n > FILE_LIMIT}


def test_no_command_is_too_long():
    commands = sorted((ROOT / "elastik_cli" / "commands").glob("*.py"))
    assert commands
    assert not {named(p): len(lines(p)) for p in commands if len(lines(p)) > COMMAND_LIMIT}


@pytest.mark.parametrize("path", sources(".py"), ids=named)
def test_every_python_file_says_what_it_does(path):
    text = path.read_text()
    if path.name == "__init__.py" and not text.strip():
        return
    said = ast.get_docstring(ast.parse(text))
    assert said, "no docstring"
    first = said.splitlines()[0]
    if path.parent.name == "commands" and path.name != "__init__.py":
        assert first.startswith("elastik "), first
    else:
        assert first.endswith((".", "?", "!")), first


def test_every_rust_file_says_what_it_does():
    silent = [named(p) for p in sources(".rs") if not lines(p)[0].startswith("//! ")]
    assert not silent
