"""Small durable writes while large bodies stream in and out: what the large ones cost them."""

from __future__ import annotations

import http.client
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


def connect(core: Core) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*core.address, timeout=60)


def upload(core: Core, number: int, over: threading.Event) -> None:
    """One large body after another, as fast as they are taken, until it is over."""
    headers = {"Authorization": f"Bearer {core.approve}", "Content-Length": str(LARGE)}
    while not over.is_set():
        line = connect(core)
        chunks = (bytes(1 << 20) for _ in range(LARGE >> 20))
        line.request("PUT", f"/home/large/{number}", chunks, headers, encode_chunked=False)
        line.getresponse().read()
        line.close()


def read_slowly(core: Core, over: threading.Event) -> None:
    """One large body at a steady rate, again and again."""
    line = connect(core)
    while not over.is_set():
        line.request("GET", "/home/read", headers={"Authorization": f"Bearer {core.approve}"})
        answer = line.getresponse()
        while not over.is_set() and answer.read(READ_RATE // 10):
            time.sleep(0.1)
        if not answer.isclosed():
            break
    line.close()


@contextmanager
def streams(core: Core) -> Iterator[None]:
    """Large bodies on their way, in both directions, while this lasts."""
    core.put("/home/read", bytes(LARGE))
    over = threading.Event()
    jobs = [threading.Thread(target=upload, args=(core, n, over)) for n in range(UPLOADS)]
    jobs += [threading.Thread(target=read_slowly, args=(core, over)) for _ in range(READERS)]
    for job in jobs:
        job.start()
    time.sleep(1)
    try:
        yield
    finally:
        over.set()
        for job in jobs:
            job.join()


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
