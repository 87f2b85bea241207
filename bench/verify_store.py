"""How fast the offline verify of a whole store is: bodies in MB/s, events per second, one core."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import OURS, arguments, load, machine

from realcore import KEY, Core, launch

MB_GOAL, EVENTS_GOAL = 100, 100_000
BODY, BODIES = 32 << 20, 8


def fill_events(core: Core, count: int) -> None:
    """Short writes to 64 worlds until the log has about `count` rows."""
    done = 0
    while done < count:
        began = time.monotonic()
        found = load(core, 64, 2, "PUT", "/home/bench/#", 100)
        done += int(found.rate * (time.monotonic() - began))


def fill_bodies(core: Core) -> None:
    for number in range(BODIES):
        assert core.put(f"/home/large/{number}", os.urandom(BODY)).status == 201


def verify(data: Path) -> tuple[dict[str, int], float]:
    """What verify counted, and the processor seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [OURS, "verify", "--data-dir", data, "--json"],
        env={"ELASTIK_KEY": KEY},
        capture_output=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout.splitlines()[-1]), used


def measured(fill: str, count: int, scratch: Path | None) -> tuple[dict[str, int], float]:
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        core = launch(OURS, Path(directory) / "data")
        try:
            fill_bodies(core) if fill == "bodies" else fill_events(core, count)
        finally:
            core.stop()
        verify(core.data)
        return verify(core.data)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="rows of the log (300000)")
    wish = parser.parse_args()
    print(f"verify of a whole store, processor time of one core, warm; {machine()}")
    found, used = measured("bodies", 0, wish.scratch)
    rate = found["bytes"] / used / 1e6
    print(f"  bodies  {found['bytes'] / 1e6:10.0f} MB  {rate:10.0f} MB/s (goal: {MB_GOAL})")
    found, used = measured("events", wish.events, wish.scratch)
    speed = found["events"] / used
    print(f"  events  {found['events']:10d}     {speed:10.0f} /s   (goal: {EVENTS_GOAL})")
    return 0 if rate >= MB_GOAL and speed >= EVENTS_GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
