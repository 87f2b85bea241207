"""Peers on other machines: tokens in the clear, and answers no longer than they deserve."""

from __future__ import annotations

import contextlib
import socket

import pytest

from coapwire import BLOCK2, CON, ECHO, GET, OBSERVE, PUT, Peer, coap_address


@pytest.fixture
def outside() -> str:
    """An address of this machine that is not the loopback: who sends from it looks remote."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with probe, contextlib.suppress(OSError):
        # Nothing is sent: the kernel only chooses a source.
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
        if not address.startswith("127."):
            return address
    pytest.skip("this machine has no address but the loopback")


def test_a_token_in_the_clear_is_refused(start_coap, outside: str):
    core = start_coap(ELASTIK_COAP_HOST=outside)
    with Peer(coap_address(core)) as peer:
        assert peer.ask(PUT, "home/a", b"x").code == "4.01"
        assert peer.ask(GET, "home/a").code == "4.01"


def test_a_token_in_the_clear_can_be_allowed(start_coap, outside: str):
    core = start_coap(ELASTIK_COAP_HOST=outside, ELASTIK_COAP_PLAIN_TOKEN="1")
    with Peer(coap_address(core)) as peer:
        assert peer.ask(PUT, "home/a", b"x").code == "2.01"


@pytest.fixture
def public(start_core, outside: str):
    """Everybody may read, and a world is larger than a datagram."""
    env = {"ELASTIK_COAP_PORT": "0", "ELASTIK_COAP_HOST": outside, "ELASTIK_READ_TOKEN": None}
    core = start_core(env=env)
    core.put("/home/big", b"x" * 5000)
    coap_address(core)
    return core


def test_an_answer_is_at_most_three_times_its_request(public):
    with Peer(coap_address(public), token=None) as peer:
        for path in ("home/big", "home/none", "h", ""):
            request = peer.request(GET, path)
            peer.send(request)
            assert len(peer.receive().raw) <= 3 * len(request), path


def test_who_proves_its_address_gets_whole_blocks(public):
    with Peer(coap_address(public), token=None) as peer:
        small = peer.ask(GET, "home/big")
        challenge = small.option(ECHO)
        assert challenge is not None and len(small.payload) < 64
        proved = peer.ask(GET, "home/big", b"", [(ECHO, challenge)])
        assert len(proved.payload) == 1024 and proved.number(BLOCK2) == 0x0E
        assert len(peer.ask(GET, "home/big").payload) == 1024, "and stays proved"
        with Peer(coap_address(public), token=None) as other:
            stolen = other.ask(GET, "home/big", b"", [(ECHO, challenge)])
            assert len(stolen.payload) < 64, "a proof is for one address"


def test_an_observer_proves_its_address_by_acknowledging(public):
    with Peer(coap_address(public), token=None) as peer:
        path = "home/" + "long" * 10
        public.put("/" + path, b"x" * 5000)
        request = peer.request(GET, path, b"", [(OBSERVE, b"")], kind=1)
        peer.send(request)
        assert peer.receive().number(OBSERVE) is not None
        public.put("/" + path, b"y" * 5000)
        told = peer.receive()
        assert told.kind == CON and len(told.raw) <= 3 * len(request)
        peer.acknowledge(told)
        public.put("/" + path, b"z" * 5000)
        assert len(peer.receive().payload) >= len(told.payload)
