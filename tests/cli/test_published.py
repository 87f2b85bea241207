"""Every command line of the published 8.3.0, run by both programs on the same server.

Same lines on standard output; what is deliberately different stands in DIFFERENT.
"""

from __future__ import annotations

import os
import subprocess

import click
import pytest

from coapwire import coap_address
from commandline import Program, talking_to
from elastik_cli.main import elastik
from realcore import free_port, launch

# Command line -> why ours does otherwise.
DIFFERENT = {
    "": "no words: help on stderr and exit code 2, so that a script's mistake is seen",
    "ls nothing": "nothing there is exit code 4, not success",
    "du nothing": "nothing there is exit code 4, not success",
    "tree nothing": "nothing there is exit code 4, not success",
    "rm nothing": "nothing there is exit code 4, not `0`",
    "rm -r home": "a message and exit code 2, not a traceback",
    "mv a/1 note": "a message and exit code 6, not a traceback",
    "mv nothing other": "a message and exit code 4, not a traceback",
    "get": "unknown there",
}
LINES = [
    "ls", "ls a", "ls home", "ls home/note", "ls --all", "ls a --all", "ls nothing", "tree",
    "tree a", "tree nothing", "du", "du a", "du nothing", "du --max-workers 2",
    "decode-path home%2Fnote%2Etxt",
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


@pytest.fixture
def by_coap(published, start_core, tmp_path):
    """Run one `coap` line by either program on the same server."""
    core = start_core(env={"ELASTIK_COAP_PORT": "0"})
    port = str(coap_address(core)[1])
    core.put("/home/there", b"bytes")

    def run(who, line, stdin=b""):
        program = talking_to(core, tmp_path)
        if who == "theirs":
            program.argv = (str(published.python), "-m", "elastik")
            program = program.with_env(PYTHONPATH="", ELASTIK_NO_DOTENV="1")
        words = line.replace("HOST PORT", f"127.0.0.1 {port}").replace("TOKEN", core.approve)
        return program(*words.split(), stdin=stdin)

    return run


# Command line -> the exit codes there and here; the standard output is the same.
COAP_LINES = {
    "coap get HOST PORT home/there --token TOKEN": (0, 0),
    "coap get HOST PORT home/there --token TOKEN --timeout 5": (0, 0),
    "coap put HOST PORT home/new payload --token TOKEN": (0, 0),
    "coap put HOST PORT home/new - --token TOKEN --content-type text/plain": (0, 0),
    "coap put HOST PORT home/new --token TOKEN --verbose": (0, 0),
    "coap get HOST PORT home/nothing --token TOKEN": (1, 4),
    "coap get HOST PORT home/there --token wrong": (1, 5),
    "coap get 127.0.0.1 nonsense home/there": (2, 2),
    "coap": (2, 2),
}


@pytest.mark.parametrize("line", COAP_LINES)
def test_published_coap_lines(by_coap, line):
    theirs, ours = by_coap("theirs", line, b"stdin"), by_coap("ours", line, b"stdin")
    assert (theirs.code, ours.code) == COAP_LINES[line], (theirs, ours)
    if line != "coap":  # a help page, which may say more
        assert ours.out == theirs.out
    assert "Traceback" not in ours.err
    if "--verbose" in line:
        assert "2." in theirs.err and "2." in ours.err
    if "--token" in line:
        assert "--token-file" in ours.err


def test_published_lines_without_a_server(published, tmp_path):
    """`info` tells the same of another binary; `run` without a key fails by another code."""
    ours = Program(tmp_path)
    theirs = Program(tmp_path).with_env(PYTHONPATH="")
    theirs.argv = (str(published.python), "-m", "elastik")
    names = [line.partition(":")[0] for line in theirs.ok("info").decode().splitlines()]
    assert [line.partition(":")[0] for line in ours.ok("info").decode().splitlines()] == names
    assert (theirs("run").code, ours("run").code) == (1, 2)
    assert (theirs().code, ours().code) == (0, 2)
    for verb in ("info", "run", "coap"):
        assert "Traceback" not in ours(verb, "--nonsense").err
        assert (theirs(verb, "--nonsense").code, ours(verb, "--nonsense").code) == (2, 2)
