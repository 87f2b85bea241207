"""Ten thousand observers: all are told of one write, and none costs much."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from pathlib import Path

import pytest

from coapwire import ACK, CREDENTIAL, GET, OBSERVE, build, coap_address, read, segments
from realcore import APPROVE

MANY = 10_000
EACH = 20
BYTES_EACH = 4096


def rss(core) -> int:
    pages = int(Path(f"/proc/{core.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_ten_thousand_observers(start_coap):
    """Five hundred boards with twenty observations each."""
    core = start_coap()
    address = coap_address(core)
    core.put("/home/o", b"0", content_type="text/plain")
    # Addresses of their own, as boards have: 127.1.x.y.
    lines = []
    for n in range(MANY // EACH):
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind((f"127.1.{n >> 8}.{n & 255}", 0))
        line.connect(address)
        line.settimeout(10)
        lines.append(line)
    before = rss(core)
    credential = (CREDENTIAL, APPROVE.encode())
    for mid in range(EACH):
        for line in lines:
            options = [*segments("home/o"), (OBSERVE, b""), credential]
            line.send(build(0, GET, mid, struct.pack(">H", mid), options))
            # One at a time: five hundred at once are more than a socket's buffer takes.
            assert read(line.recv(2048)).number(OBSERVE) is not None
    each = (rss(core) - before) / MANY
    assert each <= BYTES_EACH, f"{each:.0f} bytes for each observer"
    core.put("/home/o", b"1", content_type="text/plain")
    heard: dict[int, set[bytes]] = {line.fileno(): set() for line in lines}
    by_number = {line.fileno(): line for line in lines}
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    end = time.monotonic() + 60
    while any(len(known) < EACH for known in heard.values()) and time.monotonic() < end:
        for number, _ in poll.poll(1000):
            note = read(by_number[number].recv(2048))
            assert note.payload == b"1"
            by_number[number].send(build(ACK, 0, note.mid))
            heard[number].add(note.token)
    told = sum(map(len, heard.values()))
    for line in lines:
        line.close()
    assert told == MANY, told
