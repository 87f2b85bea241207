"""The CoAP client: packets, repetition, answers that are not its own, the published core."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import realcore
from elastik import CoapClient, Forbidden, NotFound, coap_get, coap_put
from elastik.coap import parse, udp
from elastik.coap.messages import ACK, CON


class Peer:
    """A UDP endpoint that answers each datagram by a script."""

    def __init__(self, script) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.datagrams: list[bytes] = []
        self._script = script
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                data, sender = self.socket.recvfrom(2000)
                self.datagrams.append(data)
                for answer in self._script(len(self.datagrams), data) or ():
                    self.socket.sendto(answer, sender)
        except OSError:
            pass


@pytest.fixture
def peer():
    peers = []

    def start(script):
        peers.append(Peer(script))
        return peers[-1]

    yield start
    for one in peers:
        one.socket.close()


def reply(request: bytes, payload: bytes = b"ok", kind: int = ACK, mid=None, token=None):
    size = request[0] & 0x0F
    token = request[4 : 4 + size] if token is None else token
    head = bytes([0x40 | kind << 4 | len(token), 69]) + (mid or request[2:4]) + token
    return head + b"\xff" + payload


def test_an_answer(peer):
    server = peer(lambda n, data: [reply(data)])
    response = CoapClient("127.0.0.1", server.port, token="secret").get("a/b")
    assert (response.status, response.ok, response.payload) == ("2.05 Content", True, b"ok")
    packet = server.datagrams[0]
    assert packet[0] >> 4 == 4, "version 1, confirmable"
    assert b"\xb4home\x01a\x01b" in packet
    assert packet.endswith(b"secret")


def test_a_lost_datagram_is_repeated_unchanged(peer, monkeypatch):
    monkeypatch.setattr(udp, "SHORTEST_WAIT", 0.05)
    monkeypatch.setattr(udp, "ACK_TIMEOUT", 0.05)
    server = peer(lambda n, data: [reply(data)] if n == 3 else None)
    assert coap_get("127.0.0.1", server.port, "a", timeout=20).ok
    assert len(server.datagrams) == 3
    assert len(set(server.datagrams)) == 1, "the same message id and token each time"


def test_it_gives_up_after_its_time(peer, monkeypatch):
    monkeypatch.setattr(udp, "SHORTEST_WAIT", 0.02)
    server = peer(lambda n, data: None)
    with pytest.raises(TimeoutError, match="timeout after"):
        coap_get("127.0.0.1", server.port, "a", timeout=0.3)
    assert 2 <= len(server.datagrams) <= 5


@pytest.mark.parametrize("wrong", [{"mid": b"\x00\x00"}, {"token": b"no"}, {"token": b""}])
def test_answers_that_are_not_its_own_are_ignored(peer, wrong):
    server = peer(lambda n, data: [reply(data, b"foreign", **wrong), reply(data, b"own")])
    assert coap_get("127.0.0.1", server.port, "a").payload == b"own"


def test_noise_is_ignored(peer):
    server = peer(lambda n, data: [b"", b"x", b"\xff" * 20, reply(data, b"own")])
    assert coap_get("127.0.0.1", server.port, "a").payload == b"own"


def test_a_separate_answer_is_acknowledged(peer):
    def script(n, data):
        if n == 1:
            return [b"\x60\x00" + data[2:4], reply(data, b"late", CON, mid=b"\x12\x34")]
        return None

    server = peer(script)
    assert coap_get("127.0.0.1", server.port, "a").payload == b"late"
    for _ in range(100):
        if len(server.datagrams) == 2:
            break
        threading.Event().wait(0.01)
    assert server.datagrams[1] == b"\x60\x00\x12\x34"


def test_a_reset_is_a_refusal(peer):
    server = peer(lambda n, data: [b"\x70\x00" + data[2:4]])
    with pytest.raises(TimeoutError, match="rejected"):
        coap_get("127.0.0.1", server.port, "a")


def test_what_does_not_fit_or_is_not_known():
    with pytest.raises(ValueError, match="1152"):
        coap_put("127.0.0.1", 1, "a", b"x" * 1200, block_wise=False)
    with pytest.raises(ValueError, match="unsupported CoAP content_type"):
        coap_put("127.0.0.1", 1, "a", b"", content_type="text/html")
    with pytest.raises(ValueError, match="16, 32"):
        CoapClient(block_size=100)
    with pytest.raises(ValueError, match="segments"):
        coap_get("127.0.0.1", 1, "a/../b")


def test_errors_can_be_raised(peer):
    def refuse(code):
        return peer(lambda n, data: [reply(data)[:1] + bytes([code]) + reply(data, b"no")[2:]]).port

    client = CoapClient("127.0.0.1", refuse(0x84))
    assert not client.get("a").ok
    with pytest.raises(NotFound, match="COAP GET a"):
        client.get("a", raise_errors=True)
    with pytest.raises(Forbidden):
        coap_put("127.0.0.1", refuse(0x83), "a", b"", raise_errors=True)


@given(st.binary(max_size=200))
def test_no_datagram_breaks_the_parser(data):
    try:
        parse(data)
    except ValueError:
        pass


@pytest.mark.parametrize("which", ["ours", "published"])
def test_with_a_core(which, request, tmp_path):
    binary = (
        request.getfixturevalue("core_binary")
        if which == "ours"
        else request.getfixturevalue("published").binary
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    core = realcore.launch(
        binary,
        tmp_path / "data",
        port=realcore.free_port(),
        env={"ELASTIK_COAP_PORT": str(port)},
    )
    try:
        for _ in range(200):
            # The HTTP address is announced first.
            if "listening on coap" in core.stderr():
                break
            threading.Event().wait(0.02)
        client = CoapClient("127.0.0.1", port, token=core.write, timeout=5)
        assert client.put("sensor/temp", "23.5").status == "2.01 Created"
        got = client.get("home/sensor/temp")
        assert (got.payload, got.content_format) == (b"23.5", 0)
        assert client.put("tmp/x", b"\xff").status == "2.01 Created"
        assert client.get("tmp/x").content_format == 42
        assert client.get("nothing").status == "4.04 Not Found"
    finally:
        core.kill()
