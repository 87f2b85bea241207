"""What a CoAP client must do, C01 to C14, against a server whose every datagram is scripted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from elastik import CoapClient, coap_get
from elastik.coap import messages, udp
from elastik.coap.freshness import newer
from elastik.coap.messages import (
    ACK,
    BLOCK1,
    BLOCK2,
    CON,
    ECHO,
    NON,
    OBSERVE,
    REQUEST_TAG,
    RST,
    Block,
    Message,
)
from elastik.coap.talker import NEVER, Talker
from elastik.errors import NotFound, TimedOut, Unsupported


class Scripted:
    """A UDP server that follows a script in a thread of its own."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(20)
        self.port: int = self.sock.getsockname()[1]
        self.heard: list[Message] = []
        self.trouble: BaseException | None = None

    def play(self, script: Callable[[Scripted], None]) -> CoapClient:
        def run() -> None:
            try:
                script(self)
            except BaseException as error:
                self.trouble = error

        self.thread = threading.Thread(target=run)
        self.thread.start()
        return CoapClient("127.0.0.1", self.port, timeout=15)

    def hear(self) -> Message:
        data, self.peer = self.sock.recvfrom(2000)
        self.heard.append(messages.decode(data))
        return self.heard[-1]

    def say(self, message: Message) -> None:
        self.sock.sendto(messages.encode(message), self.peer)

    def done(self) -> list[Message]:
        self.thread.join(30)
        if self.trouble:
            raise self.trouble
        return self.heard


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.sock.close()


@pytest.mark.parametrize("run", range(20))
def test_c01_an_unanswered_request_is_sent_five_times_with_doubling_waits(run):
    """At 0, r, 3r, 7r and 15r with r from 2 s to 3 s, the same bytes; given up at 31r."""
    sent: list[tuple[float, bytes]] = []
    now, outcomes = 0.0, []

    def send(message: Message) -> None:
        sent.append((now, messages.encode(message)))

    with socket.socket(type=socket.SOCK_DGRAM) as unused:
        talker = udp.Endpoint(unused, timeout=93.0).talker
    talker.send = send
    talker.exchange(Message(CON, messages.GET, 0), outcomes.append, now)
    while talker.deadline != NEVER:
        now = talker.deadline
        talker.tick(now)
    r = sent[1][0]
    assert 2.0 <= r <= 3.0
    assert [at / r for at, _ in sent] == pytest.approx([0, 1, 3, 7, 15])
    assert len({data for _, data in sent}) == 1
    assert (outcomes[0].failure, now / r) == ("timeout", pytest.approx(31))


def test_c01_a_silent_server_is_asked_again_and_then_given_up(server, monkeypatch):
    monkeypatch.setattr(udp, "SHORTEST_WAIT", 0.05)
    monkeypatch.setattr(udp, "ACK_TIMEOUT", 0.05)
    heard = server.play(lambda s: [s.hear() for _ in range(5)] and None)
    with pytest.raises(TimeoutError, match="timeout after"):
        heard.get("a")
    assert len({messages.encode(message) for message in server.done()}) == 1


def test_c02_an_empty_ack_stops_the_repeating(server, monkeypatch):
    monkeypatch.setattr(udp, "SHORTEST_WAIT", 0.05)
    monkeypatch.setattr(udp, "ACK_TIMEOUT", 0.05)

    def script(s: Scripted) -> None:
        ask = s.hear()
        s.say(messages.empty(ACK, ask.mid))
        s.sock.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            while True:
                # What was on its way before the acknowledgement may still arrive.
                assert s.hear() == ask
        s.say(Message(CON, 69, 900, ask.token, (), b"late"))
        s.sock.settimeout(20)
        assert s.hear() == messages.empty(ACK, 900)

    assert server.play(script).get("x").payload == b"late"
    assert len(server.done()) <= 4


@pytest.mark.parametrize("kind", [CON, NON, ACK])
def test_c03_an_answer_with_a_wrong_token_is_not_believed(server, kind):
    def script(s: Scripted) -> None:
        ask = s.hear()
        s.say(Message(kind, 69, ask.mid, b"wrong", (), b"forged"))
        if kind == CON:
            assert s.hear() == messages.empty(RST, ask.mid)
        s.say(ask.reply(69, b"true"))

    assert server.play(script).get("x").payload == b"true"
    server.done()


def test_c04_a_separate_answer_may_come_before_the_ack(server):
    def script(s: Scripted) -> None:
        ask = s.hear()
        s.say(Message(CON, 69, 900, ask.token, (), b"early"))
        s.say(messages.empty(ACK, ask.mid))
        assert s.hear() == messages.empty(ACK, 900)

    assert server.play(script).get("x").payload == b"early"
    assert len(server.done()) == 2


def test_c05_a_repeated_separate_answer_is_acknowledged_twice_and_used_once(server):
    first = Block(0, True, 6).encoded()

    def script(s: Scripted) -> None:
        ask = s.hear()
        s.say(messages.empty(ACK, ask.mid))
        answer = Message(CON, 69, 900, ask.token, ((BLOCK2, first),), b"a" * 1024)
        s.say(answer)
        s.say(answer)
        acks, rest = 0, None
        while acks < 2 or rest is None:
            heard = s.hear()
            if heard.code:
                rest = heard
            else:
                assert heard == messages.empty(ACK, 900)
                acks += 1
        s.say(rest.reply(69, b"b", [(BLOCK2, Block(1, False, 6).encoded())]))

    assert server.play(script).get("x").payload == b"a" * 1024 + b"b"
    server.done()


def test_c06_a_reset_is_an_error_at_once(server):
    client = server.play(lambda s: s.say(messages.empty(RST, s.hear().mid)))
    with pytest.raises(TimeoutError, match="rejected"):
        client.get("x")
    assert len(server.done()) == 1


def test_c07_a_smaller_block_size_is_taken_up_at_the_right_number(server):
    def script(s: Scripted) -> None:
        body, size = b"", 1024
        while True:
            ask = s.hear()
            block = ask.block(BLOCK1)
            assert block.start == len(body)
            body += ask.payload
            smaller = Block(block.number, block.more, 2) if size == 1024 else block
            size = 64
            code = messages.CONTINUE if block.more else messages.CHANGED
            s.say(ask.reply(code, b"", [(BLOCK1, smaller.encoded())]))
            if not block.more:
                assert body == bytes(2000)
                return

    assert server.play(script).put("x", bytes(2000)).ok
    assert [len(message.payload) for message in server.done()[:3]] == [1024, 64, 64]


def test_c08_an_incomplete_upload_is_begun_again_under_another_tag(server):
    def script(s: Scripted) -> None:
        numbers, tags = [], []
        for code in (messages.CONTINUE, messages.INCOMPLETE, *[messages.CONTINUE] * 2, 68):
            ask = s.hear()
            numbers.append(ask.block(BLOCK1).number)
            tags.append(ask.value(REQUEST_TAG))
            s.say(ask.reply(code, b"", [(BLOCK1, ask.value(BLOCK1))]))
        assert numbers == [0, 1, 0, 1, 2]
        assert tags[0] == tags[1] != tags[2] == tags[3] == tags[4]

    assert server.play(script).put("x", bytes(3000)).ok
    server.done()


def test_c09_two_versions_are_never_mixed(server):
    def script(s: Scripted) -> None:
        for tag, number, body in [
            (b"1", 0, b"a" * 1024),
            (b"2", 1, b"b" * 10),
            (b"2", 0, b"c" * 1024),
            (b"2", 1, b"d" * 10),
        ]:
            ask = s.hear()
            assert (ask.block(BLOCK2).number if ask.value(BLOCK2) else 0) == number
            options = [(messages.ETAG, tag), (BLOCK2, Block(number, number == 0, 6).encoded())]
            s.say(ask.reply(69, body, options))

    response = server.play(script).get("x")
    assert response.payload == b"c" * 1024 + b"d" * 10
    assert response.etag == b"2".hex()
    server.done()


def test_c10_which_of_two_notifications_is_newer():
    assert newer(10, 0, 11, 1)
    assert not newer(11, 0, 10, 1)
    assert not newer(11, 0, 11, 1)
    assert newer(11, 0, 10, 129), "after 128 s whatever comes is newer"
    assert newer((1 << 24) - 1, 0, 0, 1), "the number goes round"


def test_c10_an_older_notification_is_dropped(server):
    def script(s: Scripted) -> None:
        ask = s.hear()
        assert ask.value(OBSERVE) == b""
        s.say(ask.reply(69, b"10", [(OBSERVE, b"\x0a")]))
        for mid, number in [(1, 12), (2, 11), (3, 13)]:
            options = ((OBSERVE, bytes([number])),)
            s.say(Message(CON, 69, mid, ask.token, options, b"%d" % number))
            assert s.hear() == messages.empty(ACK, mid)
        goodbye = s.hear()
        assert (goodbye.value(OBSERVE), goodbye.token) == (b"\x01", ask.token)
        s.say(goodbye.reply(69, b"13"))

    with server.play(script).observe("x") as values:
        assert [next(values).payload for _ in range(3)] == [b"10", b"12", b"13"]
    server.done()


def test_c11_what_cannot_be_observed_is_said_after_its_value(server):
    client = server.play(lambda s: s.say(s.hear().reply(69, b"once")))
    with client.observe("x") as values:
        assert next(values).payload == b"once"
        with pytest.raises(Unsupported, match="cannot be observed"):
            next(values)
    server.done()


def test_c12_too_many_requests_means_wait(server, monkeypatch):
    pauses = []
    monkeypatch.setattr(udp.time, "sleep", pauses.append)

    def script(s: Scripted) -> None:
        ask = s.hear()
        s.say(ask.reply(messages.TOO_MANY, b"", [(messages.MAX_AGE, b"\x07")]))
        again = s.hear()
        assert again.mid != ask.mid
        s.say(again.reply(69, b"now"))

    assert server.play(script).get("x").payload == b"now"
    assert pauses == [7]
    server.done()


def test_c13_too_large_is_tried_in_blocks(server):
    def script(s: Scripted) -> None:
        ask = s.hear()
        assert ask.value(BLOCK1) is None
        s.say(ask.reply(messages.TOO_LARGE, b"", [(BLOCK1, Block(0, False, 4).encoded())]))
        for number in range(4):
            ask = s.hear()
            block = ask.block(BLOCK1)
            assert (block.number, block.szx) == (number, 4)
            code = messages.CONTINUE if block.more else messages.CHANGED
            s.say(ask.reply(code, b"", [(BLOCK1, block.encoded())]))

    assert server.play(script).put("x", bytes(1000)).ok
    server.done()


def test_c14_an_echo_is_given_back_and_kept(server):
    def script(s: Scripted) -> None:
        s.say(s.hear().reply(messages.UNAUTHORIZED, b"", [(ECHO, b"fresh")]))
        again = s.hear()
        assert again.value(ECHO) == b"fresh"
        s.say(again.reply(69, b"a" * 1024, [(BLOCK2, Block(0, True, 6).encoded())]))
        rest = s.hear()
        assert rest.value(ECHO) == b"fresh"
        s.say(rest.reply(69, b"b", [(BLOCK2, Block(1, False, 6).encoded())]))

    assert server.play(script).get("x").payload == b"a" * 1024 + b"b"
    server.done()


def test_without_blocks_nothing_is_cut_short(server):
    more = [(BLOCK2, Block(0, True, 6).encoded())]
    server.play(lambda s: s.say(s.hear().reply(69, b"a" * 1024, more)))
    with pytest.raises(ValueError, match="several blocks"):
        coap_get("127.0.0.1", server.port, "x", block_wise=False)
    server.done()


def test_an_acknowledgement_answers_its_own_request_only():
    sent: list[Message] = []
    talker, outcomes = Talker(sent.append), []
    talker.exchange(Message(CON, messages.GET, 0), outcomes.append, 0.0)
    ask = sent[0]
    assert not talker.received(Message(ACK, 69, ask.mid ^ 1, ask.token), 0.1)
    assert not outcomes
    assert talker.received(Message(ACK, 69, ask.mid, ask.token), 0.1)
    assert outcomes


def test_an_observation_ends_with_its_resource_and_can_be_waited_for(server):
    def script(s: Scripted) -> None:
        ask = s.hear()
        s.say(ask.reply(69, b"1", [(OBSERVE, b"\x01")]))
        go.wait(20)
        s.say(Message(CON, 132, 5, ask.token))
        s.hear()

    go = threading.Event()
    with server.play(script).observe("x") as values:
        assert next(values).payload == b"1"
        values.timeout = 0.05
        with pytest.raises(TimedOut):
            next(values)
        go.set()
        values.timeout = 20
        with pytest.raises(NotFound):
            next(values)
        assert next(values, None) is None
    server.done()


def test_without_aiocoap_observe_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "aiocoap", None)
    with pytest.raises(Unsupported, match="pip install 'aiocoap"):
        CoapClient().observe("x")


def test_it_may_be_used_inside_a_running_event_loop(server):
    async def main() -> bytes:
        return client.get("x").payload

    client = server.play(lambda s: s.say(s.hear().reply(69, b"ok")))
    assert asyncio.run(main()) == b"ok"
    server.done()
