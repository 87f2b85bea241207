"""Any CoAP server on UDP as a board: SLIP by sliplib, FCS by crccheck, only the plumbing is ours.

cirelay.py TTY HOST PORT [BAUD]: with a baud rate the bytes come and go no faster than on a wire.
"""

from __future__ import annotations

import select
import socket
import sys
import time

import sliplib
from crccheck.crc import CrcX25

import serial


def main() -> None:
    tty = serial.Serial(sys.argv[1], 115200, timeout=0)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect((sys.argv[2], int(sys.argv[3])))
    baud = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    driver = sliplib.Driver()

    def take_time(count: int) -> None:
        end = time.perf_counter() + (count * 10 / baud if baud else 0)  # a byte is ten bits
        time.sleep(max(0.0, end - time.perf_counter() - 0.0002))
        while time.perf_counter() < end:  # a wire does not oversleep
            pass

    def put(body: bytes) -> None:
        sent = driver.send(body)
        frame = b"\xc0" + bytes(sent if sent is not None else driver.get(block=False))
        take_time(len(frame))
        tty.write(frame)

    put(b"\x0arelay up\n")
    print("up", flush=True)
    while True:
        ready, _, _ = select.select([tty, udp], [], [])
        if tty in ready:
            came = tty.read(4096)
            take_time(len(came))
            driver.receive(came)
            while (frame := driver.get(block=False)) is not None:
                checked = frame[:1] == b"\xa9" and len(frame) >= 7
                if checked and CrcX25.calc(frame[:-2]) == int.from_bytes(frame[-2:], "little"):
                    udp.send(frame[1:-2])
        if udp in ready:
            try:
                message = b"\xa9" + udp.recv(65535)
            except ConnectionRefusedError:
                continue
            put(message + CrcX25.calc(message).to_bytes(2, "little"))


if __name__ == "__main__":
    main()
