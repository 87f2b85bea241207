"""Imports go down only: commands, services, SDK; and in the core doors, engine, store."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Lowest first; a module belongs to the longest name that fits.
LAYERS = ["elastik", "elastik_cli.exits", "elastik_cli", "elastik_cli.commands", "elastik_cli.main"]
# `python -m elastik` is the same program as the command: the one step upwards.
EXCEPTIONS = {
    ("elastik.__main__", "elastik_cli.main"),
    ("elastik_cli.__main__", "elastik_cli.main"),
}
# Terminals and parsers belong to the command; the SDK runs inside other people's programs.
NOT_IN_SDK = {"click", "rich", "typer", "platformdirs"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> int | None:
    fits = [(len(name), i) for i, name in enumerate(LAYERS) if f"{module}.".startswith(f"{name}.")]
    return max(fits)[1] if fits else None


def python_imports() -> Iterator[tuple[str, str]]:
    """Every import of our packages, at module level or not, as (importer, imported)."""
    for package in ("elastik", "elastik_cli"):
        for path in sorted((ROOT / package).rglob("*.py")):
            mine = module_of(path)
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((mine, name.name) for name in node.names)
                elif isinstance(node, ast.ImportFrom):
                    base = ".".join(filter(None, [above(path, node.level), node.module]))
                    yield mine, base
                    yield from ((mine, f"{base}.{name.name}") for name in node.names)


def above(path: Path, dots: int) -> str:
    """The package that a relative import with this many dots starts from."""
    return ".".join(path.relative_to(ROOT).parts[:-dots]) if dots else ""


def test_the_test_sees_imports():
    assert ("elastik_cli.main", "elastik_cli.lazy") in set(python_imports())


def test_no_module_imports_upwards():
    wrong = []
    for mine, theirs in python_imports():
        here, there = layer(mine), layer(theirs)
        if None in (here, there) or (mine, theirs) in EXCEPTIONS:
            continue
        if there > here and (mine, theirs.rpartition(".")[0]) not in EXCEPTIONS:
            wrong.append(f"{mine} imports {theirs}")
    assert not wrong, wrong


def test_no_command_imports_another():
    package = "elastik_cli.commands"
    wrong = [
        f"{mine} imports {theirs}"
        for mine, theirs in python_imports()
        if mine.startswith(package) and theirs.startswith(f"{package}.") and mine != theirs
    ]
    assert not wrong, wrong


def test_the_sdk_knows_no_terminal():
    wrong = [
        f"{mine} imports {theirs}"
        for mine, theirs in python_imports()
        if mine.split(".")[0] == "elastik" and theirs.split(".")[0] in NOT_IN_SDK
    ]
    assert not wrong, wrong


# ---- the core ----

CRATE = ROOT / "core-bin" / "src"
# What each part of the core may name. A door reaches the store through the engine alone.
MAY_USE = {
    "path": set(),
    "pattern": {"path"},
    "audit": {"store", "path", "time"},  # of the store the plain row types it computes over
    "store": {"audit", "path", "pattern", "time"},
    "engine": {"store", "audit", "path", "pattern"},
    "access": {"path", "pattern"},
    "http": {"engine", "access", "path", "pattern", "time", "VERSION"},
    "coap": {"engine", "access", "path", "pattern"},
    # The program: it knows the parts it sets up, and nothing behind them.
    "config": {"http", "engine", "access", "pattern", "time", "VERSION"},
    "descriptors": set(),
    "time": set(),
    "stop": {"engine", "descriptors"},
    # Work on a data directory without a server: a program of its own beside the doors.
    "maintain": {"store", "audit", "config", "path", "time"},
}
DOORS = {"http", "coap"}
# The parts of the core that are not a layer: the program, and the map of the crate.
ROOTS = {"main", "lib"}


def crate_uses(text: str) -> set[str]:
    """The first names after every `crate::`, those of a braced group included."""
    found = set(re.findall(r"\bcrate::(\w+)", text))
    for start in re.finditer(r"\bcrate::\{", text):
        depth, name = 1, ""
        for char in text[start.end() :]:
            depth += (char == "{") - (char == "}")
            if depth == 0 or (depth == 1 and char == ","):
                found.add(re.match(r"\s*(\w*)", name)[1])
                name = ""
                if depth == 0:
                    break
            else:
                name += char
    return found - {""}


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("use crate::store::Store;", {"store"}),
        ("use crate::{path, engine::{Engine, Verb}};", {"path", "engine"}),
        ("let x = crate::audit::mac(a);", {"audit"}),
        ("use crate::{\n    store::{self, A},\n    path::World,\n};", {"store", "path"}),
    ],
)
def test_the_test_reads_rust(text, uses):
    assert crate_uses(text) == uses


def test_no_door_may_ever_reach_the_store():
    for door in DOORS:
        assert not MAY_USE[door] & {"store", "audit", "config", *DOORS}
    assert not (MAY_USE["store"] | MAY_USE["audit"] | MAY_USE["engine"]) & {"config", *DOORS}


def rust_files(part: str) -> list[Path]:
    return sorted([*CRATE.glob(f"{part}.rs"), *CRATE.glob(f"{part}/**/*.rs")])


@pytest.mark.parametrize("part", MAY_USE)
def test_no_part_of_the_core_reaches_past_its_neighbour(part):
    files = rust_files(part)
    assert files, f"the core has no {part}: mend the table"
    wrong = []
    for path in files:
        text = "\n".join(line.split("//")[0] for line in path.read_text().splitlines())
        strangers = crate_uses(text) - MAY_USE[part] - {part}
        wrong += [f"{path.relative_to(ROOT)} names crate::{name}" for name in sorted(strangers)]
    assert not wrong, wrong


def test_every_part_of_the_core_is_in_the_table():
    parts = {path.stem for path in CRATE.iterdir() if path.is_dir() or path.suffix == ".rs"}
    assert parts - ROOTS == set(MAY_USE)
