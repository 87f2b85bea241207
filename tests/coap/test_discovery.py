"""Questions to a group of nodes: who is there is told after a while, everything else is not."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from coapwire import CON, CREDENTIAL, GET, NON, PUT, URI_QUERY, build, coap_address, read, segments
from realcore import APPROVE, wait_for

WELL_KNOWN = ".well-known/core"
# The leisure is two and a half times as long.
ACK_TIMEOUT = "0.2"

pytestmark = pytest.mark.skipif(
    not Path("/sys/class/net/lo").exists(), reason="names the loopback as Linux does"
)


class Asker:
    """A client that speaks to a group on an interface, and hears answers at its own address."""

    def __init__(self, group: str, port: int, interface: str = "lo"):
        if ":" in group:
            on = socket.if_nametoindex(interface)
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, on)
            self.group: tuple[object, ...] = (group, port, 0, on)
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            here = socket.inet_aton("127.0.0.1")
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            self.group = (group, port)
        self.mid = 0

        self.credential = [(CREDENTIAL, APPROVE.encode())]

    def ask(self, code: int, path: str, *options: tuple[int, bytes], kind: int = NON) -> bytes:
        self.mid += 1
        every = [*segments(path), *options, *self.credential]
        raw = build(kind, code, self.mid, b"\x07\x08", every)
        self.socket.sendto(raw, self.group)
        return raw

    def answers(self, seconds: float = 5) -> bool:
        return bool(select.select([self.socket], [], [], seconds)[0])


@pytest.fixture
def asker(start_coap) -> Iterator[Asker]:
    core = start_coap(ELASTIK_COAP_MULTICAST="lo", ELASTIK_COAP_ACK_TIMEOUT=ACK_TIMEOUT)
    core.put("/home/lamp", b"on", content_type="text/plain")
    asker = Asker("224.0.1.187", coap_address(core)[1])
    with asker.socket:
        yield asker


def link() -> str:
    """An interface with an IPv6 address of its link on which groups can be joined."""
    multicast = 0x1000
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        *_, scope, _, name = line.split()
        flags = int(Path(f"/sys/class/net/{name}/flags").read_text(), 16)
        if scope == "20" and flags & multicast:
            return name
    pytest.skip("no interface of this machine has IPv6 and multicast")


@pytest.mark.parametrize("group", ["ff02::fd", "ff05::fd"])
def test_the_groups_of_ipv6(start_core, group: str):
    name = link()
    env = {
        "ELASTIK_COAP_PORT": "0",
        "ELASTIK_COAP_HOST": "::",
        "ELASTIK_COAP_MULTICAST": name,
        "ELASTIK_COAP_ACK_TIMEOUT": ACK_TIMEOUT,
        "ELASTIK_READ_TOKEN": None,
    }
    core = start_core(env=env)
    core.put("/home/lamp", b"on", content_type="text/plain")
    asker = Asker(group, coap_address(core)[1], name)
    asker.credential = []
    with asker.socket:
        asker.ask(GET, "home/none")
        request = asker.ask(GET, WELL_KNOWN)
        assert asker.answers(), "the group said nothing"
        found = read(asker.socket.recv(2048))
        assert (found.kind, found.code) == (NON, "2.05")
        assert b"</home/lamp>".startswith(found.payload[:12])
        # To an address that has proved nothing, from a group least of all.
        assert len(found.raw) <= 3 * len(request)
        assert not asker.answers(1)


def test_a_group_is_asked_who_is_there(asker: Asker):
    asker.ask(GET, WELL_KNOWN)
    assert asker.answers(), "the group said nothing"
    raw, whence = asker.socket.recvfrom(2048)
    found = read(raw)
    assert (found.kind, found.code, found.token) == (NON, "2.05", b"\x07\x08")
    assert b"</home/lamp>" in found.payload
    assert whence[1] == asker.group[1], "from the endpoint's own address and port"
    # What it named can be asked there.
    asker.socket.sendto(build(CON, GET, 99, b"", [*segments("home/lamp")]), whence)
    assert asker.answers()
    assert read(asker.socket.recv(2048)).mid == 99


def test_nothing_else_is_answered(asker: Asker):
    """No errors, no empty answers, no resets, and nothing that was to be confirmed (§8.1, §8.2)."""
    asker.ask(GET, WELL_KNOWN, kind=CON)
    asker.ask(GET, WELL_KNOWN, (URI_QUERY, b"rt=nosuch"))
    asker.ask(GET, WELL_KNOWN, (URI_QUERY, b"nonsense"))
    asker.ask(GET, WELL_KNOWN, (2049, b"unknown and critical"))
    asker.ask(GET, "home/lamp")
    asker.ask(GET, "home/none")
    asker.ask(PUT, "home/lamp")
    for raw in (b"\x40\x00\x00\x63", b"\x49\x01\x00\x01123456789", b"\x60\x00\x00\x01", b"", b"?"):
        asker.socket.sendto(raw, asker.group)
    again = asker.ask(GET, WELL_KNOWN, (URI_QUERY, b"href=/home/lamp"))
    asker.socket.sendto(again, asker.group)
    assert asker.answers()
    assert read(asker.socket.recv(2048)).payload.startswith(b"</home/lamp>")
    assert not asker.answers(1), "one answer to one question, and to a repeated one"


def test_it_is_off_unless_asked_for(start_coap):
    core = start_coap(ELASTIK_COAP_ACK_TIMEOUT=ACK_TIMEOUT)
    asker = Asker("224.0.1.187", coap_address(core)[1])
    with asker.socket:
        asker.ask(GET, WELL_KNOWN)
        assert not asker.answers(1)


def test_a_core_on_all_addresses_is_in_the_group_too(start_coap):
    """The endpoint's own socket must not take what comes to the group for a request to itself."""
    core = start_coap(
        ELASTIK_COAP_HOST="0.0.0.0",
        ELASTIK_COAP_MULTICAST="lo",
        ELASTIK_COAP_ACK_TIMEOUT=ACK_TIMEOUT,
    )
    core.put("/home/lamp", b"on", content_type="text/plain")
    asker = Asker("224.0.1.187", coap_address(core)[1])
    with asker.socket:
        asker.ask(GET, "home/none")
        asker.ask(GET, WELL_KNOWN)
        assert asker.answers()
        assert read(asker.socket.recv(2048)).code == "2.05"
        assert not asker.answers(1)


def test_an_interface_that_is_not_there_is_named(start_core):
    env = {"ELASTIK_COAP_PORT": "0", "ELASTIK_COAP_MULTICAST": "nosuch0"}
    core = start_core(env=env)
    assert wait_for(lambda: "multicast on nosuch0 failed" in core.stderr())
