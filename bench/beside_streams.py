"""The p99 of small durable PUTs while four bodies stream in and ten clients read slowly.

The streams run in processes of their own, so that this one only waits for its own answers.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from load import OURS, machine

from realcore import APPROVE, Core, launch

MEBI = 1 << 20
LARGE = 64 * MEBI
UPLOADS, READERS, RATE = 4, 10, MEBI
GOAL = 3.0
HEADERS = {"Authorization": f"Bearer {APPROVE}"}


def upload(address: tuple[str, int], number: int) -> None:
    """One body of 64 MiB after the other."""
    body = bytes(MEBI)
    line = http.client.HTTPConnection(*address, timeout=120)
    while True:
        chunks = (body for _ in range(LARGE // MEBI))
        headers = HEADERS | {"Content-Length": str(LARGE)}
        line.request("PUT", f"/home/in/{number}", chunks, headers)
        line.getresponse().read()


def read_slowly(address: tuple[str, int], number: int) -> None:
    """64 MiB at 1 MiB a second."""
    line = http.client.HTTPConnection(*address, timeout=120)
    while True:
        line.request("GET", f"/home/out/{number % 2}", headers=HEADERS)
        answer = line.getresponse()
        while answer.read(RATE // 10):
            time.sleep(0.1)


def puts(core: Core, seconds: float) -> list[float]:
    """How long each PUT of 100 bytes took, sorted."""
    line, times = http.client.HTTPConnection(*core.address, timeout=60), []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.perf_counter()
        line.request("PUT", "/home/small", b"x" * 100, HEADERS)
        answer = line.getresponse()
        answer.read()
        assert answer.status in (200, 201), answer.status
        times.append(time.perf_counter() - begun)
    line.close()
    return sorted(times)


@contextlib.contextmanager
def streams(core: Core):
    work = [(upload, n) for n in range(UPLOADS)] + [(read_slowly, n) for n in range(READERS)]
    running = [
        multiprocessing.Process(target=target, args=(core.address, n), daemon=True)
        for target, n in work
    ]
    for process in running:
        process.start()
    try:
        time.sleep(2)
        yield
    finally:
        for process in running:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of each of the two parts")
    wish = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        core = launch(OURS, Path(scratch) / "data")
        try:
            for number in range(2):
                core.put(f"/home/out/{number}", bytes(LARGE))
            quiet = puts(core, wish.seconds)
            with streams(core):
                busy = puts(core, wish.seconds)
        finally:
            core.kill()
    for name, times in (("alone", quiet), ("beside the streams", busy)):
        p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
        print(f"{name:20} {len(times):6} PUTs  p50 {p50:8.2f} ms  p99 {p99:8.2f} ms")
    ratio = busy[int(len(busy) * 0.99)] / quiet[int(len(quiet) * 0.99)]
    print(f"p99 beside the streams / alone: {ratio:.2f} (goal: at most {GOAL:.0f})")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
