"""The SDK's CoAP client against our core and against libcoap's server, also on a bad network."""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Iterator

import pytest

from coapwire import coap_address, settled
from elastik import CoapClient, NotFound
from elastik.coap import udp
from foreign import needed
from realcore import APPROVE, WRITE, Core, launch
from udprelay import LossyRelay

SIZES = [0, 1, 1024, 1025, 4096, 100_000]


@pytest.fixture(scope="module")
def core(core_binary, tmp_path_factory) -> Iterator[Core]:
    core = launch(
        core_binary, tmp_path_factory.mktemp("c") / "data", env={"ELASTIK_COAP_PORT": "0"}
    )
    coap_address(core)
    yield core
    core.kill()


@pytest.fixture
def client(core: Core) -> CoapClient:
    return CoapClient(*coap_address(core), token=WRITE, timeout=20)


@pytest.fixture(scope="module")
def libcoap() -> Iterator[CoapClient]:
    """A client of libcoap's example server, whose resources are not worlds."""
    needed("coap-server-notls", package="libcoap3-bin")
    for _ in range(3):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = ["coap-server-notls", "-A", "127.0.0.1", "-p", str(port), "-d", "10", "-v", "0"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(words, **quiet) as server:
            client = CoapClient("127.0.0.1", port, timeout=20, raw_paths=True)

            def lives(server=server, client=client) -> bool:
                try:
                    return server.poll() is not None or client.ping(timeout=1) >= 0
                except TimeoutError:
                    return False

            assert settled(lives)
            if server.poll() is None:
                yield client
                server.kill()
                return
    pytest.fail("libcoap's server does not start")


@pytest.fixture
def quick(monkeypatch) -> None:
    """Waits and patience for a network that is near and loses a lot."""
    monkeypatch.setattr(udp, "MAX_RETRANSMIT", 12)
    monkeypatch.setattr(udp, "SHORTEST_WAIT", 0.1)
    monkeypatch.setattr(udp, "ACK_TIMEOUT", 0.1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", [1024, 64])
def test_any_size_both_ways(core, client, size, block):
    client.block_size = block
    body = random.Random(size).randbytes(size)
    assert client.put("big", body).ok
    assert core.get("/home/big").body == body
    assert client.get("big").payload == body


def test_append_conditions_delete(core, client):
    made = client.put("note", "one", create_only=True)
    assert (made.status, len(made.etag)) == ("2.01 Created", 16)
    assert client.put("note", "two", create_only=True).status == "4.12 Precondition Failed"
    assert client.put("note", "two", if_match="00" * 8).status == "4.12 Precondition Failed"
    assert client.post("note", b"+", if_match=made.etag).ok
    got = client.get("note")
    assert (got.payload, got.content_format) == (b"one+", 0)
    assert client.get("note", etag=got.etag).status == "2.03 Valid"
    assert client.post("fresh/log", "x").location == "home/fresh/log"
    assert client.delete("note", token=APPROVE).status == "2.02 Deleted"
    with pytest.raises(NotFound):
        client.get("note", raise_errors=True)
    assert client.put("j", b"{}", content_type="application/json").ok
    assert core.get("/home/j").headers["content-type"] == "application/json"


def test_discover_and_ping(client):
    client.put("found/one", "1")
    client.put("found/two", "22")
    found = client.discover("href=/home/found/*")
    assert [(link.path, link.attributes["sz"]) for link in found] == [
        ("/home/found/one", "1"),
        ("/home/found/two", "2"),
    ]
    assert client.ping() < 20


def test_observe_with_large_values(core, client):
    body = random.Random(5).randbytes(5000)
    client.put("watched", "small")
    with client.observe("watched") as values:
        values.timeout = 20
        assert next(values).payload == b"small"
        core.put("/home/watched", body)
        assert next(values).payload == body
        core.put("/home/watched", b"end", content_type="application/octet-stream")
        assert next(values).payload == b"end"


def test_a_network_that_loses_datagrams_both_ways(core, quick):
    with LossyRelay(coap_address(core), 0.15) as relay:
        client = CoapClient("127.0.0.1", relay.port, token=WRITE, timeout=60)
        body = random.Random(7).randbytes(20_000)
        assert client.put("far", body).ok
        assert client.get("far").payload == body
        for number in range(30):
            assert client.post("far/log", b"%d\n" % number).ok
        assert relay.lost > 10
    assert core.get("/home/far").body == body
    assert core.get("/home/far/log").body == b"".join(b"%d\n" % n for n in range(30))


@pytest.mark.parametrize("size", [3, 1024, 3000])
def test_libcoap_put_get_delete(libcoap, size):
    body = random.Random(size).randbytes(size)
    libcoap.block_size = 256
    assert libcoap.put(f"big{size}", body).ok
    assert libcoap.get(f"big{size}").payload == body
    assert libcoap.delete(f"big{size}").ok
    assert libcoap.get(f"big{size}").status == "4.04 Not Found"


def test_libcoap_discover_and_observe(libcoap):
    assert "/time" in [link.path for link in libcoap.discover()]
    with libcoap.observe("time") as values:
        values.timeout = 20
        assert next(values).payload != next(values).payload


def test_libcoap_on_a_bad_network(libcoap, quick):
    # It stores a repeated last block as a body of its own (it knows no duplicates): only read.
    body = random.Random(9).randbytes(8000)
    assert libcoap.put("lossy", body).ok
    with LossyRelay(("127.0.0.1", libcoap.port), 0.15, seed=3) as relay:
        client = CoapClient("127.0.0.1", relay.port, timeout=60, raw_paths=True, block_size=256)
        assert client.get("lossy").payload == body
        assert relay.lost > 3
