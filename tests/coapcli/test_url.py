"""The ordinary verbs with ELASTIK_URL=coap://…: the same bytes and exit codes as over HTTP."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coapwire import coap_address
from commandline import Program
from elastik.coap import messages
from elastik_cli.main import SECTIONS
from realcore import APPROVE, READ, WRITE, Core, launch

# What needs no server, or has CoAP servers of its own.
WITHOUT = set("run init context key data ls-data decode-path anchor serial coap help".split())
WITHOUT |= {"completions", "doctor", "info"}
OVER_COAP = {"get", "put", "head", "post", "rm", "listen", "edit", "diff", "plot"}
WORDS = {
    "cp": ["cp", "x", "y"],
    "mv": ["mv", "x", "y"],
    "du": ["du"],
    "log": ["log", "x"],
    "ls": ["ls"],
    "revert": ["revert", "x", "--at", "1"],
    "sync": ["sync", ".", ":x"],
    "top": ["top"],
    "tree": ["tree"],
    "verify": ["verify", "x"],
}


@pytest.fixture(scope="module")
def core(core_binary, tmp_path_factory) -> Iterator[Core]:
    core = launch(
        core_binary, tmp_path_factory.mktemp("c") / "data", env={"ELASTIK_COAP_PORT": "0"}
    )
    coap_address(core)
    yield core
    core.kill()


@pytest.fixture
def url(core: Core) -> str:
    host, port = coap_address(core)
    return f"coap://{host}:{port}"


@pytest.fixture
def elastik(url: str, tmp_path: Path) -> Program:
    tokens = {"READ": READ, "WRITE": WRITE, "APPROVE": APPROVE}
    named = {f"ELASTIK_{tier}_TOKEN": token for tier, token in tokens.items()}
    return Program(tmp_path, TERM="xterm", ELASTIK_URL=url, **named)


@pytest.mark.parametrize("size", [0, 5, 1024, 5000, 200_000])
def test_any_size_through_pipes(core, elastik, tmp_path, size):
    body = random.Random(size).randbytes(size)
    elastik.ok("put", "big", stdin=body)
    assert core.get("/home/big").body == body
    assert elastik.ok("get", "big") == body
    elastik.ok("get", "big", "-o", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == body


def test_store_append_look_delete(core, elastik):
    elastik.ok("put", "note", "--text", "hello")
    assert core.get("/home/note").headers["content-type"] == "text/plain; charset=utf-8"
    elastik.ok("post", "note", "--text", " again")
    assert elastik.ok("get", "note") == b"hello again"
    head = dict(line.split(": ", 1) for line in elastik("head", "note").lines)
    etag = core.get("/home/note").headers["etag"].strip('"').removeprefix("hmac-")
    assert head == {
        "content-length": "11",
        "content-type": "text/plain; charset=utf-8",
        "etag": f'"{etag[:16]}"',
    }
    assert elastik.ok("rm", "note") == b"1\n"
    assert core.get("/home/note").status == 404


def test_head_of_what_comes_in_blocks_knows_its_size(elastik):
    elastik.ok("put", "large.json", stdin=b'"' + b"x" * 70_000 + b'"')
    assert "content-length: 70002" in elastik("head", "large.json").lines
    assert "content-type: application/json" in elastik("head", "large.json").lines


def test_exit_codes_of_the_suite(elastik, url):
    assert elastik("get", "nothing").code == 4
    assert elastik("head", "nothing").code == 4
    assert elastik("rm", "nothing").code == 4
    assert elastik("post", "nothing", "--text", "x").code == 4
    elastik.ok("post", "log", "--create", "--text", "one\n")
    elastik.ok("post", "log", "--create", "--text", "two\n")
    assert elastik.ok("get", "log") == b"one\ntwo\n"
    assert elastik("put", "log", "--text", "x", "--create-only").code == 6
    assert elastik("put", "log", "--text", "x", "--if-match", "00" * 8).code == 6
    etag = json.loads(elastik.ok("put", "log", "--text", "x", "--json"))["etag"]
    elastik.ok("put", "log", "--text", "y", "--if-match", etag)
    assert elastik("rm", "log", "--if-match", etag).code == 6
    wrong = elastik.with_env(ELASTIK_READ_TOKEN="wrong", ELASTIK_WRITE_TOKEN="", ELASTIK_TOKEN="")
    denied = wrong.with_env(ELASTIK_APPROVE_TOKEN="")("get", "log")
    assert (denied.code, "ELASTIK_READ_TOKEN" in denied.err) == (5, True)
    reader = elastik.with_env(ELASTIK_WRITE_TOKEN="", ELASTIK_APPROVE_TOKEN="")
    assert reader("put", "log", "--text", "z").code == 5
    assert elastik("get", "a//b").code == 2


def test_an_etag_of_http_is_the_same_version(core, elastik):
    elastik.ok("put", "both", "--text", "1")
    etag = core.get("/home/both").headers["etag"]
    elastik.ok("put", "both", "--text", "2", "--if-match", etag)
    assert elastik("put", "both", "--text", "3", "--if-match", etag).code == 6


def test_nobody_there_is_7_and_silence_is_9(elastik):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        at = f"coap://127.0.0.1:{silent.getsockname()[1]}"
        late = elastik("get", "x", "--url", at, "--timeout", "300ms", "--retry", "0")
        assert (late.code, "silent for 0.3 s" in late.err) == (9, True)
    gone = elastik("get", "x", "--url", at, "--retry", "1")
    assert (gone.code, "trying again" in gone.err, "refused" in gone.err) == (7, True, True)


@pytest.mark.parametrize(
    "url", ["coap://h/path", "coap://", "coaps://h", "coap://h:x", "coap://h?q"]
)
def test_a_url_that_is_no_server_is_a_usage_error(tmp_path, url):
    ended = Program(tmp_path, TERM="xterm", ELASTIK_URL=url)("get", "x")
    assert (ended.code, ended.out) == (2, b""), ended
    assert "bug" not in ended.err


@pytest.mark.parametrize("verb", WORDS)
def test_what_coap_cannot_do_is_said_by_name(elastik, url, verb):
    elastik.ok("put", "x", "--text", "1")
    ended = elastik(*WORDS[verb])
    assert (ended.code, ended.out) == (2, b""), ended
    assert ended.err == f"elastik: {verb}: not over {url}: use http\n"


def test_every_verb_was_thought_of():
    every = {verb for rows in SECTIONS.values() for verb in rows}
    assert every == WITHOUT | OVER_COAP | set(WORDS)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["get", "x", "--range", "0-1"], "range"),
        (["get", "x", "--at", "1"], ""),
        (["put", "x", "--text", "1", "--meta", "a=b"], "x-meta-a"),
        (["put", "x", "--text", "1", "--gzip"], "content-encoding"),
        (["put", "page.html", "--text", "<p>"], "content-type: text/html; charset=utf-8"),
        (["rm", "x", "y", "--purge"], "x-elastik-purge"),
        (["rm", "-r", "x"], ""),
        (["listen", "x", "--now"], ""),
        (["listen", "x", "--since", "10m"], "--since TIME"),
    ],
)
def test_a_part_that_coap_does_not_have_is_named_and_nothing_is_left_out(elastik, words, what):
    elastik.ok("put", "x", "--text", "1")
    ended = elastik(*words)
    assert (ended.code, ended.out) == (2, b""), ended
    assert ended.err.startswith(f"elastik: {words[0]}: {what + ': ' if what else ''}not over coap:")
    assert elastik.ok("get", "x") == b"1"


@pytest.fixture
def listening(elastik) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a listener and wait until the server knows it."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        running.append(elastik.start("-v", "listen", *words))
        while b"elastik: listening" not in (line := running[-1].stderr.readline()):
            assert line, running[-1].wait()
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_listen_prints_what_happens(core, listening):
    process = listening("sensor/*", "door", "--json", "--count", "4")

    def told() -> tuple[str, str, int | None]:
        event = json.loads(process.stdout.readline())
        return event["event"], event["path"], event["id"]

    core.put("/home/sensor/a", b"1", content_type="text/plain")
    first = told()
    core.put("/home/other", b"no", content_type="text/plain")
    core.put("/home/door", b"open", content_type="text/plain")
    second = told()
    core.put("/home/sensor/a", b"2", content_type="text/plain")
    third = told()
    core.request("DELETE", "/home/sensor/a")
    assert told() == ("delete", "home/sensor/a", None)
    assert process.wait(20) == 0
    assert [seen[:2] for seen in (first, second, third)] == [
        ("put", "home/sensor/a"),
        ("put", "home/door"),
        ("put", "home/sensor/a"),
    ]
    assert first[2] < second[2] < third[2]


def test_listen_runs_a_command_with_the_bytes(core, listening):
    script = 'echo "$ELASTIK_PATH $ELASTIK_TYPE $ELASTIK_ETAG $(cat)"'
    process = listening("job/*", "--count", "1", "--", "sh", "-c", script)
    core.put("/home/job/1", b"work", content_type="text/plain")
    etag = core.get("/home/job/1").headers["etag"].strip('"').removeprefix("hmac-")[:16]
    line = f"home/job/1 text/plain; charset=utf-8 {etag} work\n"
    assert process.stdout.readline() == line.encode()
    assert process.wait(20) == 0


def test_listen_goes_on_where_its_state_ends_and_stops_politely(core, elastik, listening):
    process = listening("kept/*", "--state", "here", "--count", "1", "--", "cat")
    core.put("/home/kept/a", b"a\n")
    assert process.stdout.readline() == b"a\n"
    assert process.wait(20) == 0
    core.put("/home/kept/b", b"b\n")
    again = listening("kept/*", "--state", "here", "--", "cat")
    assert again.stdout.readline() == b"b\n"
    again.send_signal(signal.SIGINT)
    assert again.wait(20) == -signal.SIGINT


def test_a_token_goes_only_to_the_url_of_its_own_source(elastik, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        at = f"coap://127.0.0.1:{server.getsockname()[1]}"
        elastik("get", "x", "--url", at, "--timeout", "100ms", "--retry", "0")
        assert messages.decode(server.recv(2000)).value(messages.AUTH) is None
        own = elastik.with_env(ELASTIK_URL=at)
        own("get", "x", "--timeout", "100ms", "--retry", "0")
        request = messages.decode(server.recv(2000))
        while request.value(messages.AUTH) is None:
            request = messages.decode(server.recv(2000))
        assert request.value(messages.AUTH) == READ.encode()


def test_a_context_may_be_a_coap_server(elastik, url, tmp_path):
    token = tmp_path / "token"
    token.write_text(WRITE)
    token.chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[contexts.board]\nurl = "{url}"\nwrite_token_file = "{token}"\n'
        f'read_token_file = "{token}"\n'
    )
    config.chmod(0o600)
    bare = Program(tmp_path, TERM="xterm", ELASTIK_CONFIG=str(config))
    bare.ok("put", "ctx", "--text", "there", "--context", "board")
    assert bare.ok("get", "ctx", "--context", "board") == b"there"


def test_doctor_looks_at_the_coap_door_only(elastik, url):
    rows = [json.loads(line) for line in elastik("doctor", "--json").lines]
    assert {"check": "coap", "state": "ok", "evidence": f"{url} answers", "next": ""} in rows
    assert "server" not in {row["check"] for row in rows}
