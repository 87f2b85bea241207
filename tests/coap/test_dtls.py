"""DTLS with pre-shared keys: libcoap's clients with two other libraries under them."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from foreign import missing, needed
from realcore import Core

KEYS = """# boards
board1 write secret home/b1/*
boss approve hex:736563726574
"""
ADDRESS = re.compile(r"^coaps: +coaps://(\S+)/$", re.MULTILINE)
CLIENTS = ("coap-client-gnutls", "coap-client-openssl")


def has_dtls(binary: Path) -> bool:
    return b"dtls" in subprocess.run([binary, "--version"], capture_output=True).stdout


@pytest.fixture
def secured(start_coap, core_binary: Path, tmp_path: Path) -> tuple[Core, str]:
    """A core that asks for keys, and where."""
    if not has_dtls(core_binary):
        missing("this core was built without DTLS: cargo build --features dtls")
    needed(CLIENTS[0], package="libcoap3-bin")
    file = tmp_path / "keys"
    file.write_text(KEYS)
    core = start_coap(ELASTIK_COAP_PSK_FILE=str(file), ELASTIK_COAPS_PORT="0")
    end = time.monotonic() + 10
    while not (found := ADDRESS.search(core.stderr())) and time.monotonic() < end:
        time.sleep(0.01)
    assert found, core.stderr()
    return core, f"coaps://{found[1]}"


def ask(client: str, user: str, key: str, *words: str, seconds: int = 20) -> str:
    """What the client says, of the answer and of its troubles."""
    done = subprocess.run(
        [client, "-B", "4", "-u", user, "-k", key, *words],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("client", CLIENTS)
def test_a_board_writes_with_its_key(secured, client: str):
    core, uri = secured
    ask(client, "board1", "secret", "-m", "put", "-e", "23.5", f"{uri}/home/b1/t")
    assert core.get("/home/b1/t").body == b"23.5"
    assert "23.5" in ask(client, "board1", "secret", f"{uri}/home/b1/t")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_key_is_good_for_its_own_worlds(secured, client: str):
    core, uri = secured
    refused = ask(client, "board1", "secret", "-m", "put", "-e", "x", f"{uri}/home/b2/t")
    assert "4.03" in refused
    assert core.get("/home/b2/t").status == 404


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("user", "key"), [("board1", "wrong"), ("nobody", "secret")])
def test_wrong_keys_open_nothing(secured, client: str, user: str, key: str):
    core, uri = secured
    ask(client, user, key, "-m", "put", "-e", "x", f"{uri}/home/b1/t")
    assert core.get("/home/b1/t").status == 404
    assert core.process.poll() is None
    ask(client, "boss", "secret", "-m", "put", "-e", "y", f"{uri}/home/b1/t")
    assert core.get("/home/b1/t").body == b"y", "and others still come in"


def test_large_bodies_both_ways(secured, tmp_path: Path):
    core, uri = secured
    body = os.urandom(100_000)
    (tmp_path / "in").write_bytes(body)
    words = ["-m", "put", "-f", str(tmp_path / "in"), "-b", "1024", f"{uri}/home/big"]
    ask(CLIENTS[0], "boss", "secret", *words)
    assert core.get("/home/big").body == body
    ask(CLIENTS[0], "boss", "secret", "-o", str(tmp_path / "out"), f"{uri}/home/big")
    assert (tmp_path / "out").read_bytes() == body


@pytest.mark.parametrize("lost", ["1", "2", "3", "1-2"])
def test_a_handshake_through_a_lossy_path(secured, lost: str):
    core, uri = secured
    words = ["-l", lost, "-m", "put", "-e", "1", f"{uri}/home/b1/t"]
    subprocess.run(
        [CLIENTS[0], "-B", "30", "-u", "board1", "-k", "secret", *words],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert core.get("/home/b1/t").body == b"1"


def test_plain_text_on_the_secure_port_is_ignored(secured):
    from coapwire import GET, Peer

    _, uri = secured
    host, _, port = uri.removeprefix("coaps://").rpartition(":")
    with Peer((host, int(port))) as peer:
        peer.send(peer.request(GET, "home/b1/t"))
        assert peer.silence()


def test_a_key_file_that_is_wrong_is_named_without_its_keys(start_core, tmp_path: Path):
    file = tmp_path / "keys"
    file.write_text("board1 writer topsecret\n")
    env = {"ELASTIK_COAP_PORT": "0", "ELASTIK_COAP_PSK_FILE": str(file)}
    core = start_core(env=env)
    end = time.monotonic() + 5
    while "CoAP is off" not in core.stderr() and time.monotonic() < end:
        time.sleep(0.01)
    assert "line 1: the tier is" in core.stderr()
    assert "topsecret" not in core.stderr()
