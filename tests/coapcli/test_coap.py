"""`elastik coap` against the core, and against a server that is scripted datagram by datagram."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commandline import Program, until
from elastik.coap import messages
from elastik.coap.messages import ACK, BLOCK1, BLOCK2, CON, OBSERVE, Block, Message
from elastik_cli.coapio.target import parse_uri, target_of
from elastik_cli.exits import Failure
from realcore import APPROVE, READ, WRITE, Core


@pytest.fixture
def server(start_core: Callable[..., Core]) -> Core:
    return start_core(env={"ELASTIK_COAP_PORT": "0"})


@pytest.fixture
def elastik(server: Core, tmp_path: Path) -> Program:
    return Program(
        tmp_path,
        TERM="xterm",
        ELASTIK_URL=server.url,
        ELASTIK_READ_TOKEN=READ,
        ELASTIK_WRITE_TOKEN=WRITE,
        ELASTIK_APPROVE_TOKEN=APPROVE,
    )


@pytest.fixture
def uri(server: Core) -> str:
    find = lambda: re.search(r"coap://[\d.]+:\d+", server.stderr())  # noqa: E731
    return until(find)[0]


def test_store_read_append_delete(elastik, server, uri):
    elastik.ok("coap", "put", f"{uri}/home/note", "--text", "hello")
    assert server.get("/home/note").body == b"hello"
    assert server.get("/home/note").headers["content-type"].startswith("text/plain")
    assert elastik.ok("coap", "get", f"{uri}/home/note") == b"hello"
    elastik.ok("coap", "post", f"{uri}/home/note", stdin=b" again")
    assert elastik.ok("coap", "get", f"{uri}/home/note") == b"hello again"
    elastik.ok("coap", "delete", f"{uri}/home/note")
    assert elastik("coap", "get", f"{uri}/home/note").code == 4


def test_the_form_of_8_3(elastik, uri):
    host, port = uri.removeprefix("coap://").split(":")
    elastik.ok("coap", "put", host, port, "old", "good morning")
    assert elastik.ok("coap", "get", host, port, "/home/old") == b"good morning"
    elastik.ok("coap", "put", host, port, "old", "-", stdin=b"\x00\xff")
    assert elastik.ok("coap", "get", host, port, "old") == b"\x00\xff"
    told = elastik("coap", "get", host, port, "old", "--token", READ)
    assert (told.code, "--token-file" in told.err) == (0, True)


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 4096, 100_000])
def test_any_size_both_ways_exactly(elastik, server, uri, tmp_path, size):
    body = random.Random(size).randbytes(size)
    (tmp_path / "body").write_bytes(body)
    elastik.ok("coap", "put", f"{uri}/home/big", str(tmp_path / "body"), "--block-size", "512")
    assert server.get("/home/big").body == body
    assert elastik.ok("coap", "get", f"{uri}/home/big", "--block-size", "64") == body


def test_exit_codes_and_preconditions(elastik, uri, tmp_path):
    elastik.ok("coap", "put", f"{uri}/home/a", "--text", "1")
    assert elastik("coap", "put", f"{uri}/home/a", "--text", "2", "--create-only").code == 6
    assert elastik("coap", "put", f"{uri}/home/a", "--text", "2", "--if-match", "00").code == 6
    record = json.loads(elastik.ok("coap", "get", f"{uri}/home/a", "--json"))
    assert (record["code"], record["data"]) == ("2.05", "1")
    elastik.ok("coap", "put", f"{uri}/home/a", "--text", "2", "--if-match", record["etag"])
    wrong = tmp_path / "token"
    wrong.write_text("not a token\n")
    wrong.chmod(0o600)
    assert elastik("coap", "get", f"{uri}/home/a", "--token-file", str(wrong)).code == 5
    assert elastik("coap", "get", "coap://127.0.0.1:9/x").code == 7
    assert elastik("coap", "get", "coap://nohost.invalid/x").code == 7
    assert elastik("coap", "ping", "coap://127.0.0.1:9").code == 7
    secure = elastik("coap", "get", "coaps://127.0.0.1:9/x")
    assert secure.code in (2, 7), "without DTLS it says so, with it nothing answers"
    for words in (
        ["x"],
        ["http://a/b"],
        ["h", "99999", "p"],
        ["coap://h/a#b"],
        ["h", "1", "a/../b"],
    ):
        assert elastik("coap", "get", *words).code == 2, words


def test_a_token_stays_with_its_server(elastik, silent):
    """The settings' token belongs to 127.0.0.1; a server by another name does not get it."""
    port = silent.getsockname()[1]
    heard = {}
    for host in ("localhost", "127.0.0.1"):
        elastik("coap", "get", f"coap://{host}:{port}/x", "--timeout", "200ms")
        heard[host] = messages.decode(silent.recv(2000)).value(messages.AUTH)
    assert heard == {"localhost": None, "127.0.0.1": READ.encode()}


def test_discover_and_ping(elastik, uri):
    elastik.ok("coap", "put", f"{uri}/home/x/one", "--text", "1")
    elastik.ok("coap", "put", f"{uri}/home/two", "--text", "2")
    rows = [json.loads(line) for line in elastik.ok("coap", "discover", uri, "--json").splitlines()]
    assert {row["path"] for row in rows} >= {"/home/x/one", "/home/two"}
    only = elastik.ok("coap", "discover", uri, "href=/home/x*", "--json")
    assert [json.loads(line)["path"] for line in only.splitlines()] == ["/home/x/one"]
    assert re.fullmatch(rb"[\d.]+:\d+: [\d.]+ ms\n", elastik.ok("coap", "ping", uri))


def test_observe_prints_every_value_and_ends_politely(elastik, server, uri):
    server.put("/home/o", b"first", content_type="text/plain")
    watching = elastik.start("coap", "observe", f"{uri}/home/o")
    seen = [watching.stdout.readline()]
    for number in range(5):
        server.put("/home/o", b"%d" % number, content_type="text/plain")
        seen.append(watching.stdout.readline())
    assert seen == [b"first\n", *(b"%d\n" % n for n in range(5))]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(5) == -signal.SIGINT
    watching.communicate()


def test_observe_runs_a_command_for_each_value(elastik, server, uri):
    server.put("/home/o", b"first", content_type="text/plain")
    words = ["coap", "observe", f"{uri}/home/o", "--once", "--"]
    assert elastik.ok(*words, "sh", "-c", 'echo "$ELASTIK_PATH $(cat)"') == b"home/o first\n"
    failed = elastik(
        "coap", "observe", f"{uri}/home/o", "--once", "--exec", "exit 3", "--on-error", "skip"
    )
    assert failed.code == 8
    late = elastik("coap", "observe", f"{uri}/home/o", "--timeout", "500ms")
    assert (late.code, late.out) == (9, b"first\n")
    assert elastik("coap", "observe", f"{uri}/home/none").code == 4


# -- a scripted server: what a client must do (C01 to C14) ----------------------------------------


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        yield sock


class Scripted:
    """A UDP server whose every datagram is a line of the test; runs in a thread."""

    def __init__(self, sock: socket.socket, script: Callable[[Scripted], None]) -> None:
        self.sock, self.heard = sock, []
        self.peer = None
        self.trouble: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(script,))
        self.thread.start()

    def _run(self, script) -> None:
        try:
            script(self)
        except BaseException as error:
            self.trouble = error

    def hear(self) -> Message:
        data, self.peer = self.sock.recvfrom(2000)
        message = messages.decode(data)
        self.heard.append((time.monotonic(), message))
        return message

    def say(self, message: Message) -> None:
        self.sock.sendto(messages.encode(message), self.peer)

    def done(self) -> list[Message]:
        self.thread.join(20)
        assert self.trouble is None, self.trouble
        return [message for _, message in self.heard]


@pytest.fixture
def scripted(silent, bare_elastik):
    def play(script, *words: str, **more):
        served = Scripted(silent, script)
        host, port = silent.getsockname()
        verb, path, *rest = words
        ended = bare_elastik("coap", verb, f"coap://{host}:{port}/{path}", *rest, **more)
        return ended, served.done()

    return play


@pytest.fixture
def bare_elastik(tmp_path: Path) -> Program:
    return Program(tmp_path, TERM="xterm")


def test_c01_an_unanswered_request_is_repeated_with_doubling_waits(silent, bare_elastik):
    host, port = silent.getsockname()
    waiting = bare_elastik.start("coap", "get", f"coap://{host}:{port}/x", "--timeout", "12s")
    times, bytes_heard = [], []
    while len(times) < 3:
        bytes_heard.append(silent.recv(2000))
        times.append(time.monotonic())
    assert len(set(bytes_heard)) == 1
    first, second = times[1] - times[0], times[2] - times[1]
    assert 1.9 <= first <= 3.2
    assert 1.8 <= second / first <= 2.2
    assert waiting.wait(20) == 9
    waiting.communicate()


def test_c02_c04_an_empty_ack_stops_the_repeating_and_order_does_not_matter(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        served.say(messages.empty(ACK, ask.mid))
        time.sleep(3.5)
        served.say(Message(CON, 69, 900, ask.token, (), b"late"))
        assert served.hear() == messages.empty(ACK, 900)

    ended, heard = scripted(script, "get", "x")
    assert (ended.code, ended.out) == (0, b"late")
    assert len(heard) == 2, "nothing was repeated"

    def before_the_ack(served: Scripted) -> None:
        ask = served.hear()
        served.say(Message(CON, 69, 901, ask.token, (), b"early"))
        served.hear()

    ended, heard = scripted(before_the_ack, "get", "x")
    assert (ended.code, ended.out) == (0, b"early")
    assert heard[1] == messages.empty(ACK, 901)


def test_c03_an_answer_with_a_wrong_token_is_not_believed(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        served.say(Message(1, 69, 77, b"wrong", (), b"forged"))
        served.say(ask.reply(69, b"true"))

    ended, _ = scripted(script, "get", "x")
    assert ended.out == b"true"


def test_c05_a_repeated_separate_answer_is_acknowledged_and_used_once(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        served.say(messages.empty(ACK, ask.mid))
        for _ in range(2):
            served.say(Message(CON, 69, 900, ask.token, ((OBSERVE, b"\x01"),), b"x"))
        while (heard := served.hear()).value(OBSERVE) != b"\x01":
            assert heard == messages.empty(ACK, 900)
        served.say(heard.reply(69, b"x"))

    ended, heard = scripted(script, "observe", "x", "--timeout", "2s")
    assert (ended.code, ended.out) == (9, b"x\n")
    assert heard[1:3] == [messages.empty(ACK, 900)] * 2


def test_c06_a_reset_is_an_error_at_once(scripted):
    def script(served: Scripted) -> None:
        served.say(messages.empty(3, served.hear().mid))

    ended, heard = scripted(script, "get", "x")
    assert (ended.code, len(heard)) == (3, 1)
    assert "rejected" in ended.err


def test_c07_a_smaller_block_size_is_taken_up_at_the_right_number(scripted):
    def script(served: Scripted) -> None:
        body, size = b"", 1024
        while True:
            ask = served.hear()
            block = ask.block(BLOCK1)
            assert block.start == len(body)
            body += ask.payload
            smaller = Block(block.number, block.more, 2) if size == 1024 else block
            size = 64
            code = messages.CONTINUE if block.more else messages.CHANGED
            served.say(ask.reply(code, b"", [(BLOCK1, smaller.encoded())]))
            if not block.more:
                assert len(body) == 2000
                return

    ended, heard = scripted(script, "put", "x", stdin=bytes(2000))
    assert ended.code == 0
    assert [len(m.payload) for m in heard[:3]] == [1024, 64, 64]


def test_c08_an_incomplete_upload_is_begun_again(scripted):
    def script(served: Scripted) -> None:
        blocks = []
        while True:
            ask = served.hear()
            block = ask.block(BLOCK1)
            blocks.append(block.number)
            echo = [(BLOCK1, block.encoded())]
            if blocks == [0, 1]:
                served.say(ask.reply(messages.INCOMPLETE, b"", echo))
            elif block.more:
                served.say(ask.reply(messages.CONTINUE, b"", echo))
            else:
                served.say(ask.reply(messages.CHANGED, b"", echo))
                assert blocks == [0, 1, 0, 1, 2]
                return

    assert scripted(script, "put", "x", stdin=bytes(3000))[0].code == 0


def test_c09_two_versions_are_never_mixed(scripted):
    def script(served: Scripted) -> None:
        for tag, number, body in [
            (b"1", 0, b"a" * 1024),
            (b"2", 1, b"b" * 10),
            (b"2", 0, b"c" * 1024),
            (b"2", 1, b"d" * 10),
        ]:
            ask = served.hear()
            assert (ask.block(BLOCK2).number if ask.value(BLOCK2) else 0) == number
            options = [(messages.ETAG, tag), (BLOCK2, Block(number, number == 0, 6).encoded())]
            served.say(ask.reply(69, body, options))

    ended, _ = scripted(script, "get", "x")
    assert ended.out == b"c" * 1024 + b"d" * 10


def test_c10_an_older_notification_is_dropped(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        served.say(ask.reply(69, b"10", [(OBSERVE, b"\x0a")]))
        for mid, number in [(1, 12), (2, 11), (3, 13)]:
            time.sleep(0.1)
            served.say(
                Message(1, 69, mid, ask.token, ((OBSERVE, bytes([number])),), b"%d" % number)
            )
        goodbye = served.hear()
        assert (goodbye.value(OBSERVE), goodbye.token) == (b"\x01", ask.token)
        served.say(goodbye.reply(69, b"13"))

    ended, _ = scripted(script, "observe", "x", "--count", "3")
    assert (ended.code, ended.out) == (0, b"10\n12\n13\n")


def test_c11_what_cannot_be_observed_is_said(scripted):
    ended, _ = scripted(lambda s: s.say(s.hear().reply(69, b"once")), "observe", "x")
    assert (ended.code, ended.out) == (3, b"once\n")
    assert "cannot be observed" in ended.err


def test_c12_too_many_requests_means_wait(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        served.say(ask.reply(157, b"", [(messages.MAX_AGE, b"\x01")]))
        began = time.monotonic()
        again = served.hear()
        assert time.monotonic() - began >= 0.9
        assert again.mid != ask.mid
        served.say(again.reply(69, b"now"))

    ended, _ = scripted(script, "get", "x")
    assert (ended.code, ended.out) == (0, b"now")
    assert "asks to wait 1 s" in ended.err


def test_c13_too_large_is_tried_in_blocks(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        assert ask.value(BLOCK1) is None
        served.say(ask.reply(messages.TOO_LARGE, b"", [(BLOCK1, Block(0, False, 4).encoded())]))
        for number in range(4):
            ask = served.hear()
            block = ask.block(BLOCK1)
            assert (block.number, block.szx) == (number, 4)
            code = messages.CONTINUE if block.more else messages.CHANGED
            served.say(ask.reply(code, b"", [(BLOCK1, block.encoded())]))

    assert scripted(script, "put", "x", stdin=bytes(1000))[0].code == 0


def test_c14_an_echo_is_given_back(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        served.say(ask.reply(messages.UNAUTHORIZED, b"", [(252, b"fresh")]))
        again = served.hear()
        assert again.value(252) == b"fresh"
        served.say(again.reply(69, b"ok"))

    assert scripted(script, "get", "x")[0].out == b"ok"


def test_an_observation_that_goes_quiet_is_registered_again_with_its_token(scripted):
    def script(served: Scripted) -> None:
        ask = served.hear()
        served.say(ask.reply(69, b"a", [(OBSERVE, b"\x01"), (messages.MAX_AGE, b"")]))
        again = served.hear()
        assert (again.value(OBSERVE), again.token) == (b"", ask.token)
        served.say(again.reply(69, b"b", [(OBSERVE, b"\x02")]))
        goodbye = served.hear()
        assert goodbye.value(OBSERVE) == b"\x01"
        served.say(goodbye.reply(69))

    ended, _ = scripted(script, "observe", "x", "--count", "2")
    assert (ended.code, ended.out) == (0, b"a\nb\n")


# -- targets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "authority", "segments", "queries"),
    [
        ("coap://h", "h:5683", (), ()),
        ("COAP://h:99/a/b?x=1&y", "h:99", ("a", "b"), ("x=1", "y")),
        ("coaps://[::1]/a%2Fb", "[::1]:5684", ("a/b",), ()),
        ("coap://h/a/", "h:5683", ("a", ""), ()),
        ("coap://[fe80::1%25eth0]/x", "[fe80::1%eth0]:5683", ("x",), ()),
    ],
)
def test_uris(uri, authority, segments, queries):
    found = parse_uri(uri)
    assert (found.authority, found.segments, found.queries) == (authority, segments, queries)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_words_are_a_target_or_a_usage_error(words):
    code, port = 0, 0
    try:
        port = target_of(tuple(words))[0].port
    except Failure as failure:
        code = failure.code
    assert code == 2 or 0 <= port < 65536
