"""TAB in real shells: verbs, options, contexts and server paths, slash open, odd names whole."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shlex
import subprocess
import termios
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik.paths import canonical
from elastik_cli.completion import fitting
from foreign import needed

ODD = ["comp/a b", "comp/a*c", "comp/col:on", "comp/it's", 'comp/"q"', "comp/$HOME", "comp/ü"]


@pytest.fixture
def shelled(elastik, tmp_path):
    """The command on PATH under its own name, with odd paths on the server."""
    binary = tmp_path / "bin" / "elastik"
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nexec {shlex.join(elastik.argv)} "$@"\n')
    binary.chmod(0o755)
    for path in [*ODD, "comp/dir/x", "comp/dir/y"]:
        elastik.ok("put", path, "--text", "x")
    path = f"{binary.parent}:{elastik.env['PATH']}"
    return elastik.with_env(PATH=path, HOME=str(tmp_path), LC_ALL="C.UTF-8", TERM="dumb")


def offers(program, *words, **env):
    """What the command itself answers for the last of `words`."""
    asked = program.with_env(_ELASTIK_COMPLETE="list", **env)
    return [line.split("\t") for line in asked.ok(*words).decode().splitlines()]


def test_verbs_options_and_values(shelled):
    assert [row[1] for row in offers(shelled, "tr")] == ["tree"]
    assert ["plain", "--create-only", "Only if nothing is there yet."] in offers(
        shelled, "put", "--c"
    )
    assert [row[1] for row in offers(shelled, "listen", "--order", "")] == ["path", "none"]
    shelled.ok("context", "set", "lab", "url=http://lab:1")
    assert offers(shelled, "--context", "l") == [["plain", "lab", ""]]


def test_paths_in_the_form_that_was_begun(shelled):
    values = [row[1] for row in offers(shelled, "get", "comp/")]
    assert values == sorted([*ODD, "comp/dir/"])
    assert [row[1] for row in offers(shelled, "get", "/comp/d")] == ["/comp/dir/"]
    assert [row[1] for row in offers(shelled, "get", "home/comp/d")] == ["home/comp/dir/"]
    assert offers(shelled, "put", "note", "") == [["file", "", ""]]


def test_a_dead_server_is_silent_and_quick(shelled):
    for url in ("http://127.0.0.1:9", "http://192.0.2.1:9", "nonsense"):
        began = time.monotonic()
        ended = shelled.with_env(_ELASTIK_COMPLETE="list", ELASTIK_URL=url)("get", "co")
        assert ended == (0, b"", "")
        assert time.monotonic() - began < 10


@given(st.lists(st.text(min_size=1).map(lambda t: f"home/{t}")), st.text())
def test_offers_begin_as_typed_and_lead_somewhere(worlds, typed):
    for offer in fitting(worlds, typed):
        assert offer.startswith(typed) or offer in ("home/", "/home/")


@given(st.from_regex(r"[a-z ]{1,4}(/[a-z ]{1,4}){0,3}", fullmatch=True))
def test_every_path_can_be_reached_by_tab(name):
    world, typed = canonical(name), ""
    for _ in range(6):
        offer = fitting([world], typed)[0]
        if canonical(offer.rstrip("/")) == world and not offer.endswith("/"):
            return
        typed = offer
    raise AssertionError(typed)


# -- real shells --------------------------------------------------------------------------------

BASH = r"""
source <(elastik completions bash)
line=$1
COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9
eval "COMP_WORDS=($2)"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_elastik elastik 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"""


def test_bash_quotes_every_name_so_that_it_comes_back_whole(shelled):
    done = subprocess.run(
        ["bash", "-c", BASH, "-", "elastik get comp/", "elastik get comp/"],
        env=shelled.env, cwd=shelled.home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    quoted = done.stdout.split("\n")[:-1]
    echoed = subprocess.run(
        ["bash", "-c", "printf '%s\\n' " + " ".join(quoted)],
        env=shelled.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert echoed.stdout.splitlines() == sorted([*ODD, "comp/dir/"])


class Terminal:
    """An interactive shell on a pty: type, and read what the line became."""

    def __init__(self, argv, env, cwd):
        self.screen, inner = os.openpty()
        self.process = subprocess.Popen(
            argv,
            **dict.fromkeys(("stdin", "stdout", "stderr"), inner),
            env=env,
            cwd=cwd,
            start_new_session=True,
            # fish insists on a terminal of its own, not just on one that it can read.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner)
        self.seen = ""

    def until(self, pattern, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen, re.DOTALL)):
            assert time.monotonic() < deadline, (pattern, self.seen[-2000:])
            if select.select([self.screen], [], [], 0.1)[0]:
                self.seen += os.read(self.screen, 65536).decode("utf-8", "replace")
        return match

    def type(self, text):
        self.seen = ""
        os.write(self.screen, text.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.screen)


SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "PS1='READY> '; source <(elastik completions bash)\n",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "PS1='READY> '; autoload -Uz compinit; compinit -u; source <(elastik completions zsh)\n",
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        "function fish_prompt; echo -n 'READY> '; end; elastik completions fish | source\n",
    ),
}  # fmt: skip


@pytest.fixture(params=SHELLS)
def terminal(request, shelled):
    """Each shell that is there, ready to be typed into."""
    argv, begin = SHELLS[request.param]
    needed(argv[0])
    shell = Terminal(argv, shelled.env | {"fish_features": "no-query-term"}, shelled.home)
    shell.type(begin)
    shell.until("READY> .*READY> |READY> $" if argv[0] != "fish" else "READY> ")
    time.sleep(1.0)
    yield shell
    shell.close()


def test_tab_completes_and_the_line_runs(terminal):
    terminal.type("elastik get comp/dir/x && echo DONE-'2'\n")
    terminal.until("DONE-2")
    # One TAB for the verb, one for the directory whose slash stays open, then the rest by hand.
    terminal.type("elastik hea\tcomp/di\tx && echo DONE-'3'\n")
    shown = terminal.until("DONE-3").string
    assert "etag" in shown


def test_tab_on_a_name_with_a_space_gives_that_name(terminal):
    terminal.type("elastik get comp/a\\ \t&& echo DONE-'4'\n")
    assert "x" in terminal.until("DONE-4").string
