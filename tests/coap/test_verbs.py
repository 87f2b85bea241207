"""Methods and options over the same tree as HTTP."""

from __future__ import annotations

import json

import pytest

from coapwire import (
    ACCEPT,
    ACK,
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    DELETE,
    ETAG,
    FETCH,
    GET,
    IF_MATCH,
    IF_NONE_MATCH,
    IPATCH,
    LOCATION_PATH,
    MAX_AGE,
    NO_RESPONSE,
    NON,
    PATCH,
    POST,
    PUT,
    SIZE1,
    URI_PATH,
    Peer,
    block,
    coap_address,
    uint,
)
from realcore import READ, WRITE


def test_one_tree_on_both_wires(coap_core, peer, fresh):
    path = fresh()
    assert peer.ask(PUT, path, b"23.5", [(CONTENT_FORMAT, b"")]).code == "2.01"
    reply = coap_core.get("/" + path)
    assert (reply.body, reply.headers["content-type"]) == (b"23.5", "text/plain; charset=utf-8")
    assert peer.ask(POST, path, b"!").code == "2.04"
    assert coap_core.put("/" + path, b"[]", content_type="application/json").status == 200
    got = peer.ask(GET, path)
    assert (got.code, got.payload, got.number(CONTENT_FORMAT)) == ("2.05", b"[]", 50)
    assert coap_core.get("/" + path).etag.strip('"')[5:21] == got.option(ETAG).hex()
    assert peer.ask(DELETE, path).code == "2.02"
    assert coap_core.get("/" + path).status == 404
    assert peer.ask(GET, path).code == "4.04"


def test_an_append_to_nothing_makes_it_and_tells_where(peer, fresh):
    path = fresh()
    made = peer.ask(POST, path, b"a", [(CONTENT_FORMAT, b"")])
    where = [value.decode() for number, value in made.options if number == LOCATION_PATH]
    assert (made.code, "/".join(where)) == ("2.01", path)
    assert peer.ask(POST, path, b"b").code == "2.04"
    got = peer.ask(GET, path)
    assert (got.payload, got.number(CONTENT_FORMAT)) == (b"ab", 0)


@pytest.mark.parametrize(
    ("number", "media"),
    [
        (0, "text/plain; charset=utf-8"),
        (40, "application/link-format"),
        (42, "application/octet-stream"),
        (60, "application/cbor"),
        (110, "application/senml+json"),
        (4711, "application/coap-payload;cf=4711"),
    ],
)
def test_content_formats_both_ways(coap_core, peer, fresh, number: int, media: str):
    path = fresh()
    assert peer.ask(PUT, path, b"x", [(CONTENT_FORMAT, uint(number))]).code == "2.01"
    assert coap_core.get("/" + path).headers["content-type"] == media
    assert peer.ask(GET, path).number(CONTENT_FORMAT) == number
    assert peer.ask(GET, path, b"", [(ACCEPT, uint(number))]).code == "2.05"
    assert peer.ask(GET, path, b"", [(ACCEPT, uint(61))]).code == "4.06"


def test_formats_without_a_meaning_are_refused(coap_core, peer, fresh):
    path = fresh()
    assert peer.ask(PUT, path, b"x", [(CONTENT_FORMAT, uint(65535))]).code == "4.15"
    assert coap_core.get("/" + path).status == 404
    coap_core.put("/" + path, b"x", content_type="text/html")
    assert peer.ask(GET, path).option(CONTENT_FORMAT) is None


def test_conditions(coap_core, peer, fresh):
    path = fresh()
    assert peer.ask(PUT, path, b"1", [(IF_MATCH, b"")]).code == "4.12"
    first = peer.ask(PUT, path, b"1", [(IF_NONE_MATCH, b"")])
    assert first.code == "2.01"
    tag = first.option(ETAG)
    assert peer.ask(PUT, path, b"2", [(IF_NONE_MATCH, b"")]).code == "4.12"
    assert peer.ask(PUT, path, b"2", [(IF_MATCH, b"\1" * 8)]).code == "4.12"
    assert peer.ask(PUT, path, b"2", [(IF_MATCH, b"\1"), (IF_MATCH, tag)]).code == "2.04"
    assert peer.ask(PUT, path, b"3", [(IF_MATCH, tag)]).code == "4.12"
    assert peer.ask(PUT, path, b"3", [(IF_MATCH, b"")]).code == "2.04"
    assert peer.ask(GET, path, b"", [(ETAG, tag)]).code == "2.05"
    now = peer.ask(GET, path).option(ETAG)
    valid = peer.ask(GET, path, b"", [(ETAG, tag), (ETAG, now)])
    assert (valid.code, valid.payload, valid.option(ETAG)) == ("2.03", b"", now)
    assert peer.ask(GET, path, b"", [(IF_MATCH, tag)]).code == "4.12"
    assert peer.ask(DELETE, path, b"", [(IF_MATCH, tag)]).code == "4.12"
    assert coap_core.get("/" + path).body == b"3"


def test_max_age_is_the_world_s_own(coap_core, peer, fresh):
    path = fresh()
    coap_core.put("/" + path, b"x", cache_control="public, max-age=7")
    assert peer.ask(GET, path).number(MAX_AGE) == 7


def test_patches(coap_core, peer, fresh):
    path = fresh()
    assert peer.ask(PUT, path, b'{"a":1}', [(CONTENT_FORMAT, b"\x32")]).code == "2.01"
    assert peer.ask(IPATCH, path, b'{"b":2}', [(CONTENT_FORMAT, b"\x34")]).code == "2.04"
    ops = b'[{"op":"test","path":"/a","value":1},{"op":"remove","path":"/a"}]'
    assert peer.ask(PATCH, path, ops, [(CONTENT_FORMAT, b"\x33")]).code == "2.04"
    assert json.loads(coap_core.get("/" + path).body) == {"b": 2}
    assert peer.ask(PATCH, path, ops, [(CONTENT_FORMAT, b"\x33")]).code in ("4.09", "4.22")
    assert peer.ask(PATCH, path, b"no json", [(CONTENT_FORMAT, b"\x34")]).code == "4.22"
    assert peer.ask(PATCH, path, b"{}", [(CONTENT_FORMAT, b"")]).code == "4.15"
    assert peer.ask(FETCH, path, b"{}").code == "4.15"


def test_tiers(coap_core, fresh):
    path, address = fresh(), coap_address(coap_core)
    codes = {}
    for name, token in [("none", None), ("read", READ), ("write", WRITE), ("wrong", "nobody")]:
        with Peer(address, token=token) as peer:
            verbs = [(PUT, path), (GET, path), (DELETE, path), (PUT, "etc/x/y")]
            codes[name] = [peer.ask(code, where, b"").code for code, where in verbs]
    assert codes == {
        "none": ["4.01"] * 4,
        "read": ["4.03", "4.04", "4.03", "4.03"],
        "write": ["2.01", "2.05", "4.03", "4.03"],
        "wrong": ["4.01"] * 4,
    }


def test_no_response_silences_what_it_names(coap_core, peer, fresh):
    path = fresh()
    peer.send(peer.request(PUT, path, b"x", [(NO_RESPONSE, b"\x02")], kind=NON))
    assert peer.silence()
    assert coap_core.get("/" + path).body == b"x"
    done = peer.ask(PUT, path, b"y", [(NO_RESPONSE, b"\x1a")])
    assert (done.kind, done.code) == (ACK, "0.00"), "a confirmable message is acknowledged"
    peer.send(peer.request(GET, path + "z", b"", [(NO_RESPONSE, b"\x02")], kind=NON))
    assert peer.receive().code == "4.04"


@pytest.mark.parametrize(
    "parts", [[], [b""], [b"home"], [b"", b"home", b"a"], [b"home", b""], [b"home", b"\xff"],
              [b"home", b"."], [b"home", b"a\0"], [b"proc", b"version"]]
)  # fmt: skip
def test_paths_that_are_none(peer, parts: list[bytes]):
    for code in (GET, PUT):
        assert peer.ask(code, "", b"", [(URI_PATH, part) for part in parts]).code == "4.00"


def test_too_large_is_told_before_it_is_sent(peer, fresh):
    refused = peer.ask(PUT, fresh(), b"x" * 16, [(27, b"\x08"), (SIZE1, uint(1 << 30))])
    assert (refused.code, refused.number(SIZE1)) == ("4.13", 64 << 20)


def test_a_quota_of_a_prefix_is_told_as_the_others_are(start_coap):
    core = start_coap(ELASTIK_QUOTA="home/cam/*=20B,tmp/cam/*=20B")
    with Peer(coap_address(core)) as peer:
        for place, refusal in (("home", "5.07"), ("tmp", "4.13")):
            assert peer.ask(PUT, f"{place}/cam/a", b"x" * 15).code == "2.01"
            assert peer.ask(PUT, f"{place}/cam/b", b"x" * 6).code == refusal
            assert peer.ask(PUT, f"{place}/cam/b", b"x" * 5).code == "2.01"


def test_nothing_is_open_without_a_port(start_core):
    core = start_core()
    assert "coap:" not in core.stderr()
    bad = start_core(data=core.data.parent / "other", env={"ELASTIK_COAP_PORT": "70000"})
    assert "CoAP is off" in bad.stderr() or core.get("/proc/version").status == 200


def test_several_addresses(start_coap):
    core = start_coap(ELASTIK_COAP_HOST="127.0.0.1,::1")
    lines = [line for line in core.stderr().splitlines() if line.startswith("coap:")]
    assert len(lines) == 2 and "[::1]" in lines[1]
    port = int(lines[1].rstrip("/").rpartition(":")[2])
    with Peer(("::1", port)) as peer:
        assert peer.ask(PUT, "home/six", b"6").code == "2.01"
    with Peer(coap_address(core)) as peer:
        assert peer.ask(GET, "home/six").payload == b"6"


def test_fetch_chooses_records_of_a_pack(coap_core, peer, fresh):
    path = fresh()
    pack = [{"bn": "dev/", "bt": 1000, "n": "a", "v": 1}, {"n": "b", "v": 2}, {"n": "a", "t": 5}]
    senml = [(CONTENT_FORMAT, b"\x6e")]
    assert peer.ask(PUT, path, json.dumps(pack).encode(), senml).code == "2.01"
    etch = [(CONTENT_FORMAT, b"\x01\x40")]
    found = peer.ask(FETCH, path, b'[{"bn":"dev/","n":"a"}]', etch)
    assert (found.code, found.number(CONTENT_FORMAT)) == ("2.05", 110)
    assert [(r["n"], r["t"]) for r in json.loads(found.payload)] == [
        ("dev/a", 1000),
        ("dev/a", 1005),
    ]
    same = [*etch, (ETAG, found.option(ETAG) or b"")]
    assert peer.ask(FETCH, path, b'[{"bn":"dev/","n":"a"}]', same).code == "2.03"
    assert peer.ask(FETCH, path, b'[{"n":"none"}]', etch).payload == b"[]"
    table = [
        (path, b'[{"n":"a","v":1}]', etch, "4.00"),
        (path, b'[{"n":"a"}]', [], "4.15"),
        (path, b'[{"n":"a"}]', [*etch, (ACCEPT, b"\x32")], "4.06"),
        ("home/none", b'[{"n":"a"}]', etch, "4.04"),
        (path, b'[{"n":"a"}]', [*etch, (BLOCK1, block(1, False, 64))], "4.13"),
    ]
    for where, payload, options, code in table:
        assert peer.ask(FETCH, where, payload, options).code == code, (payload, options)
    peer.ask(PUT, path, b"text", [(CONTENT_FORMAT, b"")])
    assert peer.ask(FETCH, path, b'[{"n":"a"}]', etch).code == "4.15"
    peer.ask(PUT, path, b"text", senml)
    assert peer.ask(FETCH, path, b'[{"n":"a"}]', etch).code == "4.22"


def test_a_large_choice_comes_in_blocks(peer, fresh):
    path = fresh()
    pack = [{"n": "a", "t": n} for n in range(100)]
    records = json.dumps(pack).replace(" ", "").encode()
    for at in range(0, len(records), 512):
        more = at + 512 < len(records)
        options = [(CONTENT_FORMAT, b"\x6e"), (BLOCK1, block(at // 512, more, 512))]
        answer = peer.ask(PUT, path, records[at : at + 512], options)
    assert answer.code == "2.01"
    found, number = b"", 0
    while True:
        options = [(CONTENT_FORMAT, b"\x01\x40"), (BLOCK2, block(number, False, 256))]
        part = peer.ask(FETCH, path, b'[{"n":"a"}]', options)
        assert part.code == "2.05"
        found, number = found + part.payload, number + 1
        if not (part.number(BLOCK2) or 0) & 8:
            break
    assert json.loads(found) == pack
