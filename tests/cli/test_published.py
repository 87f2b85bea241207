"""Every command line of the published 8.3.0, run by both programs on the same server.

Same lines on standard output; what is deliberately different stands in DIFFERENT.
"""

from __future__ import annotations

import os
import subprocess

import click
import pytest

from commandline import talking_to
from elastik_cli.main import elastik
from realcore import free_port, launch

# Command line -> why ours does otherwise.
DIFFERENT = {
    "": "no words: help on stderr and exit code 2, so that a script's mistake is seen",
    "ls nothing": "nothing there is exit code 4, not success",
    "tree nothing": "nothing there is exit code 4, not success",
    "rm nothing": "nothing there is exit code 4, not `0`",
    "rm -r home": "a message and exit code 2, not a traceback",
    "mv a/1 note": "a message and exit code 6, not a traceback",
    "mv nothing other": "a message and exit code 4, not a traceback",
    "get": "unknown there",
}
LINES = [
    "ls", "ls a", "ls home", "ls home/note", "ls --all", "ls a --all", "ls nothing", "tree",
    "tree a", "tree nothing", "du", "du a", "du --max-workers 2", "decode-path home%2Fnote%2Etxt",
    "decode-path home%2Fa%20b", "ls-data", "ls-data data8", "ls-data no-such-directory",
    "rm note", "rm nothing", "rm a -r", "rm -r home --force", "rm -r home", "rm --recursive a",
    "mv note other", "mv a b -r", "mv a/1 note", "mv a/1 note --overwrite", "mv nothing other",
    "nonsense", "",
]  # fmt: skip


@pytest.fixture
def both(published, tmp_path):
    """Run one line by either program, each on a server with the same paths."""
    homes, cores = {}, []

    def run(who, line):
        core = launch(published.binary, tmp_path / f"{who}-store", port=free_port())
        cores.append(core)
        for path in ("note", "a/1", "a/2", "a/b/3", "a b"):
            core.put(f"/home/{path.replace(' ', '%20')}", b"bytes")
        core.put("/tmp/x", b"12")
        home = homes.setdefault(who, tmp_path / who)
        (home / "data8" / "home%2Fnote%2Etxt").mkdir(parents=True)
        (home / "data8" / "home%2Fnote%2Etxt" / "universe.db").touch()
        program = talking_to(core, home)
        if who == "theirs":
            program.argv = (str(published.python), "-m", "elastik")
            program = program.with_env(PYTHONPATH="", ELASTIK_NO_DOTENV="1")
        return program(*line.split())

    yield run
    for core in cores:
        core.kill()


@pytest.mark.parametrize("line", LINES)
def test_published_lines(both, line):
    theirs, ours = both("theirs", line), both("ours", line)
    assert "Traceback" not in ours.err
    if line in DIFFERENT:
        assert (ours.code, ours.out) != (theirs.code, theirs.out), "no difference any more"
        return
    assert ours.out == theirs.out
    assert ours.code == theirs.code


@pytest.mark.parametrize("verb", ["run", "ls", "tree", "rm", "mv", "du", "info", "ls-data"])
def test_published_options_are_still_understood(published, verb):
    done = subprocess.run(
        [published.python, "-m", "elastik", verb, "--help"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}, cwd="/",
    )  # fmt: skip
    flags = {
        word.strip("[],") for word in done.stdout.split() if word.strip("[],").startswith("--")
    }
    command = elastik.get_command(click.Context(elastik), verb)
    ours = {name for param in command.params for name in param.opts}
    assert flags - {"--help"} <= ours
