"""Clients that nobody here wrote: libcoap's, aiocoap's, and the published elastik's."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from coapwire import coap_address
from foreign import needed
from realcore import APPROVE


def client() -> str:
    return needed("coap-client-notls", "coap-client", package="libcoap3-bin")


def libcoap(*arguments: str, seconds: float = 60) -> bytes:
    """Run libcoap's client; its standard output."""
    done = subprocess.run(
        [client(), "-B", "20", "-O", f"65001,{APPROVE}", *arguments],
        capture_output=True,
        timeout=seconds,
        check=True,
    )
    return done.stdout


@pytest.fixture
def uri(coap_core) -> str:
    host, port = coap_address(coap_core)
    return f"coap://{host}:{port}"


@pytest.mark.parametrize("size", [16, 64, 512, 1024])
@pytest.mark.parametrize("length", [0, 3000, 4096])
def test_libcoap_moves_bodies_in_blocks(coap_core, uri, fresh, tmp_path: Path, length, size):
    path, body = fresh(), os.urandom(length)
    (tmp_path / "in").write_bytes(body)
    libcoap("-m", "put", "-f", str(tmp_path / "in"), "-b", str(size), f"{uri}/{path}")
    assert coap_core.get("/" + path).body == body
    libcoap("-m", "get", "-b", str(size), "-o", str(tmp_path / "out"), f"{uri}/{path}")
    if length:
        assert (tmp_path / "out").read_bytes() == body


def test_libcoap_moves_a_mebibyte(coap_core, uri, fresh, tmp_path: Path):
    path, body = fresh(), os.urandom(1 << 20)
    (tmp_path / "in").write_bytes(body)
    libcoap("-m", "put", "-f", str(tmp_path / "in"), "-b", "1024", f"{uri}/{path}")
    assert coap_core.get("/" + path).body == body
    libcoap("-m", "get", "-o", str(tmp_path / "out"), f"{uri}/{path}")
    assert (tmp_path / "out").read_bytes() == body


@pytest.mark.parametrize("lost", ["1", "1-2", "1,3"])
def test_libcoap_through_a_lossy_path(coap_core, uri, fresh, lost: str):
    """Datagrams of these numbers are lost; it sends again, and one append is one event."""
    path = fresh()
    libcoap("-l", lost, "-m", "post", "-e", "x", f"{uri}/{path}", seconds=90)
    assert coap_core.get("/" + path).body == b"x"
    assert coap_core.verify(path).headers["x-audit-events"] == "1"


def observing(uri: str, path: str) -> subprocess.Popen[bytes]:
    """libcoap's client, watching for three seconds."""
    libcoap("-m", "get", f"{uri}/{path}")
    command = [client(), "-s", "3", "-B", "20", "-O", f"65001,{APPROVE}", f"{uri}/{path}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_libcoap_loses_three_of_ten(coap_core, uri, fresh):
    """Six clients at once, each with a letter of its own: nothing is appended twice."""
    path, letters = fresh(), b"abcdef"
    coap_core.put("/" + path, b"")
    words = [client(), "-B", "90", "-l", "30%", "-O", f"65001,{APPROVE}", "-m", "post"]
    clients = [
        subprocess.Popen([*words, "-e", chr(letter), f"{uri}/{path}"], stdout=subprocess.DEVNULL)
        for letter in letters
    ]
    for running in clients:
        running.wait(timeout=120)
    body = coap_core.get("/" + path).body
    # All five transmissions of one request are lost once in four hundred times.
    assert len(set(body)) == len(body) >= len(letters) - 1, body


def test_libcoap_observes(coap_core, uri, fresh):
    path = fresh()
    coap_core.put("/" + path, b"v0;")
    client = observing(uri, path)
    assert client.stdout is not None
    assert client.stdout.read(3) == b"v0;"
    for n in range(1, 6):
        coap_core.put("/" + path, b"v%d;" % n)
        assert client.stdout.read(3) == b"v%d;" % n
    # It leaves by itself, with Observe=1, and hears nothing more.
    assert b"v" not in client.communicate(timeout=30)[0].replace(b"v5;", b"")


def test_libcoap_observes_in_blocks(coap_core, uri, fresh):
    path = fresh()
    coap_core.put("/" + path, b"a" * 5000)
    client = observing(uri, path)
    assert client.stdout is not None
    assert client.stdout.read(5000) == b"a" * 5000
    coap_core.put("/" + path, b"b" * 5000)
    assert client.stdout.read(5000) == b"b" * 5000
    client.communicate(timeout=30)


def test_aiocoap(coap_core, uri, fresh):
    aiocoap = pytest.importorskip("aiocoap")
    from aiocoap.numbers import ContentFormat
    from aiocoap.optiontypes import OpaqueOption

    path, body = fresh(), os.urandom(5000)

    def request(code, payload: bytes = b"", **kw):
        message = aiocoap.Message(code=code, uri=f"{uri}/{path}", payload=payload, **kw)
        token = OpaqueOption(aiocoap.numbers.optionnumbers.OptionNumber(65001), APPROVE.encode())
        message.opt.add_option(token)
        return message

    async def session() -> None:
        client = await aiocoap.Context.create_client_context()
        try:
            put = request(aiocoap.PUT, body, content_format=ContentFormat.OCTETSTREAM)
            assert (await client.request(put).response).code == aiocoap.CREATED
            got = await client.request(request(aiocoap.GET)).response
            assert got.payload == body and len(got.opt.etag) == 8
            watching = client.request(request(aiocoap.GET, observe=0))
            assert (await watching.response).payload == body
            notes = watching.observation.__aiter__()
            for n in range(3):
                coap_core.put("/" + path, b"%d" % n * 3000)
                note = await asyncio.wait_for(notes.__anext__(), 10)
                assert note.payload == b"%d" % n * 3000
            watching.observation.cancel()
            gone = request(aiocoap.DELETE)
            assert (await client.request(gone).response).code == aiocoap.DELETED
            missing = await client.request(request(aiocoap.GET)).response
            assert missing.code == aiocoap.NOT_FOUND
        finally:
            await client.shutdown()

    asyncio.run(session())


PUBLISHED = """
import sys
from elastik import CoapClient
client = CoapClient("127.0.0.1", int(sys.argv[1]), token=sys.argv[2])
print(client.put("/home/old", b"23.5", content_type="text/plain").status)
print(client.put("/home/old", b"23.6").status)
got = client.get("/home/old")
print(got.status, got.payload, got.content_format)
print(client.get("/home/none").status, client.get("/home/none").payload)
print(client.get("/home/old", token="wrong").payload)
"""


def test_the_published_client(coap_core, published):
    port = str(coap_address(coap_core)[1])
    done = subprocess.run(
        [published.python, "-c", PUBLISHED, port, APPROVE],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        cwd="/",
    )
    assert done.stdout.splitlines() == [
        "2.01 Created",
        "2.04 Changed",
        "2.05 Content b'23.6' 42",
        "4.04 Not Found b'not found\\n'",
        "b'unauthorized\\n'",
    ]
    command = [published.python, "-m", "elastik", "coap", "get", "127.0.0.1", port, "home/old"]
    done = subprocess.run([*command, "--token", APPROVE], capture_output=True, timeout=30, cwd="/")
    assert (done.returncode, done.stdout) == (0, b"23.6")


def test_an_observer_hears_of_a_write_by_itself(coap_core, uri, fresh):
    """Nothing else has to happen first: no request, no tick of something."""
    from coapwire import GET, OBSERVE, Peer

    path = fresh()
    coap_core.put("/" + path, b"0")
    with Peer(coap_address(coap_core)) as peer:
        peer.ask(GET, path, b"", [(OBSERVE, b"")])
        coap_core.put("/" + path, b"1")
        told = peer.receive()
        peer.acknowledge(told)
        assert told.payload == b"1"
