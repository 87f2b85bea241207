"""Bodies in blocks (RFC 7959), both ways, whole or not at all."""

from __future__ import annotations

import os

import pytest

from coapwire import (
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    ETAG,
    GET,
    POST,
    PUT,
    SIZE2,
    Message,
    Peer,
    block,
    coap_address,
)

REQUEST_TAG = 292


def upload(peer: Peer, code: int, path: str, body: bytes, size: int, **kw: object) -> Message:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    for number, part in enumerate(parts):
        more = number < len(parts) - 1
        option = [(BLOCK1, block(number, more, size)), (CONTENT_FORMAT, b"\x2a")]
        answer = peer.ask(code, path, part, [*option, *kw.get("options", ())])
        assert answer.number(BLOCK1) == int.from_bytes(block(number, more, size), "big")
        assert answer.code == "2.31" or not more
    return answer


def download(peer: Peer, path: str, size: int, start: int = 0) -> tuple[bytes, set[bytes]]:
    body, tags, number = b"", set(), start
    while True:
        answer = peer.ask(GET, path, b"", [(BLOCK2, block(number, False, size))])
        assert answer.code == "2.05", answer
        tags.add(answer.option(ETAG))
        body += answer.payload
        value = answer.number(BLOCK2)
        assert value >> 4 == number and 16 << (value & 7) == size
        if not value & 8:
            return body, tags
        assert len(answer.payload) == size
        number += 1


@pytest.mark.parametrize("size", [16, 64, 256, 1024])
@pytest.mark.parametrize("length", [1024, 3000, 4096, 70_000])
@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_any_size_of_block_both_ways(coap_core, peer, fresh, namespace, length, size):
    if length > 4096 and size < 256:
        pytest.skip("long, and proves nothing more")
    path, body = fresh(namespace), os.urandom(length)
    assert upload(peer, PUT, path, body, size).code == "2.01"
    assert coap_core.get("/" + path).body == body
    got, tags = download(peer, path, size)
    assert got == body and len(tags) == 1


def test_an_interrupted_upload_changes_nothing(coap_core, peer, fresh):
    path = fresh()
    peer.ask(PUT, path, b"old")
    assert peer.ask(PUT, path, b"N" * 64, [(BLOCK1, block(0, True, 64))]).code == "2.31"
    assert coap_core.get("/" + path).body == b"old"
    # A gap is told, and what came before the gap is gone with it.
    assert peer.ask(PUT, path, b"N" * 64, [(BLOCK1, block(2, True, 64))]).code == "4.08"
    assert peer.ask(PUT, path, b"N", [(BLOCK1, block(1, False, 64))]).code == "4.08"
    assert coap_core.get("/" + path).body == b"old"


def test_uploads_of_two_endpoints_do_not_mix(coap_core, peer, other, fresh):
    path = fresh()
    for who, letter in ((peer, b"A"), (other, b"B")):
        assert who.ask(PUT, path, letter * 64, [(BLOCK1, block(0, True, 64))]).code == "2.31"
    for who, letter in ((peer, b"A"), (other, b"B")):
        done = who.ask(PUT, path, letter, [(BLOCK1, block(1, False, 64))])
        assert done.code in ("2.01", "2.04")
        assert coap_core.get("/" + path).body == letter * 65


def test_request_tags_part_the_uploads_of_one_endpoint(coap_core, peer, fresh):
    path = fresh()
    for tag in (b"a", b"b"):
        options = [(BLOCK1, block(0, True, 64)), (REQUEST_TAG, tag)]
        assert peer.ask(PUT, path, tag * 64, options).code == "2.31"
    options = [(BLOCK1, block(1, False, 64)), (REQUEST_TAG, b"a")]
    assert peer.ask(PUT, path, b"!", options).code == "2.01"
    assert coap_core.get("/" + path).body == b"a" * 64 + b"!"
    options = [(BLOCK1, block(1, False, 64))]
    assert peer.ask(PUT, path, b"!", options).code == "4.08"


def test_an_append_in_blocks_is_one_event(coap_core, peer, fresh):
    path = fresh()
    peer.ask(PUT, path, b"head\n")
    assert upload(peer, POST, path, b"x" * 5000, 512).code == "2.04"
    assert coap_core.get("/" + path).body == b"head\n" + b"x" * 5000
    assert coap_core.verify(path).headers["x-audit-events"] == "2"


@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_a_download_never_mixes_two_versions(coap_core, peer, fresh, namespace):
    path, old, new = fresh(namespace), b"o" * 9000, b"n" * 9000
    coap_core.put("/" + path, old)
    first = peer.ask(GET, path, b"", [(BLOCK2, block(0, False, 1024))])
    assert first.number(SIZE2) == 9000
    coap_core.put("/" + path, new)
    rest, tags = download(peer, path, 1024, start=1)
    assert first.payload + rest == old
    assert tags == {first.option(ETAG)}
    assert download(peer, path, 1024)[0] == new


def test_a_world_that_fits_comes_in_one_datagram(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"x" * 1144)
    whole = peer.ask(GET, path)
    assert len(whole.payload) == 1144 and whole.option(BLOCK2) is None
    assert whole.option(SIZE2) is None, "nobody asked"
    assert peer.ask(GET, path, b"", [(SIZE2, b"")]).number(SIZE2) == 1144
    coap_core.put("/" + path, b"x" * 1145)
    first = peer.ask(GET, path)
    assert len(first.payload) == 1024 and first.number(BLOCK2) == 0x0E


def test_a_block_says_how_long_it_is(peer, fresh):
    for payload, more in ((b"x" * 63, True), (b"x" * 65, False)):
        option = [(BLOCK1, block(0, more, 64))]
        assert peer.ask(PUT, fresh(), payload, option).code == "4.00"


def test_a_block_past_the_end_is_refused(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"x" * 2048)
    assert peer.ask(GET, path, b"", [(BLOCK2, block(1, False, 1024))]).number(BLOCK2) == 0x16
    assert peer.ask(GET, path, b"", [(BLOCK2, block(2, False, 1024))]).code == "4.00"


def test_uploads_per_endpoint_are_bounded(coap_core, fresh):
    with Peer(coap_address(coap_core)) as peer:
        path = fresh()
        codes = [
            peer.ask(PUT, f"{path}{n}", b"x" * 16, [(BLOCK1, block(0, True, 16))]).code
            for n in range(70)
        ]
    assert codes == ["2.31"] * 64 + ["4.29"] * 6
