"""A board that is not ours: SLIP by sliplib, FCS by crccheck, CoAP by libcoap, a socat pty pair."""

from __future__ import annotations

import random

from commandline import Program
from elastik.coap import messages
from elastik.coap.messages import GET, Message
from elastik_cli.serialio.conversation import LineConversation, TalkSettings
from elastik_cli.serialio.line import Line, LineSettings


def test_discover_get_put_and_delete(foreign_board, lab):
    board = str(foreign_board())
    elastik: Program = lab.program
    listed = elastik.ok("serial", "discover", board, "--json").decode()
    assert '"path": "/time"' in listed
    assert '"obs": true' in listed
    assert elastik.ok("serial", "get", board, "time").strip()
    elastik.ok("serial", "put", board, "led", "--text", "on")
    assert elastik.ok("serial", "get", board, "led") == b"on"
    elastik.ok("serial", "delete", board, "led")
    assert elastik("serial", "get", board, "led").code == 4
    assert elastik("serial", "ping", board).code == 0


def test_three_thousand_bytes_both_ways(foreign_board, lab, tmp_path):
    board = str(foreign_board())
    body = random.Random(8).randbytes(3000)
    (tmp_path / "body").write_bytes(body)
    lab.program.ok("serial", "put", board, "big", str(tmp_path / "body"))
    assert lab.program.ok("serial", "get", board, "big") == body


def test_observe(foreign_board, lab):
    board = str(foreign_board())
    lines = lab.program.ok("serial", "observe", board, "time", "--count", "3").splitlines()
    assert len(set(lines)) >= 2
    ended = lab.program("serial", "observe", board, "time", "--timeout", "1500ms")
    assert ended.code == 9
    assert ended.out


def test_at_the_pace_of_115200_baud_every_exchange_is_answered(foreign_board):
    """How many a second is a line of bench/serial_line.py."""
    line = Line(str(foreign_board(115200)), LineSettings())
    path = tuple(messages.path_options("sensor/temp"))
    with LineConversation(line, TalkSettings(), lambda text: None) as board:
        board.ask(Message(0, 3, 0, options=path, payload=b"21.5"))
        for _ in range(100):
            assert board.ask(Message(0, GET, 0, options=path)).payload == b"21.5"


def test_bridged_its_observable_resource_is_a_world(foreign_board, lab):
    from commandline import until

    lab.serve()
    lab.bridge("--device", str(foreign_board()), "--id", "foreign")
    first = until(lambda: lab.world("foreign/time"))
    until(lambda: lab.world("foreign/time") != first)
    assert lab.program.ok("serial", "get", "foreign", "time").strip()
