"""Observations (RFC 7641): every change of either wire, the last state, and a last word."""

from __future__ import annotations

import pytest

from coapwire import (
    BLOCK2,
    CON,
    CONTENT_FORMAT,
    DELETE,
    ETAG,
    GET,
    NON,
    OBSERVE,
    PUT,
    URI_QUERY,
    Message,
    Peer,
    block,
    coap_address,
    settled,
)

START, STOP = [(OBSERVE, b"")], [(OBSERVE, b"\x01")]


def observe(peer: Peer, path: str, token: bytes = b"\x0b", **kw) -> Message:
    answer = peer.ask(GET, path, b"", [*START, *kw.pop("options", ())], token=token, **kw)
    assert answer.code == "2.05" and answer.number(OBSERVE) is not None, answer
    return answer


def test_changes_of_both_wires_are_told(coap_core, peer, other, fresh):
    path = fresh()
    coap_core.put("/" + path, b"0", content_type="text/plain; charset=utf-8")
    first = observe(peer, path)
    seen = [first.number(OBSERVE)]
    for n in range(1, 7):
        if n % 2:
            coap_core.put("/" + path, b"%d" % n, content_type="text/plain; charset=utf-8")
        else:
            other.ask(PUT, path, b"%d" % n, [(CONTENT_FORMAT, b"")])
        told = peer.receive()
        assert (told.kind, told.code, told.payload) == (CON, "2.05", b"%d" % n)
        assert told.token == b"\x0b" and told.option(ETAG) is not None
        seen.append(told.number(OBSERVE))
        peer.acknowledge(told)
    assert seen == sorted(set(seen)), "numbers go up"
    coap_core.request("DELETE", "/" + path)
    last = peer.receive()
    assert (last.code, last.option(OBSERVE)) == ("4.04", None)
    peer.acknowledge(last)
    coap_core.put("/" + path, b"again")
    assert peer.silence(), "a delete ends the observation"


def test_a_slow_observer_gets_the_newest_state_only(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"0")
    observe(peer, path)
    for n in range(1, 21):
        coap_core.put("/" + path, b"%d" % n)
    first = peer.receive()
    assert peer.silence(), "one at a time until it is acknowledged"
    peer.acknowledge(first)
    second = peer.receive()
    assert second.payload == b"20"
    peer.acknowledge(second)
    assert peer.silence()


@pytest.mark.parametrize("ends", ["reset", "observe=1"])
def test_an_observer_can_leave(coap_core, peer, fresh, ends: str):
    path = fresh()
    coap_core.put("/" + path, b"0")
    observe(peer, path)
    coap_core.put("/" + path, b"1")
    told = peer.receive()
    if ends == "reset":
        peer.reset(told)
    else:
        peer.acknowledge(told)
        gone = peer.ask(GET, path, b"", STOP, token=b"\x0b")
        assert (gone.code, gone.option(OBSERVE)) == ("2.05", None)
    coap_core.put("/" + path, b"2")
    assert peer.silence()


def test_a_reset_of_a_non_confirmable_notification_counts(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"0")
    observe(peer, path, kind=NON)
    coap_core.put("/" + path, b"1")
    told = peer.receive()
    assert (told.kind, told.payload) == (NON, b"1")
    peer.reset(told)
    coap_core.put("/" + path, b"2")
    assert peer.silence()


def test_non_confirmable_notifications_are_confirmed_now_and_then(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"0")
    observe(peer, path, kind=NON)
    kinds = []
    for n in range(10):
        coap_core.put("/" + path, b"%d" % n)
        told = peer.receive()
        kinds.append(told.kind)
        if told.kind == CON:
            peer.acknowledge(told)
    assert kinds == ([NON] * 4 + [CON]) * 2


def test_who_confirms_nothing_is_forgotten(start_coap):
    core = start_coap(ELASTIK_COAP_ACK_TIMEOUT="0.05", ELASTIK_COAP_MAX_RETRANSMIT="2")
    core.put("/home/o", b"0")
    with Peer(coap_address(core)) as peer:
        observe(peer, "home/o")
        core.put("/home/o", b"1")
        sent = []
        while not peer.silence(1):
            sent.append(peer.receive().raw)
        assert len(sent) == 3 and len(set(sent)) == 1, "sent again twice, then given up"
        core.put("/home/o", b"2")
        assert peer.silence()


def test_a_silent_observer_is_asked(start_coap):
    core = start_coap(ELASTIK_COAP_OBSERVER_CHECK="1", ELASTIK_COAP_ACK_TIMEOUT="0.2")
    core.put("/home/o", b"0")
    with Peer(coap_address(core)) as peer:
        observe(peer, "home/o", kind=NON)
        asked = peer.receive(30)
        assert (asked.kind, asked.payload) == (CON, b"0")
        peer.reset(asked)
        core.put("/home/o", b"1")
        assert peer.silence()


def test_notifications_of_a_large_world_come_in_blocks(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"a" * 5000)
    observe(peer, path)
    coap_core.put("/" + path, b"b" * 5000)
    told = peer.receive()
    peer.acknowledge(told)
    assert told.payload == b"b" * 1024 and told.number(BLOCK2) == 0x0E
    coap_core.put("/" + path, b"c" * 5000)
    # The version that was told is the one whose blocks are fetched, until a newer one is told.
    body, number = told.payload, 1
    newer = peer.receive()
    assert newer.payload == b"c" * 1024
    peer.acknowledge(newer)
    body = newer.payload
    while len(body) < 5000:
        part = peer.ask(GET, path, b"", [(BLOCK2, block(number, False, 1024))], token=b"\x0c")
        assert part.option(ETAG) == newer.option(ETAG)
        body, number = body + part.payload, number + 1
    assert body == b"c" * 5000


def test_another_content_format_ends_it(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"0", content_type="text/plain")
    observe(peer, path)
    coap_core.put("/" + path, b"{}", content_type="application/json")
    last = peer.receive()
    assert (last.code, last.option(OBSERVE)) == ("4.06", None)
    peer.acknowledge(last)
    coap_core.put("/" + path, b"1", content_type="text/plain")
    assert peer.silence()


def test_an_ordinary_get_ends_nothing(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"0")
    observe(peer, path)
    assert peer.ask(GET, path, token=b"\x0d").option(OBSERVE) is None
    coap_core.put("/" + path, b"1")
    told = peer.receive()
    assert told.payload == b"1"
    peer.acknowledge(told)


def test_registering_again_replaces(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"0")
    for _ in range(3):
        observe(peer, path)
    coap_core.put("/" + path, b"1")
    peer.acknowledge(peer.receive())
    assert peer.silence(), "one observation, one notification"


def test_what_is_not_there_cannot_be_observed(peer, fresh):
    answer = peer.ask(GET, fresh(), b"", START)
    assert (answer.code, answer.option(OBSERVE)) == ("4.04", None)


def test_a_prefix_is_observed_through_the_list_of_links(coap_core, peer, fresh):
    path = fresh()
    root = path.rpartition("/")[0]
    query = [(URI_QUERY, f"href=/{root}/*".encode())]
    first = observe(peer, ".well-known/core", options=query)
    assert first.payload == b""
    coap_core.put("/" + path, b"1")
    told = peer.receive()
    peer.acknowledge(told)
    assert f"</{path}>".encode() in told.payload and told.number(CONTENT_FORMAT) == 40
    coap_core.put("/home/elsewhere", b"1")
    assert peer.silence()
    coap_core.request("DELETE", "/" + path)
    gone = peer.receive()
    peer.acknowledge(gone)
    assert gone.payload == b"" and gone.number(OBSERVE) > told.number(OBSERVE)


def test_more_observers_than_there_is_room_for_get_a_plain_answer(start_coap):
    core = start_coap(ELASTIK_COAP_MAX_OBSERVERS="2")
    core.put("/home/o", b"0")
    with Peer(coap_address(core)) as peer:
        observe(peer, "home/o", b"1")
        observe(peer, "home/o", b"2")
        third = peer.ask(GET, "home/o", b"", START, token=b"3")
        assert (third.code, third.option(OBSERVE)) == ("2.05", None)
        peer.ask(GET, "home/o", b"", STOP, token=b"1")
        observe(peer, "home/o", b"3")


def test_a_delete_over_coap_is_told_too(peer, other, fresh):
    path = fresh("tmp")
    other.ask(PUT, path, b"0")
    observe(peer, path)
    assert other.ask(DELETE, path).code == "2.02"
    assert peer.receive().code == "4.04"


def test_an_observer_that_left_without_a_word_costs_nothing_for_long(start_coap):
    core = start_coap(ELASTIK_COAP_ACK_TIMEOUT="0.05", ELASTIK_COAP_MAX_RETRANSMIT="1")
    core.put("/home/o", b"0")
    with Peer(coap_address(core)) as peer:
        observe(peer, "home/o")
    core.put("/home/o", b"1")
    with Peer(coap_address(core)) as peer:
        assert settled(lambda: peer.ask(GET, "home/o").payload == b"1")
