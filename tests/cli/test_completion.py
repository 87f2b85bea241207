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
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serial.tools.list_ports import comports

from commandline import talking_to
from elastik.errors import BadPath
from elastik.paths import canonical
from elastik_cli.offers import fitting, just_before, questions
from foreign import needed

ODD = ["comp/a b", "comp/star*c", "comp/col:on", "comp/it's", 'comp/"q"', "comp/$HOME", "comp/ü"]


@pytest.fixture
def shelled(elastik, shared_core, tmp_path):
    """The command on PATH under its own name, with odd paths on the server."""
    binary = tmp_path / "bin" / "elastik"
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nexec {shlex.join(elastik.argv)} "$@"\n')
    binary.chmod(0o755)
    for path in [*ODD, "comp/dir/x", "comp/dir/y"]:
        shared_core.put(f"/home/{quote(path)}", f"<{path}>".encode())
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


def test_sides_of_sync_and_serial_ports(shelled):
    values = [row[1] for row in offers(shelled, "sync", ":comp/d")]
    assert values == [":comp/dir/"]
    assert offers(shelled, "sync", "./si") == [["file", "./si", ""]]
    assert offers(shelled, "sync", "./site", "") == [["file", "", ""]]
    shelled.ok("context", "set", "here", f"url={shelled.env['ELASTIK_URL']}", "read_token_file=t")
    (shelled.home / "config" / "elastik" / "t").write_text(shelled.env["ELASTIK_READ_TOKEN"])
    (shelled.home / "config" / "elastik" / "t").chmod(0o600)
    assert offers(shelled, "sync", "here:comp/d") == [["path", "here:comp/dir/", ""]]
    here = [port.device for port in comports()]
    assert [row[1] for row in offers(shelled, "serial", "get", "")] == sorted(here)
    assert [row[1] for row in offers(shelled, "serial", "bridge", "--device", "")] == sorted(here)


def test_one_page_is_asked_for_however_much_is_stored(alone, core):
    for number in range(30):
        core.put(f"/home/many/{number:02}", b"x")
    with open(alone.home / "log", "wb") as log:
        asked = alone.with_env(_ELASTIK_COMPLETE="list").start("-v", "get", "many/1", stderr=log)
        out, _ = asked.communicate(timeout=30)
    assert out.decode().split("\n")[:-1] == [f"path\tmany/{n}\t" for n in range(10, 20)]
    requests = [line for line in (alone.home / "log").read_text().splitlines() if "GET" in line]
    assert len(requests) <= 1, requests


def test_a_core_without_lists_is_asked_for_all(published, tmp_path):
    core = published.start(tmp_path / "old")
    try:
        core.put("/home/old/a", b"x")
        core.put("/home/other", b"x")
        program = talking_to(core, tmp_path)
        assert [row[1] for row in offers(program, "get", "o")] == ["old/", "other"]
    finally:
        core.kill()


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


@given(st.text(min_size=1), st.text())
def test_a_page_begins_in_front_of_all_that_fits(begun, more):
    """Byte order, as the core sorts."""
    after = just_before("home", begun).encode("utf-8", "surrogatepass")
    assert after < f"home/{begun}{more}".encode("utf-8", "surrogatepass")


@given(
    st.from_regex(r"/?[a-z]{0,4}(/[a-z]{0,3}){0,3}", fullmatch=True), st.text("abc/", max_size=6)
)
def test_questions_lead_to_every_path_that_begins_as_typed(typed, more):
    try:
        world = canonical(typed + more)
    except BadPath:
        return
    if (typed + more).startswith("//"):  # the same path, but not as anybody types it
        return
    asked = list(questions(typed))
    assert any(world.startswith(f"{p}/{b}" if p else b) for p, b in asked), (world, asked)


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
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
COMP_WORDS=("${@:3}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_elastik elastik "$2" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"""


def in_bash(program, words, replaced):
    """What bash is offered: `words` as bash cuts the line, of which it replaces the end."""
    line = "elastik get " + "".join(words)
    done = subprocess.run(
        ["bash", "-c", BASH, "-", line, replaced, "elastik", "get", *words],
        env=program.env, cwd=program.home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "replaced", "offered"),
    [
        (["comp/col", ":"], "", ["on"]),
        (["comp/col", ":", "o"], "o", ["on"]),
        (["comp/col\\:"], "comp/col\\:", ["comp/col:on"]),
        (['comp/\\"'], 'comp/\\"', ['comp/\\"q\\"']),
        (['"comp/a '], "comp/a ", ["comp/a b"]),
        (['comp/"a '], "a ", ["a b"]),
        (["'comp/it"], "comp/it", ["comp/it'\\''s"]),
        (['"comp/$'], "comp/$", ["comp/\\$HOME"]),
        (["'comp/\""], 'comp/"', ['comp/"q"']),
    ],
)
def test_bash_goes_on_in_the_quoting_that_was_begun(shelled, words, replaced, offered):
    assert in_bash(shelled, words, replaced) == offered


def test_bash_quotes_every_name_so_that_it_comes_back_whole(shelled):
    quoted = in_bash(shelled, ["comp/"], "comp/")
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


# What is typed in front of TAB, in a form that all three shells read alike.
BEGUN = {
    "comp/a b": "comp/a\\ ",
    "comp/star*c": "comp/st",
    "comp/col:on": "comp/col",
    "comp/it's": "comp/it",
    'comp/"q"': 'comp/\\"',
    "comp/$HOME": "comp/\\$",
    "comp/ü": "comp/ü",
}


def test_tab_on_an_odd_name_gives_that_name(terminal):
    for number, (name, begun) in enumerate(BEGUN.items()):
        terminal.type(f"elastik get {begun}\t&& echo DONE-'{number}'\n")
        shown = terminal.until(f"DONE-{number}").string
        assert f"<{name}>" in shown, shown


def test_tab_on_options_and_contexts(terminal, shelled):
    shelled.ok("context", "set", "laboratory", "url=http://127.0.0.1:9")
    terminal.type("elastik head comp/dir/x --verb\t&& echo DONE-'1'\n")
    shown = terminal.until("DONE-1").string
    assert "etag" in shown and "listening" not in shown
    terminal.type("elastik --context lab\tget x --retry 0; echo DONE-'2'\n")
    assert "127.0.0.1:9" in terminal.until("DONE-2").string


def test_tab_without_a_server_prints_nothing(terminal):
    terminal.type("export ELASTIK_URL=http://127.0.0.1:9; echo DONE-'1'\n")
    terminal.until("DONE-1")
    terminal.type("elastik get comp/d\t&& true; echo DONE-'2'\n")
    shown = terminal.until("DONE-2").string
    assert "Traceback" not in shown
    assert shown.count("refused") <= 4, "only the command itself may complain"
