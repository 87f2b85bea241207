"""The exit-code table: every code by a real cause, the same for people and machines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time

import pytest

from elastik_cli.main import SECTIONS

# Every verb that talks to the server.
VERBS = {
    "put": ["put", "x/y", "--text", "1"],
    "get": ["get", "x/y"],
    "head": ["head", "x/y"],
    "post": ["post", "x/y", "--text", "1"],
    "rm": ["rm", "x/y"],
    "ls": ["ls", "x"],
    "tree": ["tree", "x"],
    "du": ["du", "x"],
    "diff": ["diff", "x/y", "--file", "file"],
    "plot": ["plot", "x/y"],
    "cp": ["cp", "x/y", "x/z"],
    "mv": ["mv", "x/y", "x/z"],
    "revert": ["revert", "x/y", "--at", "1"],
    "edit": ["edit", "x/y", "--editor", "true"],
    "sync": ["sync", ":x", "copy"],
    "sync up": ["sync", "tree", ":x"],
    "get -r": ["get", "-r", "x", "copy"],
    "put -r": ["put", "-r", "tree", "x"],
    "listen": ["listen", "x/*", "--count", "1", "--timeout", "20"],
    "listen --now": ["listen", "x/*", "--now"],
    "top": ["top", "--count", "1", "--every", "0.1s"],
    "log": ["log", "x/y"],
    "verify": ["verify", "x/y"],
}
# These need none, or look at many things: their own tests tell more.
LOCAL = {
    "anchor", "coap", "serial", "init", "run", "context", "doctor", "data", "key", "info",
    "decode-path", "ls-data", "help", "completions",
}  # fmt: skip
EVERY = [name for rows in SECTIONS.values() for name in rows]
MISSING = [
    "get", "post", "head", "rm", "ls", "tree", "du", "diff", "plot", "cp", "mv", "revert", "sync",
    "get -r", "log", "verify",
]  # fmt: skip


def test_every_verb_is_in_the_table():
    assert {words.split()[0] for words in VERBS} | LOCAL == set(EVERY)


@pytest.fixture
def dead_url():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.fixture
def here(elastik):
    """Files that the lines of the table name."""
    (elastik.home / "tree").mkdir()
    for name in ("file", "tree/y"):
        (elastik.home / name).write_text("1")
    return elastik


@pytest.mark.parametrize("verb", VERBS)
def test_what_works_is_0(here, shared_core, verb):
    shared_core.put("/home/x/y", b"1")
    shared_core.request("DELETE", "/home/x/z")
    words = VERBS[verb]
    if verb == "listen":
        words = [*words, "--since", "0"]
    if verb == "revert":  # to the version that is there: the only one that this server keeps
        words = [*words[:-1], str(json.loads(here.ok("log", "x/y", "--json"))["event"])]
    ended = here(*words)
    assert ended.code == 0, ended


@pytest.mark.parametrize("verb", VERBS)
def test_no_server_is_7(here, dead_url, verb):
    ended = here.with_env(ELASTIK_URL=dead_url)(*VERBS[verb], "--retry", "0")
    assert ended.code == 7, ended
    assert "connection refused" in ended.err
    assert "Traceback" not in ended.err


def test_a_server_that_stays_silent_is_9(elastik):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = elastik.with_env(ELASTIK_URL=url)("get", "x", "--timeout", "0.3s", "--retry", "0")
    assert (ended.code, ended.out) == (9, b""), ended
    assert "timed out" in ended.err


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_does_not_answer_is_9(here, verb):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        words = [*VERBS[verb], "--retry", "0", "--timeout", "0.3"]
        ended = here.with_env(ELASTIK_URL=url)(*words)
    assert ended.code == 9, ended
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("verb", VERBS)
def test_a_signal_ends_it_as_signals_do(here, verb):
    """Each waits for a server that says nothing; then its reader is gone, or its user."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        waiting = here.with_env(ELASTIK_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")
        numbers = (signal.SIGINT, signal.SIGTERM)
        running = [waiting.start(*VERBS[verb]) for _ in numbers]
        lines = [silent.accept()[0] for _ in numbers]  # both are up, and ask
        for number, process in zip(numbers, running, strict=True):
            process.send_signal(number)
        for number, process in zip(numbers, running, strict=True):
            _, err = process.communicate(timeout=30)
            assert (process.returncode, b"Traceback" in err) == (-number, False), err
        for line in lines:
            line.close()


@pytest.mark.parametrize("verb", VERBS)
def test_wrong_token_is_5(here, verb):
    wrong = dict.fromkeys((f"ELASTIK_{t}_TOKEN" for t in ("READ", "WRITE", "APPROVE")), "wrong")
    ended = here.with_env(**wrong)(*VERBS[verb])
    assert ended.code == 5, ended
    assert "hint: the token sent came from environment" in ended.err


@pytest.mark.parametrize("verb", MISSING)
def test_nothing_there_is_4(here, verb):
    words = [word.replace("x/y", "nothing/here") for word in VERBS[verb]]
    words = [{"x": "nothing", ":x": ":nothing"}.get(word, word) for word in words]
    ended = here(*words)
    assert (ended.code, ended.out) == (4, b""), ended


@pytest.mark.parametrize("verb", EVERY)
def test_unknown_option_is_2(elastik, verb):
    words = VERBS.get(verb, [verb])
    ended = elastik(*words, "--no-such-option")
    assert (ended.code, ended.out) == (2, b"")
    assert ended.err.startswith(f"elastik: {verb}: no such option")


CONFLICTS = {
    "put": ["put", "c/a", "--text", "1", "--create-only"],
    "put --if-match": ["put", "c/a", "--text", "1", "--if-match", "hmac-0"],
    "post": ["post", "c/a", "--text", "1", "--if-match", "hmac-0"],
    "rm": ["rm", "c/a", "--if-match", "hmac-0"],
    "cp": ["cp", "c/a", "c/b", "--create-only"],
    "mv": ["mv", "c/a", "c/b"],
    "sync": ["sync", "tree", ":c", "--delete", "--max-delete", "0"],
}


@pytest.mark.parametrize("verb", CONFLICTS)
def test_a_conflict_is_6_and_changes_nothing(here, shared_core, verb):
    for name in ("a", "b"):
        shared_core.put(f"/home/c/{name}", name.encode())
    ended = here(*CONFLICTS[verb])
    assert ended.code == 6, ended
    assert (here.ok("get", "c/a"), here.ok("get", "c/b")) == (b"a", b"b")


@pytest.mark.parametrize("verb", ["put -r", "sync up", "get -r", "sync"])
def test_some_of_many_failing_is_8(here, shared_core, verb):
    for name in ("y", "blocked"):
        shared_core.put(f"/home/part/{name}", b"1234")
    (here.home / "copy" / "blocked").mkdir(parents=True)  # a directory where a file should go
    with open(os.fsencode(here.home) + b"/tree/\xff", "wb") as unnameable:
        unnameable.write(b"1")
    words = [{"x": "part", ":x": ":part"}.get(word, word) for word in VERBS[verb]]
    ended = here(*words)
    assert ended.code == 8, ended
    assert "blocked" in ended.err or "UTF-8" in ended.err or "utf-8" in ended.err
    assert here.ok("get", "part/y")


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


@pytest.mark.parametrize("verb", ["key", "data", "context", "coap", "serial"])
def test_a_family_without_its_verb_is_2_with_its_help(bare, verb):
    ended = bare(verb)
    assert (ended.code, ended.out) == (2, b"")
    assert f"\nUsage: elastik {verb} " in f"\n{ended.err}"
    assert len(ended.err.splitlines()) > 5, "squeezed into one line"


def test_a_complaint_names_the_verb_whose_help_helps(bare):
    for words in (["listen", "--count"], ["get"], ["ls", "--depth", "x"], ["du", "--sort", "y"]):
        ended = bare(*words)
        assert ended.code == 2
        assert ended.err.startswith(f"elastik: {words[0]}: ")
        assert ended.err.endswith(f"hint: elastik {words[0]} --help\n")


def test_what_is_missing_comes_with_what_to_do(elastik):
    assert "hint: elastik post --create" in elastik("post", "hint/none", "--text", "x").err
    elastik.ok("put", "hint/x", "--text", "1")
    assert "hint: elastik log" in elastik("get", "hint/x", "--at", "99999999").err


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


def without_reader(program, *words):
    """Run it with a standard output whose other end is closed."""
    read, write = os.pipe()
    os.close(read)
    process = program.start(*words, stdout=write, stdin=subprocess.DEVNULL)
    os.close(write)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


ANSWERS = [
    "ls", "tree", "du", "head pipe/a", "get pipe/big", "get pipe/a", "diff pipe/a pipe/b",
    "plot pipe/a", "log pipe/a", "verify pipe/a", "sync :pipe copy -n", "listen pipe/* --now",
    "listen pipe/* --since 0", "top --count 1 --every 0.1s", "info",
    "doctor", "context list", "decode-path home%2Fa", "completions bash", "help", "help listen",
    "ls --json", "rm -r pipe -n",
]  # fmt: skip


@pytest.mark.parametrize("line", [*ANSWERS, *(f"{verb} --help" for verb in EVERY)])
def test_a_reader_that_leaves_ends_us_silently(elastik, shared_core, line):
    if "pipe" in line or line == "ls":
        shared_core.put("/home/pipe/big", b"y" * 1_000_000)
        for name, body in (("a", b"1\n"), ("b", b"2\n")):
            shared_core.put(f"/home/pipe/{name}", body)
    elastik.ok("context", "set", "some", "url=http://127.0.0.1:9") if "context" in line else None
    assert without_reader(elastik, *line.split()) == (-signal.SIGPIPE, b"")


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
