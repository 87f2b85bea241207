"""What one call of the command costs, beside bare Python and the published command."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from load import OURS, PEER_PYTHON, ROOT, machine, running

BIN = ROOT / ".venv" / "bin"


def milliseconds(command: list[str | Path], env: dict[str, str], cwd: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="every command once in each (15)")
    wish = parser.parse_args(argv)
    with running(OURS) as core:
        core.put("/home/note", b"hello")
        env = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
        env |= {"ELASTIK_URL": core.url, "ELASTIK_READ_TOKEN": core.read}
        commands: dict[str, list[str | Path]] = {
            "python -c pass": [BIN / "python", "-c", "pass"],
            "elastik --help": [BIN / "elastik", "--help"],
            "elastik get note": [BIN / "elastik", "get", "note"],
            "elastik ls": [BIN / "elastik", "ls"],
            "published: elastik ls": [PEER_PYTHON.with_name("elastik"), "ls"],
        }
        times: dict[str, list[float]] = {}
        for _ in range(wish.rounds):
            for name, command in commands.items():
                times.setdefault(name, []).append(milliseconds(command, env, core.data.parent))
    print(f"{machine()}; median of {wish.rounds} interleaved calls, fastest in brackets\n")
    print("| command | ms |\n|---|---|")
    for name, found in times.items():
        print(f"| `{name}` | {statistics.median(found):.0f} ({min(found):.0f}) |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
