"""Every public name of 8.3.0: its module, class, bases, members and signature still fit."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("surface.py")
# 8.3.0 passed these on to the method, whose keywords are now written out.
PASSED_ON = {"elastik.preview: no kwargs"}
VARIABLE = {int(inspect.Parameter.VAR_KEYWORD), int(inspect.Parameter.VAR_POSITIONAL)}


def surface(python: object, **env: str):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    done = subprocess.run(
        [str(python), str(PROGRAM)],
        cwd="/", env=clean | {"ELASTIK_NO_DOTENV": "1"} | env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def theirs(published):
    return surface(published.python)


@pytest.fixture(scope="module")
def ours():
    return surface(sys.executable, PYTHONPATH=str(ROOT))


def misfits(where: str, old: list | None, new: list | None) -> list[str]:
    """What a call that 8.3.0 takes would run into."""
    if old is None or new is None:
        return []
    mine = {name: (kind, default) for name, kind, default in new}
    takes_rest = {kind for _, kind, _ in new} & VARIABLE
    wrong = []
    for name, kind, default in old:
        if kind in VARIABLE:
            if kind not in takes_rest and name not in ("_kwargs", "_exc"):
                wrong.append(f"{where}: no {name}")
        elif name not in mine or mine[name][0] != kind:
            wrong.append(f"{where}: {name} is {mine.get(name)}")
        elif mine[name][1] != default:
            wrong.append(f"{where}: {name}={mine[name][1]}, not {default}")
    # By place nothing may have moved, and nothing new may be required.
    places = [name for name, kind, _ in old if kind <= 1]
    if [name for name, kind, _ in new if kind <= 1][: len(places)] != places:
        wrong.append(f"{where}: the order changed")
    known = {name for name, _, _ in old}
    empty = repr(inspect.Parameter.empty)
    wrong += [f"{where}: {n} is required" for n, k, d in new
              if n not in known and d == empty and k not in VARIABLE and known]  # fmt: skip
    return wrong


def test_the_surface_is_seen(theirs):
    assert len(theirs["elastik"]) > 70
    assert len(theirs["elastik"]["Elastik"]["members"]) > 50
    assert "HeaderAllowlist" in theirs["elastik.sdk"]


def test_every_name_is_in_its_module(theirs, ours):
    missing = [
        f"{module}.{name}"
        for module, names in theirs.items()
        for name in names
        if name not in ours[module]
    ]
    assert not missing


def test_every_signature_fits(theirs, ours):
    wrong = []
    for module, names in theirs.items():
        for name, old in names.items():
            new = ours[module][name]
            where = f"{module}.{name}"
            assert new["kind"] == old["kind"], where
            wrong += misfits(where, old["parameters"], new["parameters"])
    assert {*wrong} == PASSED_ON, "\n".join(wrong)


def test_every_class_has_its_bases_and_members(theirs, ours):
    wrong = []
    for module, names in theirs.items():
        for name, old in names.items():
            if old["kind"] != "class":
                continue
            new, where = ours[module][name], f"{module}.{name}"
            wrong += [f"{where} is no {base}" for base in {*old["bases"]} - {*new["bases"]}]
            for member, (kind, parameters) in old["members"].items():
                if member not in new["members"]:
                    wrong.append(f"{where}.{member} is gone")
                    continue
                found, mine = new["members"][member]
                if found != kind:
                    wrong.append(f"{where}.{member} is a {found}, not a {kind}")
                wrong += misfits(f"{where}.{member}", parameters, mine)
    assert not wrong, "\n".join(wrong)
