"""What a terminal sees, and that a pipe never sees it."""

from __future__ import annotations

import contextlib
import os
import time

import pytest


def test_a_body_with_escapes_is_not_written_to_a_terminal(elastik):
    elastik.ok("put", "t/esc", stdin=b"ok\x1b[2Jgone")
    code, screen = elastik.on_terminal("get", "t/esc")
    assert code == 3
    assert b"\x1b[2J" not in screen
    assert b"--raw" in screen
    code, screen = elastik.on_terminal("get", "t/esc", "--raw")
    assert (code, b"\x1b[2J" in screen) == (0, True)
    assert elastik.ok("get", "t/esc") == b"ok\x1b[2Jgone"


def test_a_missing_newline_is_noted_on_a_terminal_only(elastik):
    elastik.ok("put", "t/line", "--text", "half a line")
    assert b"no newline" in elastik.on_terminal("get", "t/line")[1]
    assert elastik("get", "t/line").err == ""


def test_names_cannot_move_the_cursor(elastik):
    elastik.ok("put", "t/\u202egpj.exe", "--text", "x")
    screen = elastik.on_terminal("ls", "t")[1].decode()
    assert "\u202e" not in screen
    assert "\\u{202e}gpj.exe" in screen
    assert "\u202e" in elastik.ok("ls", "t").decode()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_long_paths_are_whole_in_any_width(elastik, columns):
    name = "long/" + "x" * 120
    elastik.ok("put", name, "--text", "1")
    screen = elastik.on_terminal("ls", "-l", "long", columns=columns)[1].decode()
    assert "…" not in screen
    assert "x" * 120 in screen
    assert elastik.with_env(COLUMNS="60").ok("ls", "-l", "long").decode().count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "words", "coloured"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"TERM": "dumb"}, [], False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({}, ["--color", "never"], False),
        ({"CLICOLOR": "0"}, [], False),
    ],
)
def test_when_a_terminal_gets_colour(elastik, settings, words, coloured):
    elastik.ok("put", "colour/x/y", "--text", "1")
    screen = elastik.with_env(**settings).on_terminal("ls", "colour", *words)[1]
    assert (b"\x1b[" in screen) is coloured


def test_a_pipe_is_coloured_only_on_demand(elastik):
    elastik.ok("put", "colour/x/y", "--text", "1")
    assert b"\x1b" not in elastik.ok("ls", "colour")
    assert b"\x1b" in elastik.ok("ls", "colour", "--color", "always")
    assert b"\x1b" not in elastik.ok("ls", "colour", "--json", "--color", "always")


def test_put_on_a_terminal_says_that_it_waits(elastik):
    code, screen = elastik.on_terminal("put", "t/typed", keys=b"typed\n\x04")
    assert code == 0
    assert b"Ctrl-D" in screen
    assert elastik.ok("get", "t/typed") == b"typed\n"


def end_of_input(process):
    process.stdin.close()
    process.stdin = None  # or communicate() would flush it


@pytest.mark.parametrize(("words", "seen"), [((), True), (("-q",), False), (("--json",), False)])
def test_a_long_transfer_shows_a_bar_to_a_person(elastik, background, words, seen):
    screen, terminal = os.openpty()
    process = background("put", "slow/body", *words, stderr=terminal)
    os.close(terminal)
    for _ in range(3):
        process.stdin.write(b"x" * 70_000)
        process.stdin.flush()
        time.sleep(0.7)
    end_of_input(process)
    assert process.wait(20) == 0
    shown = b""
    with contextlib.suppress(OSError):  # Linux: EIO once the other side is closed
        while piece := os.read(screen, 65536):
            shown += piece
    os.close(screen)
    assert (b"slow/body" in shown and b"/s" in shown) is seen, shown
    assert len(elastik.ok("get", "slow/body")) == 210_000


def test_a_pipe_on_stderr_gets_no_bar(elastik, background):
    process = background("put", "slow/piped")
    process.stdin.write(b"x" * 70_000)
    process.stdin.flush()
    time.sleep(1.3)
    process.stdin.write(b"y" * 70_000)
    end_of_input(process)
    assert (process.wait(20), process.stderr.read()) == (0, b"")


def test_a_file_keeps_its_length_under_a_bar(elastik):
    (elastik.home / "file").write_bytes(b"z" * 300_000)
    assert elastik.on_terminal("put", "slow/file", "file")[0] == 0
    assert elastik.on_terminal("get", "slow/file", "-o", "back")[0] == 0
    assert (elastik.home / "back").read_bytes() == b"z" * 300_000
