"""The exit-code table: every code by a real cause, the same for people and machines."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import pytest

VERBS = {
    "get": ["get", "x/y"],
    "put": ["put", "x/y", "--text", "1"],
    "post": ["post", "x/y", "--text", "1"],
    "head": ["head", "x/y"],
    "rm": ["rm", "x/y"],
    "ls": ["ls"],
    "tree": ["tree"],
    "verify": ["verify", "x/y"],
    "log": ["log", "x/y"],
    "cp": ["cp", "x/y", "x/z"],
    "mv": ["mv", "x/y", "x/z"],
    "listen": ["listen", "x/*", "--count", "1"],
}


@pytest.fixture
def dead_url():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("verb", VERBS)
def test_no_server_is_7(elastik, dead_url, verb):
    ended = elastik.with_env(ELASTIK_URL=dead_url)(*VERBS[verb], "--retry", "0")
    assert (ended.code, ended.out) == (7, b"")
    assert "connection refused" in ended.err
    assert "Traceback" not in ended.err


def test_a_server_that_stays_silent_is_9(elastik):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = elastik.with_env(ELASTIK_URL=url)("get", "x", "--timeout", "0.3s", "--retry", "0")
    assert (ended.code, ended.out) == (9, b""), ended
    assert "timed out" in ended.err


@pytest.mark.parametrize("verb", VERBS)
def test_wrong_token_is_5(elastik, verb):
    wrong = dict.fromkeys((f"ELASTIK_{t}_TOKEN" for t in ("READ", "WRITE", "APPROVE")), "wrong")
    ended = elastik.with_env(**wrong)(*VERBS[verb])
    assert ended.code == 5, ended
    assert "hint: the token sent came from environment" in ended.err


@pytest.mark.parametrize("verb", ["get", "post", "head", "rm", "verify", "log", "cp", "mv"])
def test_nothing_there_is_4(elastik, verb):
    words = [*VERBS[verb][:1], "nothing/here", *VERBS[verb][2:]]
    ended = elastik(*words)
    assert (ended.code, ended.out) == (4, b"")


@pytest.mark.parametrize("verb", VERBS)
def test_unknown_option_is_2(elastik, verb):
    ended = elastik(*VERBS[verb], "--no-such-option")
    assert (ended.code, ended.out) == (2, b"")
    assert ended.err.startswith(f"elastik: {verb}: no such option")


@pytest.mark.parametrize("path", ["", "a//b", "../x", "a/./b", "home", "a\\b", "a\x01b"])
def test_impossible_paths_are_2_and_are_never_sent(elastik, dead_url, path):
    assert elastik.with_env(ELASTIK_URL=dead_url)("get", path).code == 2


def test_errors_are_json_when_the_answer_is(elastik, dead_url):
    complaint = json.loads(elastik("get", "nothing", "--json").err)
    assert (complaint["error"], complaint["exit"], complaint["status"]) == ("not-found", 4, 404)
    gone = elastik.with_env(ELASTIK_URL=dead_url)("--json", "get", "x", "--retry", "0")
    assert json.loads(gone.err)["error"] == "unreachable"
    assert json.loads(elastik("get", "--json", "--what").err)["exit"] == 2


def test_a_retry_is_announced_and_helps(elastik, dead_url):
    ended = elastik.with_env(ELASTIK_URL=dead_url)("get", "x", "--retry", "2")
    assert ended.code == 7
    assert ended.err.count("trying again") == 2
    quiet = elastik.with_env(ELASTIK_URL=dead_url)("get", "x", "--retry", "1", "-q")
    assert "trying again" not in quiet.err


def test_no_words_is_2_with_help_on_stderr(bare):
    ended = bare()
    assert (ended.code, ended.out) == (2, b"")
    assert "Usage: elastik" in ended.err
    helped = bare("--help")
    assert (helped.code, helped.err) == (0, "")


def test_unknown_verb_is_2_with_a_suggestion(bare):
    ended = bare("lst")
    assert ended.code == 2
    assert "did you mean ls?" in ended.err


def test_verify_says_no_with_1(elastik):
    elastik.ok("put", "v/x", "--text", "1")
    elastik.ok("put", "tmp/v", "--text", "1")
    assert elastik.ok("verify", "v/x").startswith(b"valid\t1\thmac-")
    ended = elastik("verify", "tmp/v")
    assert (ended.code, ended.out) == (1, b"not audited\t-\t-\ttmp/v\n")
    mixed = elastik("verify", "v/x", "tmp/v", "--json")
    verdicts = [json.loads(line)["verdict"] for line in mixed.lines]
    assert (mixed.code, verdicts) == (1, ["valid", "not audited"])


def test_a_full_disk_under_stdout_is_an_error(elastik):
    elastik.ok("put", "full/x", stdin=b"x" * 100_000)
    with open("/dev/full", "wb") as full:
        process = elastik.start("get", "full/x", stdout=full)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert b"No space left" in err
    assert b"Traceback" not in err


def test_a_reader_that_leaves_ends_us_silently(elastik):
    for i in range(3):
        elastik.ok("put", f"pipe/{i}", "--text", "x")
    elastik.ok("put", "pipe/big", stdin=b"y" * 1_000_000)
    for words in (["ls", "--all"], ["get", "pipe/big"], ["tree"], ["head", "pipe/0"]):
        read, write = os.pipe()
        os.close(read)
        process = elastik.start(*words, stdout=write)
        os.close(write)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (-signal.SIGPIPE, b"")


def test_a_server_that_hangs_up_is_an_error_not_a_death(elastik, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = elastik.with_env(ELASTIK_URL=url, ELASTIK_RETRY="0").start("put", "x")
        server.settimeout(20)
        line, _ = server.accept()
        line.close()
        _, err = process.communicate(b"z" * 3_000_000, timeout=30)
    assert process.returncode == 7, err


def test_ctrl_c_dies_of_sigint(elastik, background):
    process = background("put", "slow")
    process.stdin.write(b"begun")
    process.stdin.flush()
    time.sleep(1.0)  # until it waits in read(); earlier the signal ends Python's own start
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (-signal.SIGINT, b"")
