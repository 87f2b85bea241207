"""Which port is meant and whose board it is: selection, names, and boards that change ports."""

from __future__ import annotations

import os
import time
import tty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik import paths
from elastik_cli.serialio import ports
from elastik_cli.serialio.board import BoardSettings
from elastik_cli.serialio.bridge import Bridge, BridgeSettings, Plan, prefix_for
from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.ports import Device

UNO = Device("/dev/ttyACM0", "/dev/serial/by-id/usb-Arduino_Uno_75-if00", 0x2341, 0x43, "75", "1-1")
ESP = Device("/dev/ttyUSB0", "", 0x1A86, 0x7523, "", "1-2.1", "USB Serial")
TWIN = Device("/dev/ttyUSB1", "", 0x1A86, 0x7523, "", "1-2.2", "USB Serial")
FIXED = Device("/dev/ttyS0")
ALL = [UNO, ESP, TWIN, FIXED]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("2341:0043", UNO),
        ("2341:0043:75", UNO),
        ("2341:0043:76", None),
        ("1A86:7523:", None),
        ("by-id:usb-Arduino*", UNO),
        ("by-id:nothing*", None),
        ("/dev/nothing", None),
    ],
)
def test_what_a_specification_means(spec, found):
    assert ports.find(spec, ALL) == found


def test_two_that_fit_are_named_and_none_is_guessed():
    with pytest.raises(ValueError, match="ttyUSB0, /dev/ttyUSB1"):
        ports.find("1a86:7523", ALL)


def test_a_name_is_never_that_of_a_moving_port():
    assert [d.name for d in ALL] == ["75", "usb-1-2.1", "usb-1-2.2", "ttyS0"]
    assert Device("/dev/ttyUSB7").name == ""
    assert Device("/dev/ttyACM7").name == ""
    assert Device("/tmp/board one").name == "board-one"


def test_all_takes_usb_ports_and_what_is_named():
    assert ports.chosen(ALL) == [UNO, ESP, TWIN]
    assert ports.chosen(ALL, exclude=["1a86:*"]) == [UNO]
    assert ports.chosen(ALL, include=["*ttyS*", "75"]) == [UNO, FIXED]
    assert ports.chosen(ALL, include=["USB Serial"], exclude=["/dev/ttyUSB1"]) == [ESP]


@given(st.text(max_size=100))
def test_any_name_becomes_one_segment_of_a_path(text):
    name = ports.sanitised(text)
    assert 0 < len(name) <= 64
    assert paths.canonical(f"/home/sensor/{name}") == f"home/sensor/{name}"


def test_prefixes():
    assert prefix_for("/home/sensor/{id}", "x", UNO) == "home/sensor/x"
    assert prefix_for("{product}/{vid}-{pid}/{port}", "x", ESP) == (
        "home/USB-Serial/1a86-7523/ttyUSB0"
    )
    for wrong in ("/home/{nothing}", "/home/../x", "/proc/{id}", "/home/{0}"):
        with pytest.raises(ValueError, match=r".+"):
            prefix_for(wrong, "x", UNO)


# -- boards that come, go and change ports ---------------------------------------------------------


class Usb:
    """A pretended USB bus of pseudo-terminals."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.there: dict[str, tuple[Device, int]] = {}

    def devices(self) -> list[Device]:
        return [device for device, _ in self.there.values()]

    def plug(self, serial: str, port: str, location: str = "1-1") -> int:
        master, slave = os.openpty()
        tty.setraw(slave)
        link = self.place / port
        link.symlink_to(os.ttyname(slave))
        os.close(slave)
        self.there[port] = (Device(str(link), "", 0x2341, 0x43, serial, location), master)
        return master

    def unplug(self, port: str) -> None:
        _, master = self.there.pop(port)
        (self.place / port).unlink()
        os.close(master)


@pytest.fixture
def usb(tmp_path: Path, monkeypatch) -> Usb:
    bus = Usb(tmp_path)
    monkeypatch.setattr(ports, "devices", bus.devices)
    monkeypatch.setenv("ELASTIK_SERIAL_RUN", str(tmp_path / "run"))
    return bus


@pytest.fixture
def bridge(usb: Usb):
    loop = Loop()
    said: list[str] = []
    quiet = BoardSettings("", "", observe=(), worlds=False, ping=0.0)
    settings = BridgeSettings(
        [], ("127.0.0.1", 9), lambda: None, every=True, template=Plan("", board=quiet)
    )
    made = Bridge(settings, loop, said.append, lambda name, text: None)
    made.start()
    yield made
    made.stop()
    loop.close()


def until(bridge: Bridge, claim, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "waited too long"
        bridge.loop.turn(0.05)


def test_s7_a_board_keeps_its_name_under_another_port(bridge: Bridge, usb: Usb):
    usb.plug("AAA", "ttyACM0")
    usb.plug("BBB", "ttyACM1", "1-2")
    until(bridge, lambda: {n for n, b in bridge.boards.items() if b.plugged_in} == {"AAA", "BBB"})
    usb.unplug("ttyACM0")
    usb.unplug("ttyACM1")
    until(bridge, lambda: not any(b.plugged_in for b in bridge.boards.values()))
    usb.plug("BBB", "ttyACM0", "1-2")
    usb.plug("AAA", "ttyACM5")
    until(bridge, lambda: all(b.plugged_in for b in bridge.boards.values()))
    assert sorted(bridge.boards) == ["AAA", "BBB"]
    assert bridge.boards["AAA"].device.endswith("ttyACM5")
    assert bridge.boards["BBB"].device.endswith("ttyACM0")
    assert bridge.boards["AAA"].settings.prefix == "home/sensor/AAA"


def test_another_board_at_the_old_port_is_another_board(bridge: Bridge, usb: Usb):
    usb.plug("AAA", "ttyACM0")
    until(bridge, lambda: "AAA" in bridge.boards)
    usb.unplug("ttyACM0")
    until(bridge, lambda: not bridge.boards["AAA"].plugged_in)
    usb.plug("CCC", "ttyACM0")
    until(bridge, lambda: "CCC" in bridge.boards and bridge.boards["CCC"].plugged_in)
    assert not bridge.boards["AAA"].plugged_in


def test_boards_without_serial_numbers_are_told_apart_by_their_place(bridge: Bridge, usb: Usb):
    usb.plug("", "ttyUSB0", "1-2.1")
    usb.plug("", "ttyUSB1", "1-2.2")
    until(bridge, lambda: len(bridge.boards) == 2)
    assert sorted(bridge.boards) == ["usb-1-2.1", "usb-1-2.2"]


def test_two_boards_with_one_serial_number_do_not_share_worlds(bridge: Bridge, usb: Usb):
    usb.plug("0001", "ttyUSB0", "1-1")
    until(bridge, lambda: len(bridge.boards) == 1)
    usb.plug("0001", "ttyUSB1", "1-9")
    until(bridge, lambda: len(bridge.boards) == 2)
    prefixes = {board.settings.prefix for board in bridge.boards.values()}
    assert prefixes == {"home/sensor/0001", "home/sensor/0001-1-9"}


def test_twins_find_their_own_way_back(bridge: Bridge, usb: Usb):
    usb.plug("0001", "ttyUSB0", "1-1")
    until(bridge, lambda: len(bridge.boards) == 1)
    usb.plug("0001", "ttyUSB1", "1-9")
    until(bridge, lambda: len(bridge.boards) == 2)
    for port in ("ttyUSB0", "ttyUSB1"):
        usb.unplug(port)
    until(bridge, lambda: not any(b.plugged_in for b in bridge.boards.values()))
    usb.plug("0001", "ttyUSB0", "1-9")
    until(bridge, lambda: bridge.boards["0001-1-9"].plugged_in)
    assert not bridge.boards["0001"].plugged_in
    usb.plug("0001", "ttyUSB1", "1-1")
    until(bridge, lambda: bridge.boards["0001"].plugged_in)
    assert len(bridge.boards) == 2
