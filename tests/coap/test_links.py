"""`/.well-known/core` (RFC 6690): what the caller may read, filtered, in blocks."""

from __future__ import annotations

import pytest

from coapwire import ACCEPT, BLOCK2, CONTENT_FORMAT, GET, PUT, URI_QUERY, Peer, block, coap_address

WORLDS = {
    "/home/link1": ("1", "Type1 Type2", "If1"),
    "/home/link2": ("22", "Type2 Type3", "If1"),
    "/home/link3": ("333", "Type1 Type3", "foo"),
    "/home/other": ("", "", ""),
}


@pytest.fixture(scope="module")
def linked(core_binary, tmp_path_factory):
    from realcore import launch

    env = {"ELASTIK_COAP_PORT": "0", "ELASTIK_PERSIST_HEADERS": "x-meta-*"}
    core = launch(core_binary, tmp_path_factory.mktemp("l") / "d", env=env)
    for path, (body, types, interface) in WORLDS.items():
        headers = {"content_type": "text/plain"}
        if types:
            headers |= {"x_meta_rt": types, "x_meta_if": interface}
        core.put(path, body.encode(), **headers)
    coap_address(core)
    yield core
    core.kill()


def links(core, *queries: str, token: str = "r-token-for-tests") -> dict[str, str]:
    with Peer(coap_address(core), token=token) as peer:
        options = [(URI_QUERY, query.encode()) for query in queries]
        answer = peer.ask(GET, ".well-known/core", b"", options)
    assert (answer.code, answer.number(CONTENT_FORMAT)) == ("2.05", 40)
    found = [link.partition(";") for link in answer.payload.decode().split(",") if link]
    return {target.strip("<>"): attributes for target, _, attributes in found}


def test_every_world_with_what_it_is(linked):
    found = links(linked)
    assert list(found) == sorted(WORLDS)
    start = 'rt="Type1 Type2";if="If1";ct=0;sz=1;obs;v='
    assert found["/home/link1"].startswith(start)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("rt=Type1", "13"),
        ("rt=Type2", "12"),
        ('rt="Type3"', "23"),
        ("rt=Ty*", "123"),
        ("rt=*", "123"),
        ("if=If*", "12"),
        ("if=foo", "3"),
        ("sz=2", "2"),
        ("ct=0", "123o"),
        ("ct=50", ""),
        ("href=/home/link1", "1"),
        ("href=/home/link*", "123"),
        ("href=/nowhere*", ""),
        ("unknown=x", ""),
    ],
)
def test_filters(linked, query: str, names: str):
    wanted = {"1": "/home/link1", "2": "/home/link2", "3": "/home/link3", "o": "/home/other"}
    assert sorted(links(linked, query)) == sorted(wanted[name] for name in names)


def test_several_filters_must_all_hold(linked):
    assert list(links(linked, "rt=Type1", "if=foo")) == ["/home/link3"]


def test_only_for_whom_may_read(linked):
    with Peer(coap_address(linked), token=None) as peer:
        assert peer.ask(GET, ".well-known/core").code == "4.01"
        assert peer.ask(PUT, ".well-known/core", b"x").code == "4.05"


def test_formats_and_filters_that_make_no_sense(linked):
    with Peer(coap_address(linked)) as peer:
        assert peer.ask(GET, ".well-known/core", b"", [(ACCEPT, b"\x32")]).code == "4.06"
        assert peer.ask(GET, ".well-known/core", b"", [(ACCEPT, b"\x28")]).code == "2.05"
        assert peer.ask(GET, ".well-known/core", b"", [(URI_QUERY, b"rt")]).code == "4.00"


def test_a_long_list_comes_in_blocks_of_one_moment(start_coap):
    core = start_coap()
    for n in range(120):
        core.put(f"/tmp/many/{n:03}", b"x")
    with Peer(coap_address(core)) as peer:
        text, number = b"", 0
        while True:
            option = [(BLOCK2, block(number, False, 512)), (URI_QUERY, b"href=/tmp/many/*")]
            answer = peer.ask(GET, ".well-known/core", b"", option)
            text += answer.payload
            # What comes later is not in a list that was begun before.
            core.put(f"/tmp/many/z{number}", b"x")
            if not answer.number(BLOCK2) & 8:
                break
            number += 1
    assert number > 4 and text.count(b"</tmp/many/") == 120


def test_names_that_need_escapes(start_coap):
    core = start_coap()
    core.put("/home/a%20b", b"x")
    assert list(links(core)) == ["/home/a%20b"]
