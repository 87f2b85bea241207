"""The sockets to the core: refusals are noticed at once, endpoints are opened and closed."""

from __future__ import annotations

import gc
import os
import socket
import tty

import pytest

from elastik_cli.serialio import states, whereabouts
from elastik_cli.serialio.corewire import CoreWire
from elastik_cli.serialio.line import Line, LineSettings
from elastik_cli.serialio.loop import Loop, open_files


class Ear:
    """Stands where the uplink stands."""

    def __init__(self) -> None:
        self.got: list[tuple[int, bytes]] = []
        self.refusals: list[int] = []

    def received(self, generation: int, data: bytes, now: float) -> None:
        self.got.append((generation, data))

    def refused(self, generation: int) -> None:
        self.refusals.append(generation)


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def core():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def wire_to(port: int, loop: Loop, host: str = "127.0.0.1") -> CoreWire:
    wire = CoreWire(host, port, loop, lambda text: None)
    wire.uplink = Ear()
    return wire


def test_datagrams_go_and_come_by_their_own_endpoint(core, loop):
    wire = wire_to(core.getsockname()[1], loop)
    peers = {}
    for generation in (0, 1):
        wire.open(generation)
        assert wire.send(generation, b"%d" % generation)
        data, peers[generation] = core.recvfrom(100)
        assert data == b"%d" % generation
    assert peers[0] != peers[1]
    core.sendto(b"answer", peers[1])
    loop.turn(1)
    assert wire.uplink.got == [(1, b"answer")]
    gc.collect()  # what earlier tests left behind must not close in between
    before = open_files()
    wire.close(0)
    wire.close(1)
    assert open_files() == before - 2


def test_where_nobody_listens_is_known_at_once_and_only_for_that_datagram(core, loop):
    port = core.getsockname()[1]
    wire = wire_to(port, loop)
    wire.open(0)
    core.close()
    assert wire.send(0, b"lost") is False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind(("127.0.0.1", port))
        assert wire.send(0, b"heard") is True
        assert back.recv(100) == b"heard"
    assert wire.uplink.refusals == []
    wire.close(0)


def test_a_name_that_is_not_known_is_looked_up_seldom(loop, monkeypatch):
    asked = []

    def unknown(*words, **more):
        asked.append(words)
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    wire = wire_to(5683, loop, "core.invalid")
    wire.open(0)
    for _ in range(20):
        assert wire.send(0, b"x") is False
    assert len(asked) == 1


def test_a_stranger_is_not_heard(core, loop):
    wire = wire_to(core.getsockname()[1], loop)
    wire.open(0)
    wire.send(0, b"x")
    _, peer = core.recvfrom(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"forged", peer)
    loop.turn(0.1)
    assert wire.uplink.got == []
    wire.close(0)


def test_the_place_of_a_bridge_must_be_ours(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    monkeypatch.setenv("ELASTIK_SERIAL_RUN", str(tmp_path / "link"))
    with pytest.raises(PermissionError):
        whereabouts.own_directory()


def test_a_bridge_that_died_is_not_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("ELASTIK_SERIAL_RUN", str(tmp_path))
    text = '{"pid": %d, "socket": "x", "boards": {"b": "/dev/x"}}'
    (tmp_path / "bridge-1.json").write_text(text % os.getpid())
    (tmp_path / "bridge-2.json").write_text(text % 2**22)
    (tmp_path / "bridge-3.json").write_text("{")
    assert [b.pid for b in whereabouts.bridged()] == [os.getpid()]


def test_a_locked_port_is_busy_without_opening_it():
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    assert states.state_of(name) == "free"
    line = Line(name, LineSettings())
    assert states.state_of(name) == "busy"
    line.close()
    assert states.state_of(name) == "free"
    os.close(master)
    os.close(slave)
