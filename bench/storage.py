"""What durable worlds cost: history, appends, start-up, memory, disk; ours beside the published."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import http.client
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from load import OURS, binaries, machine

from realcore import KEY, Core, free_port, launch

BODY = b"x" * 100
MEBI = 1 << 20
WINDOW = 64
"""Requests on their way at once when worlds are made: enough for one group commit."""


class Line(NamedTuple):
    """One number of one core against its goal."""

    name: str
    goal: float | None
    unit: str
    ours: float
    published: float | None


@contextlib.contextmanager
def on(binary: Path, data: Path) -> Iterator[Core]:
    core = launch(binary, data, port=0 if binary == OURS else free_port())
    try:
        yield core
        assert core.stop(60) == 0
    finally:
        core.kill()


def many(core: Core, method: str, paths: Iterable[str], body: bytes) -> None:
    """One request for each path, pipelined; every answer has to be a success."""
    line = socket.create_connection(core.address)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answers = line.makefile("rb")
    waiting = 0

    def one_answer() -> None:
        status = answers.readline().split()[1]
        length = 0
        while (header := answers.readline()) != b"\r\n":
            if header.lower().startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        answers.read(length)
        assert status in (b"200", b"201"), status

    for path in paths:
        head = f"{method} {path} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {core.approve}\r\n"
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        waiting += 1
        if waiting == WINDOW:
            one_answer()
            waiting -= 1
    for _ in range(waiting):
        one_answer()
    answers.close()
    line.close()


def worlds(count: int) -> list[str]:
    return [f"/home/b/{n:06}" for n in range(count)]


def middle_ms(core: Core, method: str, path: str, times: int = 60) -> float:
    """The median of so many requests one by one on a kept connection."""
    line = http.client.HTTPConnection(*core.address)
    headers, took = {"Authorization": f"Bearer {core.approve}"}, []
    for _ in range(times):
        begun = time.perf_counter()
        line.request(method, path, BODY, headers)
        answer = line.getresponse()
        answer.read()
        took.append((time.perf_counter() - begun) * 1000)
        assert answer.status in (200, 201), answer.status
    line.close()
    return statistics.median(took)


def lengthen(file: Path, events: int) -> None:
    """Add valid events to a chain of the published layout, which is too slow to make them."""
    db = sqlite3.connect(file)
    columns = [row[1] for row in db.execute("PRAGMA table_info(events)")]
    newest = dict(
        zip(columns, db.execute("SELECT * FROM events ORDER BY id DESC").fetchone(), strict=True)
    )
    for _ in range(events):
        newest["id"] += 1
        newest["prev_hmac"] = newest["hmac"]
        covered = {
            "prev": newest["prev_hmac"],
            "type": newest["event_type"],
            "target": newest["target"],
            "body-sha256": newest["body_sha256"],
            "size": newest["size"],
            "content-type": newest["content_type"],
            "meta-sha256": newest["meta_sha256"],
        }
        text = b"".join(
            b"%s\0%d\0%s\0" % (name.encode(), len(str(value).encode()), str(value).encode())
            for name, value in covered.items()
        )
        newest["hmac"] = hmac.new(KEY.encode(), text, hashlib.sha256).hexdigest()
        marks = ",".join("?" * len(columns))
        db.execute(f"INSERT INTO events VALUES({marks})", [newest[name] for name in columns])
    db.commit()
    db.close()


def history(binary: Path, data: Path, events: int) -> float:
    """The cost of a write behind `events` events over its cost behind 10."""
    with on(binary, data) as core:
        many(core, "PUT", ["/home/long", "/home/short"] * 10, BODY)
        if binary == OURS:
            many(core, "PUT", ["/home/long"] * (events - 10), BODY)
    if binary != OURS:
        lengthen(data / "home%2Flong" / "universe.db", events - 10)
    with on(binary, data) as core:
        middle_ms(core, "PUT", "/home/warm")
        # Alternating, so that both meet the same moments of the machine.
        pairs = [
            (middle_ms(core, "PUT", "/home/long", 20), middle_ms(core, "PUT", "/home/short", 20))
            for _ in range(5)
        ]
    return statistics.median(long for long, _ in pairs) / statistics.median(s for _, s in pairs)


def append(binary: Path, data: Path) -> float:
    with on(binary, data) as core:
        assert core.put("/home/large", bytes(16 * MEBI)).status == 201
        return middle_ms(core, "POST", "/home/large")


def on_disk(data: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in data.rglob("*") if path.is_file())


def filled(binary: Path, data: Path, count: int) -> dict[str, float]:
    """Bytes a world, start-up, and memory after reading up to 10,000 of `count` worlds.

    What an empty store takes, its reserve before all, is not counted.
    """
    with on(binary, data):
        pass
    empty = on_disk(data)
    with on(binary, data) as core:
        many(core, "PUT", worlds(count), BODY)
    used = on_disk(data) - empty
    starts = []
    for _ in range(3):
        begun = time.perf_counter()
        with on(binary, data):
            starts.append((time.perf_counter() - begun) * 1000)
    with on(binary, data) as core:
        many(core, "GET", worlds(min(count, 10_000)), b"")
        status = Path(f"/proc/{core.process.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    return {"bytes": used / count, "start": statistics.median(starts), "memory": resident}


def measure(published_worlds: int, scratch: Path | None) -> list[Line]:
    def all_of(binary: Path, counts: list[int]) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="elastik-bench-") as name:
            place = Path(name)
            found = {
                "history": history(binary, place / "history", 20_000),
                "append": append(binary, place / "append"),
            }
            for count in counts:
                here = filled(binary, place / str(count), count)
                found |= {f"{key} {count}": value for key, value in here.items()}
        return found

    cores = binaries()
    ours = all_of(cores["ours"], [10_000, 100_000])
    theirs = all_of(cores["published"], [published_worlds])
    rows = (
        ("write at 20,000 events / at 10", 1.2, "×", "history", "history"),
        ("100 B append to 16 MiB", 1.0, "ms", "append", "append"),
        ("start with 10,000 worlds", 100.0, "ms", "start 10000", f"start {published_worlds}"),
        ("start with 100,000 worlds", 300.0, "ms", "start 100000", ""),
        ("memory after reading 10,000", 64.0, "MiB", "memory 10000", f"memory {published_worlds}"),
        ("disk for a 100-byte world", 1024.0, "bytes", "bytes 10000", f"bytes {published_worlds}"),
    )
    return [Line(row[0], row[1], row[2], ours[row[3]], theirs.get(row[4])) for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--published-worlds",
        type=int,
        default=10_000,
        help="worlds for the published core, which makes some 300 a second (10000)",
    )
    parser.add_argument("--scratch", type=Path, help="where the data lies")
    wish = parser.parse_args()
    lines = measure(wish.published_worlds, wish.scratch)
    print(f"durable worlds of 100 bytes; {machine()}; published: {wish.published_worlds} worlds")
    print(f"  {'':32} {'ours':>10} {'published':>10}   goal")
    for line in lines:
        other = "–" if line.published is None else f"{line.published:.1f}"
        goal = f"at most {line.goal:g} {line.unit}"
        print(f"  {line.name:32} {line.ours:10.2f} {other:>10}   {goal}")
    return 1 if any(line.goal is not None and line.ours > line.goal for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
