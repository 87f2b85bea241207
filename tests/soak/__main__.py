"""Runs one long proof: python -m tests.soak crash --seed 1 --seconds 600."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from soak import PROOFS  # noqa: E402 (found through the line above)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("name", choices=sorted(PROOFS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0, help="go on for at least so long")
    parser.add_argument("--cycles", type=int, default=10, help="and for at least so many cycles")
    parser.add_argument("--core", type=Path, help="the core's binary (that of this checkout)")
    parser.add_argument("--scratch", type=Path, help="where the data lies; kept after a failure")
    wish = parser.parse_args()
    core = wish.core or ROOT / "core-bin" / "target" / "release" / "elastik-core"
    scratch = wish.scratch or Path(tempfile.mkdtemp(prefix="elastik-soak-"))
    print(f"{wish.name}: seed {wish.seed}, {scratch}", flush=True)
    report = PROOFS[wish.name]()(
        core, scratch / "run", seed=wish.seed, seconds=wish.seconds, cycles=wish.cycles, say=True
    )
    print(f"{wish.name}: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
