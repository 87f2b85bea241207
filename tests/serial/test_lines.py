"""Real pseudo-terminals: exclusive, untouched control lines, unplugging, slow readers, floods."""

from __future__ import annotations

import fcntl
import gc
import os
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elastik.coap import messages
from elastik.coap.messages import CON, GET, Message
from elastik.coap.talker import Outcome
from elastik_cli.serialio import slipmux
from elastik_cli.serialio.board import Board, BoardSettings
from elastik_cli.serialio.line import Line, LineError, LineSettings
from elastik_cli.serialio.loop import Loop, open_files
from elastik_cli.serialio.outbox import Outbox
from elastik_cli.serialio.port import Port


class Socket:
    """A port that can be pulled out: a pty behind a link."""

    def __init__(self, link: Path) -> None:
        self.link, self.master = link, -1
        self.plug()

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        self.link.unlink()
        os.close(self.master)

    def read(self) -> bytes:
        try:
            return os.read(self.master, 65536)
        except (BlockingIOError, OSError):
            return b""


class Bridgelet:
    """One port and one board in one loop, with everything it gives out kept."""

    def __init__(self, spec: str, loop: Loop, **settings: Any) -> None:
        self.loop, self.outbox, self.wire = loop, Outbox(lambda text: None), self
        self.said: list[str] = []
        self.shown: list[str] = []
        self.up: list[bytes] = []
        self.port = Port(spec, LineSettings(), loop, self.said.append)
        quiet = {"observe": (), "worlds": False, "ping": 0.0}
        self.board = Board(BoardSettings("b", "home/sensor/b", **(quiet | settings)), self)
        self.port.board = self.board
        loop.parts += [self.port, self.board]

    def line(self, data: bytes) -> None:
        self.port.write(data)

    def show(self, text: str) -> None:
        self.shown.append(text)

    def say(self, text: str) -> None:
        self.said.append(text)

    def wall(self) -> float:
        return time.time()

    def open(self, generation: int) -> None:
        pass

    def close(self, generation: int) -> None:
        pass

    def send(self, generation: int, data: bytes) -> bool:
        self.up.append(data)
        return True

    def until(self, claim: Callable[[], Any], seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not claim():
            assert time.monotonic() < end, "waited too long"
            self.loop.turn(0.05)

    def ask(self, path: str = "temp") -> list[Outcome]:
        got: list[Outcome] = []
        options = tuple(messages.path_options(path))
        self.board.talker.ask(Message(CON, GET, 0, options=options), got.append, self.loop.now)
        return got


@pytest.fixture
def socket(tmp_path: Path) -> Socket:
    return Socket(tmp_path / "tty")


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def bridge(socket: Socket, loop: Loop) -> Iterator[Bridgelet]:
    made = Bridgelet(str(socket.link), loop)
    made.until(lambda: made.board.plugged_in)
    yield made
    made.port.close()


def put(mid: int, body: bytes = b"1") -> bytes:
    options = tuple(messages.path_options("temp"))
    return slipmux.encode_coap(messages.encode(Message(CON, 3, mid, b"t", options, body)))


def test_f17_a_port_is_opened_once(socket: Socket):
    line = Line(str(socket.link), LineSettings())
    with pytest.raises(LineError, match="busy: another program has it") as caught:
        Line(str(socket.link), LineSettings())
    assert caught.value.kind == "busy"
    line.close()
    Line(str(socket.link), LineSettings()).close()


def test_what_cannot_be_opened_says_why(tmp_path: Path):
    with pytest.raises(LineError) as caught:
        Line(str(tmp_path / "nothing"), LineSettings())
    assert caught.value.kind == "absent"
    (tmp_path / "file").write_text("no port")
    with pytest.raises(LineError) as caught:
        Line(str(tmp_path / "file"), LineSettings())
    assert caught.value.kind == "failed"


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        (LineSettings(), []),
        (LineSettings(dtr=True), ["TIOCMBIS"]),
        (LineSettings(rts=False), ["TIOCMBIC"]),
    ],
)
def test_the_control_lines_are_left_alone_unless_asked(socket, monkeypatch, settings, asked):
    names = {termios.TIOCMBIS: "TIOCMBIS", termios.TIOCMBIC: "TIOCMBIC"}
    real, seen = fcntl.ioctl, []

    def spy(fd, request, *more):
        if request in names:
            seen.append(names[request])
        return real(fd, request, *more)

    monkeypatch.setattr(fcntl, "ioctl", spy)
    line = Line(str(socket.link), settings)
    assert seen == asked
    assert not termios.tcgetattr(line.fd)[2] & termios.HUPCL, "closing must not drop DTR"
    line.close()


def test_f4_a_half_frame_of_before_never_joins_one_of_after(bridge: Bridgelet, socket: Socket):
    whole = put(1, b"before")
    os.write(socket.master, whole[:10])
    bridge.until(lambda: bridge.board.counted["bytes_in"] == 10)
    socket.unplug()
    bridge.until(lambda: not bridge.board.plugged_in)
    socket.plug()
    bridge.until(lambda: bridge.board.plugged_in)
    os.write(socket.master, whole[10:] + put(2, b"after"))
    bridge.until(lambda: bridge.up)
    assert [messages.decode(data).payload for data in bridge.up] == [b"after"]
    assert len([line for line in bridge.said if "unplugged" in line]) == 1


def test_f5_unplugging_answers_what_waits_and_leaks_nothing(bridge: Bridgelet, socket: Socket):
    gc.collect()  # what earlier tests left behind must not close in between
    before = open_files()
    for _ in range(1000 if "CI" in os.environ else 100):
        waiting = bridge.ask()
        socket.unplug()
        bridge.until(lambda: not bridge.board.plugged_in)
        assert waiting[0].failure == "down"
        socket.plug()
        bridge.port._look_at = 0.0
        bridge.until(lambda: bridge.board.plugged_in)
    assert open_files() <= before  # earlier tests' threads may still end and close theirs


def test_f8_a_port_that_nobody_reads_holds_nothing_up(bridge: Bridgelet):
    waiting = [bridge.ask("a" * 90) for _ in range(60)]
    for _ in range(400):
        bridge.board.send(messages.empty(3, 1))
        bridge.board.send(Message(CON, GET, 7, b"t", (), b"x" * 1000))
    bridge.loop.turn(0.01)
    assert bridge.port.line.pending <= 16 * 1024
    assert bridge.port.line.dropped > 0
    bridge.until(lambda: waiting[0], 20)
    assert waiting[0][0].failure == "timeout"
    bridge.loop.turn(0.0)  # returns: nothing waits for the port


def test_f2_a_megabyte_of_noise_and_then_a_request(bridge: Bridgelet, socket: Socket):
    import random
    import resource

    noise = random.Random(3).randbytes(1_000_000)
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    at = 0
    while at < len(noise):
        with_room = noise[at : at + 2048]
        try:
            at += os.write(socket.master, with_room)
        except BlockingIOError:
            pass
        bridge.loop.turn(0.0)
    bridge.until(lambda: bridge.board.counted["bytes_in"] == len(noise))
    bridge.up.clear()
    os.write(socket.master, b"\xc0" + put(9))
    bridge.until(lambda: bridge.up)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size < 2048, "KiB"


def test_f14_a_flood_of_printed_text_does_not_hold_up_readings(bridge: Bridgelet, socket: Socket):
    # Eleven kilobytes of text a second are 128 frames of 90 bytes.
    flood = slipmux.encode_diagnostic(b"x" * 86 + b"\n")
    waits = []
    for number in range(100):
        os.write(socket.master, flood * 2 + put(number))
        sent, seen = time.monotonic(), len(bridge.up)
        bridge.until(lambda seen=seen: len(bridge.up) > seen)
        waits.append(time.monotonic() - sent)
    assert sorted(waits)[95] < 0.1
    assert bridge.board.lines.hidden > 0
    assert len(bridge.shown) < 200


def test_f15_what_a_board_prints_cannot_touch_the_terminal(bridge: Bridgelet, socket: Socket):
    text = b"\x1b[2Jhidden\x07 \xff\xc3\x28 \xc2\x9bq\ttab\r\nfoo\x00bar\n"
    os.write(socket.master, slipmux.encode_diagnostic(text))
    bridge.until(lambda: len(bridge.shown) == 2)
    unreadable = "\N{REPLACEMENT CHARACTER}" * 2
    assert bridge.shown == [f"[2Jhidden {unreadable}( q\ttab", "foobar"]
    assert bridge.board.lines.text() == "\n".join(bridge.shown) + "\n"


def test_f16_ip_packets_are_counted_and_nothing_else(bridge: Bridgelet, socket: Socket):
    os.write(socket.master, slipmux.encode("ip", b"\x45" + bytes(30)) * 3 + put(1))
    bridge.until(lambda: bridge.up)
    assert bridge.board.counted["ip"] == 3
    assert len(bridge.up) == 1


def test_lines_of_text_become_readings(socket: Socket, loop: Loop):
    bridge = Bridgelet(str(socket.link), loop, protocol="text")
    bridge.until(lambda: bridge.board.plugged_in)
    os.write(socket.master, b'temp 21.5\n{"hum": 40, "note": "dry"}\n[boot] hello\n')
    os.write(socket.master, b'{"path": "a/b", "value": [1]}\n../x 1\nproc/x 1\n')
    bridge.until(lambda: bridge.board.counted["text_lost"] >= 2)
    waiting = [live.reading for live in bridge.outbox._live]
    assert [(r.world, r.body) for r in waiting] == [
        ("home/sensor/b/temp", b"21.5"),
        ("home/sensor/b/hum", b"40"),
        ("home/sensor/b/note", b"dry"),
        ("home/sensor/b/a/b", b"[1]"),
    ]
    assert bridge.shown == ["[boot] hello"]
    bridge.port.close()
