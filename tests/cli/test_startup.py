"""Start-up is a feature: what may be imported, and when."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from elastik_cli.main import SECTIONS, elastik

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = {"rich", "aiocoap", "serial", "asyncio", "http.client", "platformdirs", "ssl", "email"}
VERBS = [name for rows in SECTIONS.values() for name in rows]


def modules_after(program: str, *argv: str) -> set[str]:
    probe = f"import sys\nsys.argv = {['elastik', *argv]!r}\n{program}\n"
    probe += "print('\\n=', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.rpartition("\n= ")[2].split())


def test_importing_the_group_is_light():
    assert not modules_after("import elastik_cli.main") & HEAVY


def test_help_imports_no_verb_and_nothing_heavy():
    loaded = modules_after("from elastik_cli.main import main\nassert main() == 0", "--help")
    assert not {name for name in loaded if name.startswith("elastik_cli.commands.")}
    assert not loaded & HEAVY


def test_a_verb_imports_only_itself():
    loaded = modules_after("from elastik_cli.main import main\nmain()", "get", "--help")
    verbs = {name for name in loaded if name.startswith("elastik_cli.commands.")}
    assert verbs == {"elastik_cli.commands.get"}
    assert not loaded & HEAVY


def test_a_pipe_never_sees_rich(shared_core):
    url, token = shared_core.url, shared_core.read
    probe = (
        f"import os\nos.environ |= {{'ELASTIK_URL': {url!r}, 'ELASTIK_READ_TOKEN': {token!r}}}\n"
    )
    probe += "from elastik_cli.main import main\nmain()"
    loaded = modules_after(probe, "ls", "-l")
    assert not loaded & {"rich", "aiocoap", "serial", "asyncio"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_and_the_verb_say_the_same(verb):
    ctx = click.Context(elastik)
    command = elastik.get_command(ctx, verb)
    first = command.help.strip().splitlines()[0]
    assert first == elastik.table[verb]
    assert first.endswith(".")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_two_examples_that_name_it(verb):
    command = elastik.get_command(click.Context(elastik), verb)
    if isinstance(command, click.Group):
        pytest.skip("a family of verbs: its members carry the examples")
    examples = command.help.partition("Examples:")[2].strip().splitlines()
    assert len([line for line in examples if f"elastik {verb}" in line]) >= 2


@pytest.mark.parametrize("path", sorted(ROOT.glob("elastik_cli/commands/**/*.py")), ids=str)
def test_a_verb_is_short(path):
    assert len(path.read_text().splitlines()) <= 80


@pytest.mark.parametrize("path", sorted(ROOT.glob("elastik_cli/**/*.py")), ids=str)
def test_a_file_says_first_what_it_does_and_stays_small(path):
    lines = path.read_text().splitlines()
    assert re.match(r'"""\S.*', lines[0])
    assert len(lines) <= 500
