"""Starts the two cores of a comparison and puts load on them with bench/httpload.c."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from realcore import Core, free_port, launch  # noqa: E402 (the tests' way to start a core)

OURS = ROOT / "core-bin" / "target" / "release" / "elastik-core"
PEER_PYTHON = ROOT / ".venv-peer" / "bin" / "python"


class Result(NamedTuple):
    """One run: answers per second, the latencies, and how many answers were refusals."""

    rate: float
    p50_us: int
    p99_us: int
    refused: int


def binaries() -> dict[str, Path]:
    """Both cores by name; the published one comes from `make peers`."""
    if not PEER_PYTHON.exists():
        sys.exit("bench: the published core is not here: make peers")
    where = "import elastik; print(elastik.binary_info()['path'])"
    found = subprocess.check_output([PEER_PYTHON, "-c", where], text=True, cwd="/")
    return {"published": Path(found.strip()), "ours": OURS}


@contextmanager
def running(binary: Path, scratch: Path | None = None) -> Iterator[Core]:
    """This core on an empty data directory, which is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="elastik-bench-") as directory:
        core = launch(binary, Path(directory) / "data", port=0 if binary == OURS else free_port())
        try:
            yield core
        finally:
            core.kill()


def generator() -> Path:
    """The load generator, compiled when its source is newer."""
    source = ROOT / "bench" / "httpload.c"
    program = ROOT / "bench" / "out" / "httpload"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(exist_ok=True)
        compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
        subprocess.run([compiler, "-O2", "-Wall", "-o", program, source], check=True)
    return program


def load(core: Core, connections: int, seconds: float, method: str, path: str, size: int) -> Result:
    host, port = core.address
    words = [host, port, connections, seconds, method, path, size, core.approve]
    said = subprocess.check_output([generator(), *map(str, words)], text=True)
    found = json.loads(said)
    rate = found["answers"] / found["seconds"]
    return Result(rate, found["p50_us"], found["p99_us"], found["refused"])


def median(results: list[Result]) -> Result:
    """The middle of each column; refusals are added up."""
    middle = [statistics.median(column) for column in zip(*results, strict=True)]
    return Result(middle[0], int(middle[1]), int(middle[2]), sum(r.refused for r in results))


def machine() -> str:
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, {platform.machine()}"


def arguments(text: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--seconds", type=float, default=3, help="of each run (3)")
    parser.add_argument("--rounds", type=int, default=3, help="every core once in each (3)")
    parser.add_argument(
        "--scratch", type=Path, help="where the data lies (the temporary directory)"
    )
    return parser
