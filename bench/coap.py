"""CoAP with 16 requests in flight: our core beside the published one and libcoap's server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from load import ROOT, Result, arguments, binaries, machine, median

from coapwire import Peer  # the tests' way to speak CoAP
from realcore import WRITE, free_port, launch

GET, PUT = 1, 3
ENDPOINTS = 16


class Row(NamedTuple):
    """What is asked, of whom, and what the rate must be beside another's."""

    name: str
    method: int
    path: str
    size: int
    servers: tuple[str, ...]


ROWS = [
    Row("GET memory", GET, "tmp/bench", 0, ("ours", "published", "libcoap")),
    Row("GET durable", GET, "home/bench", 0, ("ours", "published")),
    Row("PUT memory", PUT, "tmp/bench/#", 100, ("ours", "published")),
    Row("PUT durable", PUT, "home/bench/#", 100, ("ours", "published")),
]
# Row and server of the numerator, of the denominator, and the least quotient.
GOALS = [
    ("GET memory", "ours", "GET memory", "libcoap", 1.0),
    ("GET memory", "ours", "GET memory", "published", 1.2),
    ("GET durable", "ours", "GET memory", "ours", 0.9),
    ("PUT durable", "ours", "PUT durable", "published", 50.0),
]


def generator() -> Path:
    """The load generator, compiled when its source is newer."""
    source, program = ROOT / "bench" / "coapload.c", ROOT / "bench" / "out" / "coapload"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(exist_ok=True)
        compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
        subprocess.run([compiler, "-O2", "-Wall", "-o", program, source], check=True)
    return program


def load(port: int, seconds: float, row: Row, path: str, token: str) -> Result:
    words = ["127.0.0.1", port, ENDPOINTS, seconds, row.method, path, row.size, token]
    found = json.loads(subprocess.check_output([generator(), *map(str, words)], text=True))
    rate = found["answers"] / found["seconds"]
    return Result(rate, found["p50_us"], found["p99_us"], found["refused"])


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def core(binary: Path, scratch: Path | None) -> Iterator[int]:
    """The UDP port of a core with two worlds of 100 bytes; everybody may read."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="elastik-bench-") as directory:
        port = free_udp_port()
        env = {"ELASTIK_COAP_PORT": str(port), "ELASTIK_READ_TOKEN": None}
        server = launch(binary, Path(directory) / "data", port=free_port(), env=env)
        try:
            for path in ("/tmp/bench", "/home/bench"):
                server.put(path, b"x" * 100)
            yield port
        finally:
            server.kill()


@contextmanager
def libcoap() -> Iterator[int]:
    """libcoap's example server with 100 bytes at /example_data."""
    program = shutil.which("coap-server-notls") or shutil.which("coap-server")
    if program is None:
        sys.exit("bench: libcoap's server is not here: apt-get install libcoap3-bin")
    port = free_udp_port()
    server = subprocess.Popen(
        [program, "-A", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.3)
        with Peer(("127.0.0.1", port), token=None) as peer:
            assert peer.ask(PUT, "example_data", b"x" * 100).code == "2.04"
        yield port
    finally:
        server.kill()
        server.wait()


def one_round(seconds: float, scratch: Path | None) -> Iterator[tuple[str, str, Result]]:
    for name, binary in binaries().items():
        with core(binary, scratch) as port:
            for row in ROWS:
                token = WRITE if row.method == PUT else ""
                load(port, 0.2, row, row.path, token)
                yield row.name, name, load(port, seconds, row, row.path, token)
    with libcoap() as port:
        load(port, 0.2, ROWS[0], "example_data", "")
        yield ROWS[0].name, "libcoap", load(port, seconds, ROWS[0], "example_data", "")


def main(argv: list[str] | None = None) -> int:
    wish = arguments(__doc__).parse_args(argv)
    found: dict[tuple[str, str], list[Result]] = {}
    for _ in range(wish.rounds):
        for row, server, result in one_round(wish.seconds, wish.scratch):
            found.setdefault((row, server), []).append(result)
    middle = {key: median(results) for key, results in found.items()}
    print(f"CoAP, {ENDPOINTS} endpoints, 100 bytes, confirmable; {machine()}")
    print(f"median of {wish.rounds} interleaved runs of {wish.seconds:g} s\n")
    print("| request | server | per second | p50 ms | p99 ms |\n|---|---|---|---|---|")
    for row in ROWS:
        for server in row.servers:
            r = middle[row.name, server]
            times = f"{r.p50_us / 1000:.2f} | {r.p99_us / 1000:.2f}"
            print(f"| {row.name} | {server} | {r.rate:.0f} | {times} |")
    missed = sum(r.refused for r in middle.values())
    for row_name, ours, other_row, other, least in GOALS:
        ratio = middle[row_name, ours].rate / middle[other_row, other].rate
        print(f"{row_name} {ours} / {other_row} {other} = {ratio:.2f} (goal: at least {least:g})")
        missed += ratio < least
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
