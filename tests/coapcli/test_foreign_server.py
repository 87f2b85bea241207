"""`elastik coap` against servers by other hands: libcoap and aiocoap."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commandline import Program, until
from foreign import needed
from foreignboard import free_udp_port

AIOCOAP_SERVER = """
import asyncio, sys
import aiocoap, aiocoap.resource as resource

class Store(resource.ObservableResource):
    body = b"start"
    async def render_get(self, request):
        return aiocoap.Message(payload=self.body)
    async def render_put(self, request):
        self.body = request.payload
        self.updated_state()
        return aiocoap.Message(code=aiocoap.CHANGED)

async def main():
    site = resource.Site()
    site.add_resource([".well-known", "core"],
                      resource.WKCResource(site.get_resources_as_linkheader))
    site.add_resource(["store"], Store())
    await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", int(sys.argv[1])))
    print("up", flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


@pytest.fixture
def elastik(tmp_path: Path) -> Program:
    return Program(tmp_path, TERM="xterm")


@pytest.fixture
def aiocoap_server(tmp_path: Path) -> Iterator[str]:
    # Another test may take the port between the look and the bind.
    for _ in range(3):
        port = free_udp_port()
        command = [sys.executable, "-c", AIOCOAP_SERVER, str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            if server.stdout.readline() == b"up\n":
                yield f"coap://127.0.0.1:{port}"
                server.kill()
                return
    pytest.fail("aiocoap's server does not start")


@pytest.fixture
def libcoap_server(elastik: Program) -> Iterator[str]:
    needed("coap-server-notls", package="libcoap3-bin")
    for _ in range(3):
        port = free_udp_port()
        at = f"coap://127.0.0.1:{port}"
        words = ["coap-server-notls", "-A", "127.0.0.1", "-p", str(port), "-d", "10", "-v", "0"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(words, **quiet) as server:
            ping = ("coap", "ping", at, "--timeout", "500ms")
            # It ends by itself when another test took the port between the look and the bind.
            until(lambda server=server, ping=ping: server.poll() or elastik(*ping).code == 0)
            if server.poll() is None:
                yield at
                server.kill()
                return
    pytest.fail("libcoap's server does not start")


@pytest.mark.parametrize("size", [3, 3000])
def test_aiocoap_put_get_discover(elastik, aiocoap_server, size):
    body = random.Random(size).randbytes(size)
    elastik.ok("coap", "put", f"{aiocoap_server}/store", stdin=body)
    assert elastik.ok("coap", "get", f"{aiocoap_server}/store") == body
    links = elastik.ok("coap", "discover", aiocoap_server, "--json").splitlines()
    assert {"path": "/store", "obs": True}.items() <= json.loads(links[0]).items() or len(links) > 1
    assert elastik("coap", "get", f"{aiocoap_server}/nothing").code == 4


@pytest.mark.parametrize("size", [3, 3000], ids=["one-message", "blocks"])
def test_aiocoap_observe(elastik, aiocoap_server, size):
    uri = f"{aiocoap_server}/store"
    watching = elastik.start("coap", "observe", uri, "--count", "3")
    seen = [watching.stdout.readline()]
    for letter in (b"a", b"b"):
        elastik.ok("coap", "put", uri, stdin=letter * size)
        seen.append(watching.stdout.readline())
    assert seen == [b"start\n", b"a" * size + b"\n", b"b" * size + b"\n"]
    assert watching.wait(10) == 0
    watching.communicate()


def test_libcoap_put_get_observe(elastik, libcoap_server):
    body = random.Random(4).randbytes(3000)
    elastik.ok("coap", "put", f"{libcoap_server}/big", "--block-size", "256", stdin=body)
    assert elastik.ok("coap", "get", f"{libcoap_server}/big", "--block-size", "64") == body
    lines = elastik.ok("coap", "observe", f"{libcoap_server}/time", "--count", "3").splitlines()
    assert len(lines) == 3
    assert len(set(lines)) >= 2
    links = elastik.ok("coap", "discover", libcoap_server, "--json").decode()
    assert '"path": "/time"' in links
    elastik.ok("coap", "delete", f"{libcoap_server}/big")
    assert elastik("coap", "get", f"{libcoap_server}/big").code == 4
