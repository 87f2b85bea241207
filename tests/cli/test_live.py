"""What only a person sees: the live view, the picture of top, the pager, bars of many files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commandline import until
from elastik_cli.liveview import preview


class Screen:
    """A terminal that a program writes to, read without waiting."""

    def __init__(self):
        self._mine, self.theirs = os.openpty()
        os.set_blocking(self._mine, False)
        self._seen = b""

    def seen(self):
        with suppress(BlockingIOError, OSError):
            while piece := os.read(self._mine, 65536):
                self._seen += piece
        return self._seen.decode()

    def close(self):
        for end in (self._mine, self.theirs):
            os.close(end)


@pytest.fixture
def screen():
    made = Screen()
    yield made
    made.close()


def on(screen, program, **env):
    program = program.with_env(LC_ALL="C.UTF-8", COLUMNS="100", **env)
    return {"program": program, "stdout": screen.theirs, "stderr": screen.theirs}


def test_listen_shows_values_above_a_line_that_says_how_things_stand(elastik, background, screen):
    process = background("listen", "live/*", **on(screen, elastik))
    until(lambda: "listening: 0 events" in screen.seen())
    elastik.ok("put", "live/temp", "--text", "21.5")
    elastik.ok("put", "live/evil", stdin=b"\x1b[2Jgone")
    elastik.ok("rm", "live/temp")
    until(lambda: "listening: 3 events" in screen.seen())
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    shown = screen.seen()
    assert "home/live/temp" in shown and "21.5" in shown
    assert "\x1b[2Jgone" not in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1, "the cursor is not back"


def test_listen_says_when_the_server_is_away(elastik, background, screen):
    away = elastik.with_env(ELASTIK_URL="http://127.0.0.1:9")
    process = background("listen", "x/*", **on(screen, away))
    until(lambda: "waiting for the server" in screen.seen())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert "\x1b[?25h" in screen.seen()


@pytest.mark.parametrize(("env", "words"), [({"TERM": "dumb"}, []), ({}, ["--json"]), ({}, ["-0"])])
def test_listen_draws_nothing_where_it_cannot_or_must_not(elastik, background, screen, env, words):
    process = background("listen", "dull/*", "--once", *words, **on(screen, elastik, **env))
    until(lambda: elastik.ok("put", "dull/x", "--text", "1") == b"" and process.poll() is not None)
    assert process.returncode == 0
    assert "\x1b" not in screen.seen()
    assert "home/dull/x" in screen.seen()


def test_top_draws_and_gives_the_cursor_back(elastik, background, screen):
    process = background("top", "--every", "0.5s", **on(screen, elastik))
    until(lambda: elastik.ok("put", "hot/one", "--text", "1") == b"" and "hot/one" in screen.seen())
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    for word in ("requests", "listeners", "writable", "audit problems", "hottest paths"):
        assert word in screen.seen()
    assert "\x1b[?25h" in screen.seen()


# -- the pager ----------------------------------------------------------------------------------


@pytest.fixture
def paging(elastik, tmp_path):
    """The command with a pager that marks what goes through it."""
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nsed 's/^/PAGED /'\n")
    pager.chmod(0o755)
    elastik.ok("put", "page/a", "--text", "one\n")
    elastik.ok("put", "page/b", "--text", "two\n")
    return elastik.with_env(PAGER=str(pager))


LONG = [["diff", "page/a", "page/b"], ["diff", "--help"], ["help", "listen"], ["help", "get"]]


@pytest.mark.parametrize("words", [*LONG, ["--help"]])
def test_a_person_gets_diff_and_help_through_the_pager(paging, words):
    code, shown = paging.on_terminal(*words)
    assert code == (1 if words == LONG[0] else 0)
    assert b"PAGED" in shown
    assert all(line.startswith(b"PAGED ") for line in shown.strip().split(b"\n"))
    assert b"\x1b[31m-one" in shown or words != LONG[0]


@pytest.mark.parametrize("words", LONG)
def test_no_pager_without_a_person_or_against_the_will(paging, words):
    for env, more in [({}, ["--no-pager"]), ({"TERM": "dumb"}, []), ({"PAGER": "cat"}, [])]:
        assert b"PAGED" not in paging.with_env(**env).on_terminal(*more, *words)[1]
    assert b"PAGED" not in paging(*words).out


def test_a_pager_that_is_left_early_is_no_failure(paging, tmp_path):
    text = "".join(f"{n}\n" for n in range(60_000))
    paging.ok("put", "page/long", stdin=text.encode())
    (tmp_path / "pager").write_text("#!/bin/sh\nhead -n 1\n")
    code, shown = paging.on_terminal("diff", "page/a", "page/long")
    assert (code, shown) == (1, b"\x1b[31m--- home/page/a\x1b[0m\n")


# -- bars and drawing ---------------------------------------------------------------------------


def slowly(line):
    """Answer each request on `line` as a server that has much to do."""
    with line, suppress(OSError):
        while line.recv(65536):
            time.sleep(1.3)
            line.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


def test_many_files_share_a_bar_on_stderr(elastik, background, screen):
    (elastik.home / "tree").mkdir()
    for number in range(3):
        (elastik.home / "tree" / str(number)).write_bytes(b"x" * 1000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        slow = elastik.with_env(ELASTIK_URL=f"http://127.0.0.1:{server.getsockname()[1]}")
        words = ("put", "-r", "tree", "bars", "-j", "1")
        process = background(*words, **on(screen, slow) | {"stdout": subprocess.PIPE})
        line, _ = server.accept()
        threading.Thread(target=slowly, args=(line,), daemon=True).start()
        until(lambda: "/3 files" in screen.seen())
        process.kill()
    assert b"\x1b" not in process.stdout.read()


def test_a_c_locale_gets_letters_that_it_has(elastik):
    for number in range(3):
        elastik.ok("post", "draw/x", "--create", "--text", f"{number}\n")
    for words, drawn in (
        (["tree", "draw"], "└── "),
        (["du", "-h", "draw"], "█"),
        (["plot", "draw/x"], "█"),
    ):
        rich = elastik.with_env(LC_ALL="C.UTF-8").on_terminal(*words)[1].decode()
        poor = elastik.with_env(LC_ALL="C").on_terminal(*words)[1]
        assert drawn in rich
        assert poor.isascii(), poor
    # A pipe gets what it always got: tree of 8.3 drew with these letters.
    assert "└── x" in elastik.with_env(LC_ALL="C").ok("tree", "draw").decode()


def test_a_long_tree_shows_size_age_and_type(elastik):
    elastik.ok("put", "grown/x.json", "--text", "{}")
    screen = elastik.on_terminal("tree", "-l", "grown")[1].decode()
    line = next(line for line in screen.splitlines() if "x.json" in line)
    assert "2" in line.split() and "application/json" in line
    assert "application" not in elastik.ok("tree", "-l", "grown").decode()


@given(st.binary(max_size=200), st.integers(0, 80))
def test_a_preview_fits_and_moves_no_cursor(body, room):
    shown = preview(body, room)
    assert len(shown) <= max(room, 0)
    assert shown.isprintable() or not shown.replace("\t", "").strip()
