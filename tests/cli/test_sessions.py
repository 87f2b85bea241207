"""The sessions printed in docs/cli.md: what is printed there is what the program prints.

`RECORD_SESSIONS=1 pytest tests/cli/test_sessions.py` writes the answers anew; read the diff.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from commandline import Program, talking_to
from elastik_cli.main import SECTIONS

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))


def steps(text: str) -> list[tuple[str, str]]:
    """(command, answer) pairs: a command stands behind `$ `, its further lines behind `> `."""
    found: list[list[str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif line.startswith("> ") and not found[-1][1]:
            found[-1][0] += line[2:]
        else:
            found[-1][1] += line
    return [(command, answer) for command, answer in found]


def shell(program: Program, tmp_path: Path, command: str, port: str) -> str:
    """What bash and the program print for `command`, on both streams, as a terminal shows it."""
    binary = tmp_path / "bin" / "elastik"
    if not binary.exists():
        binary.parent.mkdir()
        words = " ".join(map(shlex.quote, program.argv))
        binary.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        binary.chmod(0o755)
    env = program.env | {"PATH": f"{binary.parent}:{program.env['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-c", command],
        env=env,
        cwd=program.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return tame(done.stdout, program.home, port)


def tame(text: str, home: Path, port: str) -> str:
    """Without what differs from run to run: the port, the directory, the clock."""
    text = text.replace(str(home), "/home/me").replace(f":{port}", ":3105")
    text = re.sub(r"(?m)^(date|last-modified): .*$", r"\1: …", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "2026-11-20T10:00:00.000000Z", text)
    text = re.sub(r"(x-elapsed-us|x-request-id): \d+", r"\1: …", text)
    return text if not text or text.endswith("\n") else text + "\n"


@pytest.mark.parametrize("path", SESSIONS, ids=lambda p: p.stem)
def test_a_session_goes_as_printed(path, start_core, tmp_path, core_binary):
    core = start_core(tmp_path / "store", env={"ELASTIK_HISTORY": "home/*=5"})
    home = tmp_path / "home"
    home.mkdir()
    program = talking_to(core, home).with_env(ELASTIK_CORE=str(core_binary))
    port = str(core.address[1])
    printed, replayed = path.read_text(), ""
    for command, _ in steps(printed):
        shown = command.replace("\n", "\n> ").removesuffix("> ")
        replayed += f"$ {shown}" + shell(program, tmp_path, command, port)
    if os.environ.get("RECORD_SESSIONS"):
        path.write_text(replayed)
    assert replayed == printed


def test_every_verb_has_a_session():
    verbs = {name for rows in SECTIONS.values() for name in rows}
    assert verbs == {path.stem for path in SESSIONS}
