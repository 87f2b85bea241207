"""The scenes of test_full_disk.py, run where a small tmpfs may be mounted."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from realcore import KEY, Core, refuse
from realcore import launch as launch_core
from soak import offline

MEGABYTES = 48
LARGE = b"z" * (1 << 20)
# Refused uploads give their room back, and now and then that is enough for one more of LARGE.
TOO_LARGE = LARGE * 2


STARTED: list[Core] = []


def launch(binary: Path, data: Path) -> Core:
    STARTED.append(launch_core(binary, data))
    return STARTED[-1]


def mount(at: Path, *options: str) -> None:
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, "-t", "tmpfs", "none", at], check=True)


def fill(core: Core) -> list[str]:
    """Write until the disk is full for good; returns the worlds that were taken."""
    taken, refused = [], 0
    for n in range(10 * MEGABYTES):
        reply = core.put(f"/home/big/{n}", LARGE)
        if reply.status == 201:
            taken.append(f"/home/big/{n}")
            refused = 0
            continue
        assert (reply.status, reply.body) == (507, b"insufficient storage: disk full\n"), reply
        # What a refused upload left is given back in idle turns; then there may be room for more.
        refused += 1
        if refused == 5:
            return taken
        time.sleep(0.3)
    raise AssertionError("the disk was never full")


def still_full(core: Core, taken: list[str]) -> None:
    assert core.get(taken[0]).body == LARGE, "reads go on"
    assert core.get(taken[-1]).body == LARGE
    assert core.put("/home/ghost", TOO_LARGE).status == 507
    assert core.get("/home/ghost").status == 404, "a refused write leaves nothing"
    assert core.put("/tmp/free", b"memory needs no disk").status == 201
    assert core.put(taken[0], TOO_LARGE).status == 507
    assert core.get(taken[0]).body == LARGE, "a refused replace leaves the old bytes"


def room_again(core: Core, taken: list[str]) -> None:
    """Deletes make room, which is given back in turns; then large writes are taken again."""
    for path in taken[: len(taken) // 2]:
        reply = core.request("DELETE", path)
        assert reply.status == 204, reply
    end = time.monotonic() + 30
    while core.put("/home/after", LARGE).status != 201:
        assert time.monotonic() < end, "deletes made no room"
        time.sleep(0.05)


def sound(core: Core, taken: list[str], scratch: Path) -> None:
    listed = core.get("/proc/worlds").body.decode().splitlines()
    assert "home/ghost" not in listed
    for path in taken[len(taken) // 2 :]:
        assert core.verify(path[1:]).status == 200, path
    core.kill()
    offline.check(core.data, scratch / "copy")


def fills(binary: Path, scratch: Path) -> None:
    mount(scratch / "disk", "-o", f"size={MEGABYTES}m")
    core = launch(binary, scratch / "disk" / "data")
    taken = fill(core)
    still_full(core, taken)
    room_again(core, taken)
    sound(core, taken, scratch)


def starts_full(binary: Path, scratch: Path) -> None:
    """Killed on a full disk, the core starts on it: what else could make room?"""
    mount(scratch / "disk", "-o", f"size={MEGABYTES}m")
    core = launch(binary, scratch / "disk" / "data")
    taken = fill(core)
    core.kill()
    rest = scratch / "disk" / "rest"
    try:
        with rest.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
    except OSError:
        pass
    core = launch(binary, scratch / "disk" / "data")
    assert core.get(taken[-1]).body == LARGE, "reads go on"
    # What lay in the log may leave room for some more; not for all of them.
    refused = []
    for n in range(MEGABYTES):
        reply = core.put(f"/home/late/{n}", LARGE)
        assert reply.status in (201, 507), reply
        refused += [n] if reply.status == 507 else []
    assert refused
    assert all(core.get(f"/home/late/{n}").status == 404 for n in refused)
    rest.unlink()
    room_again(core, taken)
    sound(core, taken, scratch)


def read_only(binary: Path, scratch: Path) -> None:
    """A disk that cannot be written is named at the start, and nothing on it changes."""
    disk = scratch / "disk"
    mount(disk, "-o", f"size={MEGABYTES}m")
    core = launch(binary, disk / "data")
    assert core.put("/home/a", b"kept").status == 201
    assert core.stop() == 0
    before = {path.name: path.read_bytes() for path in (disk / "data").iterdir()}
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    code, said = refuse(
        binary, {"ELASTIK_KEY": KEY, "ELASTIK_PORT": "0", "ELASTIK_DATA": str(disk / "data")}
    )
    assert code == 1, said
    assert "read" in said and str(disk) in said, said
    assert before == {path.name: path.read_bytes() for path in (disk / "data").iterdir()}
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    core = launch(binary, disk / "data")
    assert core.get("/home/a").body == b"kept"
    core.kill()


if __name__ == "__main__":
    scene, binary, scratch = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    try:
        {"fills": fills, "starts_full": starts_full, "read_only": read_only}[scene](binary, scratch)
    finally:
        for core in STARTED:
            core.kill()
    print(f"{scene}: ok")
