"""ETSI CoAP#4 tests that no other file shows: their ids are in the names."""

from __future__ import annotations

import sqlite3

import pytest

from coapwire import (
    ACK,
    CON,
    CONTENT_FORMAT,
    DELETE,
    GET,
    NON,
    POST,
    PUT,
    URI_QUERY,
    Peer,
    coap_address,
)


def test_core_05_to_08_verbs_without_confirmation(coap_core, peer, fresh):
    path = fresh()
    for code, expected in ((PUT, "2.01"), (GET, "2.05"), (POST, "2.04"), (DELETE, "2.02")):
        answer = peer.ask(code, path, b"x", kind=NON)
        assert (answer.kind, answer.code) == (NON, expected)
    assert coap_core.get("/" + path).status == 404


def test_core_10_12_tokens_of_every_length(peer, fresh):
    path = fresh()
    peer.ask(PUT, path, b"x")
    for length in range(9):
        assert peer.ask(GET, path, token=b"t" * length).token == b"t" * length


def test_core_13_14_long_paths_and_several_queries(peer, fresh):
    path = f"{fresh()}/seg1/seg2/seg3"
    peer.ask(PUT, path, b"x")
    queries = [(URI_QUERY, b"first=1"), (URI_QUERY, b"second=2")]
    assert peer.ask(GET, path, b"", queries).code == "2.05"


def slow_store(core) -> sqlite3.Connection:
    """Holds the database, so that a commit has to wait."""
    lock = sqlite3.connect(core.data / "elastik.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    return lock


@pytest.mark.parametrize("lost", [False, True], ids=["core_09_11", "core_16_17"])
def test_separate_response(start_coap, lost: bool):
    core = start_coap(ELASTIK_COAP_ACK_TIMEOUT="0.5")
    with Peer(coap_address(core)) as peer:
        peer.ask(PUT, "home/slow", b"0")
        lock = slow_store(core)
        peer.send(put := peer.request(PUT, "home/slow", b"1", token=b"slow"))
        acknowledged = peer.receive()
        assert (acknowledged.kind, acknowledged.code) == (ACK, "0.00")
        if lost:
            # The client did not see it, and asks again.
            peer.send(put)
            assert peer.receive().raw == acknowledged.raw
        lock.execute("ROLLBACK")
        lock.close()
        response = peer.receive()
        assert (response.kind, response.code, response.token) == (CON, "2.04", b"slow")
        assert response.mid != acknowledged.mid
        if lost:
            assert peer.receive().raw == response.raw, "sent again until acknowledged"
        peer.acknowledge(response)
        assert peer.silence(2)
        assert peer.ask(GET, "home/slow").payload == b"1"
    assert core.verify("home/slow").headers["x-audit-events"] == "2"


def test_link_09_a_list_within_a_list(peer, fresh):
    path = fresh()
    inner = f"</{path}/1>;ct=0,</{path}/2>;ct=0".encode()
    peer.ask(PUT, path, inner, [(CONTENT_FORMAT, b"\x28")])
    href = [(URI_QUERY, f"href=/{path}".encode())]
    link = peer.ask(GET, ".well-known/core", b"", href).payload.decode()
    assert link.startswith(f"</{path}>;ct=40;")
    answer = peer.ask(GET, path)
    assert (answer.number(CONTENT_FORMAT), answer.payload) == (40, inner)
