"""Durable 100-byte PUTs on 64 connections: our core against the published one, side by side."""

from __future__ import annotations

import sys
from pathlib import Path

from load import Result, arguments, binaries, load, machine, median, running

GOAL = 20


def one_run(binary: Path, connections: int, seconds: float, scratch: Path | None) -> Result:
    """One run on an empty store: the published core slows down as its chains grow."""
    with running(binary, scratch) as core:
        load(core, connections, 0.3, "PUT", "/home/bench/#", 100)
        return load(core, connections, seconds, "PUT", "/home/bench/#", 100)


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--connections", type=int, default=64, help="concurrent clients (64)")
    wish = parser.parse_args(argv)
    results: dict[str, list[Result]] = {}
    for _ in range(wish.rounds):
        for name, binary in binaries().items():
            found = one_run(binary, wish.connections, wish.seconds, wish.scratch)
            results.setdefault(name, []).append(found)

    print(f"durable 100-byte PUT, {wish.connections} connections, one world each; {machine()}")
    print(f"median of {wish.rounds} interleaved runs of {wish.seconds:g} s")
    middle = {name: median(found) for name, found in results.items()}
    for name, r in middle.items():
        print(f"  {name:<10} {r.rate:10.0f}/s   p50 {r.p50_us / 1000:8.2f} ms   ", end="")
        print(f"p99 {r.p99_us / 1000:8.2f} ms   refused {r.refused}")
    ratio = middle["ours"].rate / middle["published"].rate
    print(f"  ours / published = {ratio:.1f} (goal: at least {GOAL})")
    refused = any(r.refused for r in middle.values())
    return 1 if refused or (wish.connections == 64 and ratio < GOAL) else 0


if __name__ == "__main__":
    sys.exit(main())
