"""Small requests of each kind, one and 64 connections: our core beside the published one."""

from __future__ import annotations

import sys

from load import Result, arguments, binaries, load, machine, median, running

# Name, method, path (# is the connection), bytes of the body.
WORK = [
    ("GET 100 B, durable", "GET", "/home/bench/get", 0),
    ("GET 100 B, memory", "GET", "/tmp/bench/get", 0),
    ("PUT 100 B, durable", "PUT", "/home/bench/#", 100),
    ("PUT 100 B, memory", "PUT", "/tmp/bench/#", 100),
    ("POST 100 B, durable", "POST", "/home/bench/#", 100),
]
CONNECTIONS = (1, 64)
Runs = dict[tuple[str, int], dict[str, list[Result]]]


def one_round(runs: Runs, seconds: float, wish) -> None:
    """Every kind of request on both cores, each on a store of its own."""
    for name, method, path, size in WORK:
        for connections in CONNECTIONS:
            for label, binary in binaries().items():
                with running(binary, wish.scratch) as core:
                    for number in range(connections):
                        core.put(path.replace("#", str(number)), b"x" * 100)
                    found = load(core, connections, seconds, method, path, size)
                runs.setdefault((name, connections), {}).setdefault(label, []).append(found)


def main(argv: list[str] | None = None) -> int:
    wish = arguments(__doc__).parse_args(argv)
    runs: Runs = {}
    for _ in range(wish.rounds):
        one_round(runs, wish.seconds, wish)
    print(f"{machine()}; median of {wish.rounds} interleaved runs of {wish.seconds:g} s\n")
    print("| request | connections | 8.3.0 /s | ours /s | ratio | 8.3.0 p99 ms | ours p99 ms |")
    print("|---|---|---|---|---|---|---|")
    refused = 0
    for (name, connections), cores in runs.items():
        theirs, ours = median(cores["published"]), median(cores["ours"])
        refused += theirs.refused + ours.refused
        print(
            f"| {name} | {connections} | {theirs.rate:.0f} | {ours.rate:.0f} "
            f"| {ours.rate / theirs.rate:.1f} "
            f"| {theirs.p99_us / 1000:.2f} | {ours.p99_us / 1000:.2f} |"
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
