"""A board by other hands: libcoap's server behind sliplib and crccheck, on a socat pty pair."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RELAY = Path(__file__).parent / "cirelay.py"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def board(place: Path, baud: int = 0) -> Iterator[Path]:
    """Start it below `place`, paced to `baud` (0: not paced); the near end of its line."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*words: Any, **more: Any) -> subprocess.Popen[bytes]:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | more
        running.append(subprocess.Popen([str(word) for word in words], **quiet))
        return running[-1]

    ours, theirs, port = place / "line", place / "far", free_udp_port()
    pace = [baud] if baud else []
    try:
        begin("coap-server-notls", "-A", "127.0.0.1", "-p", port, "-d", 10)
        begin("socat", f"pty,raw,echo=0,link={ours}", f"pty,raw,echo=0,link={theirs}")
        deadline = time.monotonic() + 20
        while not (ours.exists() and theirs.exists()):
            assert time.monotonic() < deadline, "socat makes no ptys"
            time.sleep(0.02)
        words = (sys.executable, RELAY, theirs, "127.0.0.1", port, *pace)
        relay = begin(*words, stdout=subprocess.PIPE)
        assert relay.stdout is not None
        assert relay.stdout.readline() == b"up\n"
        yield ours
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()
