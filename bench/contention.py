"""Small durable writes while large bodies stream in and out: what the large ones cost them."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import Core, Result, arguments, binaries, load, machine, median, running

LARGE = 64 << 20
UPLOADS, READERS = 4, 10
READ_RATE = 1 << 20  # bytes a second and reader
WRITERS = 8
GOAL = 3.0


def upload(address: tuple[str, int], token: str, number: int) -> None:
    """One large body after another, as fast as they are taken."""
    headers = {"Authorization": f"Bearer {token}", "Content-Length": str(LARGE)}
    while True:
        line = http.client.HTTPConnection(*address, timeout=60)
        chunks = (bytes(1 << 20) for _ in range(LARGE >> 20))
        line.request("PUT", f"/home/large/{number}", chunks, headers, encode_chunked=False)
        line.getresponse().read()
        line.close()


def read_slowly(address: tuple[str, int], token: str) -> None:
    """One large body at a steady rate, again and again."""
    line = http.client.HTTPConnection(*address, timeout=60)
    while True:
        line.request("GET", "/home/read", headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        while answer.read(READ_RATE // 10):
            time.sleep(0.1)


def all_streams(address: tuple[str, int], token: str) -> None:
    """Every large body; clients of a store seldom share its processors, so these step back."""
    os.nice(19)
    for number in range(UPLOADS):
        threading.Thread(target=upload, args=(address, token, number)).start()
    for _ in range(READERS):
        threading.Thread(target=read_slowly, args=(address, token)).start()


@contextmanager
def streams(core: Core) -> Iterator[None]:
    """Large bodies on their way, in both directions, while this lasts."""
    core.put("/home/read", bytes(LARGE))
    clients = multiprocessing.Process(target=all_streams, args=(core.address, core.approve))
    clients.start()
    time.sleep(1)
    try:
        yield
    finally:
        clients.kill()
        clients.join()


def small_writes(core: Core, seconds: float) -> Result:
    return load(core, WRITERS, seconds, "PUT", "/home/small/#", 100)


def one_run(binary: Path, seconds: float, scratch: Path | None) -> tuple[Result, Result]:
    """The small writes alone, and beside the large bodies, on one store."""
    with running(binary, scratch) as core:
        small_writes(core, 0.5)
        alone = small_writes(core, seconds)
        with streams(core):
            return alone, small_writes(core, seconds)


def quotient(pairs: list[tuple[Result, Result]]) -> float:
    return statistics.median(beside.p99_us / alone.p99_us for alone, beside in pairs)


def main(argv: list[str] | None = None) -> int:
    wish = arguments(__doc__).parse_args(argv)
    runs: dict[str, list[tuple[Result, Result]]] = {}
    for _ in range(wish.rounds):
        for name, binary in binaries().items():
            runs.setdefault(name, []).append(one_run(binary, wish.seconds, wish.scratch))
    print(
        f"durable 100-byte PUT, {WRITERS} connections, alone and beside {UPLOADS} uploads of "
        f"64 MiB and {READERS} readers at 1 MiB/s; {machine()}"
    )
    print("| core | alone p50 ms | p99 ms | beside p50 ms | p99 ms | p99 beside / alone |")
    print("|---|---|---|---|---|---|")
    quotients = {name: quotient(pairs) for name, pairs in runs.items()}
    for name, pairs in runs.items():
        alone, beside = (median(list(column)) for column in zip(*pairs, strict=True))
        cells = [r / 1000 for r in (alone.p50_us, alone.p99_us, beside.p50_us, beside.p99_us)]
        figures = " | ".join(f"{cell:.2f}" for cell in cells)
        print(f"| {name} | {figures} | {quotients[name]:.1f} |")
    print(f"goal: ours at most {GOAL:g}")
    return 0 if quotients["ours"] <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
