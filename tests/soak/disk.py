"""Drives disk.c: compiles it, orders failures, and cuts the power of a simulated disk."""

from __future__ import annotations

import mmap
import os
import random
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import gettempdir

SOURCE = Path(__file__).with_name("disk.c")
SECTOR = 512
STRIDE = 1 << 16


@cache
def library() -> Path:
    """The compiled shim, made anew when its source changed."""
    built = Path(gettempdir()) / f"elastik-disk-{os.getuid()}" / "disk.so"
    if not built.exists() or built.stat().st_mtime < SOURCE.stat().st_mtime:
        built.parent.mkdir(mode=0o700, exist_ok=True)
        compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
        fresh = built.with_suffix(f".{os.getpid()}")
        flags = ["-shared", "-fPIC", "-O2", "-Wall"]
        subprocess.run([compiler, *flags, "-o", fresh, SOURCE, "-ldl"], check=True)
        fresh.rename(built)
    return built


class Orders:
    """The page shared with the shim: counters, and what is to fail (struct orders in disk.c)."""

    LAYOUT = struct.Struct("=IIIi" + "iii20s" * 2)
    SYNC, WRITE = 16, 48

    def __init__(self, path: Path):
        self.path = path
        path.write_bytes(bytes(self.LAYOUT.size))
        with path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), self.LAYOUT.size)

    def _set(self, at: int, countdown: int, times: int, error: int, suffix: str) -> None:
        # The countdown last: the shim looks at nothing else while it is 0.
        self.page[at : at + 4] = bytes(4)
        self.page[at + 4 : at + 32] = struct.pack("=ii20s", times, error, suffix.encode())
        self.page[at : at + 4] = struct.pack("=i", countdown)

    def fail_sync(self, nth: int, error: int, suffix: str, times: int = 1) -> None:
        """Fail the nth fsync from now of a file whose name ends so; `times` 0 is from then on."""
        self._set(self.SYNC, nth, times, error, suffix)

    def fail_write(self, nth: int, error: int, suffix: str, times: int = 1) -> None:
        self._set(self.WRITE, nth, times, error, suffix)

    def kill_in(self, calls: int) -> None:
        """SIGKILL before this many further calls that change something on the disk."""
        self.page[12:16] = struct.pack("=i", calls)

    def clear(self) -> None:
        self.page[: self.LAYOUT.size] = bytes(self.LAYOUT.size)

    @property
    def writes(self) -> int:
        return self.LAYOUT.unpack(self.page[:])[0]

    @property
    def syncs(self) -> int:
        return self.LAYOUT.unpack(self.page[:])[1]

    @property
    def hits(self) -> int:
        """Calls that failed as ordered."""
        return self.LAYOUT.unpack(self.page[:])[2]


class Disk:
    """The data directory `data` on a disk that forgets what was not synced."""

    def __init__(self, scratch: Path):
        scratch = scratch.resolve()
        self.data, self.image = scratch / "data", scratch / "image"
        self.data.mkdir(exist_ok=True)
        self.orders = Orders(scratch / "orders")
        self.warm = False

    def environment(self) -> dict[str, str]:
        """For a core that runs on this disk; `warm` says that the machine was not off since."""
        if not self.warm:
            shutil.rmtree(self.image, ignore_errors=True)
            self.image.mkdir()
        found = {
            "LD_PRELOAD": str(library()),
            "DISK_ROOT": str(self.data),
            "DISK_IMAGE": str(self.image),
            "DISK_ORDERS": str(self.orders.path),
        }
        return found | ({"DISK_KEEP": "1"} if self.warm else {})

    def names(self, listing: str) -> dict[int, str]:
        path = self.image / listing
        lines = path.read_text().splitlines() if path.exists() else []
        return {int(number): name for number, name in (line.split(" ", 1) for line in lines)}

    def cut(self, chance: random.Random, kept: float) -> None:
        """The power fails: of what was not synced each sector is kept with chance `kept`.

        The core must be dead. Names that were not synced are kept or lost as a whole.
        """
        if not all((self.image / listing).exists() for listing in ("dir", "names")):
            return  # It died before its first call: the image is not complete, the data is.
        synced, seen = self.names("dir"), self.names("names")
        # It may have died between removing a file and noting that.
        seen = {number: name for number, name in seen.items() if (self.data / name).exists()}
        survivors: dict[str, bytes] = {}
        for number in sorted(synced.keys() | seen.keys()):
            name = synced.get(number) or seen[number]
            same = number in synced and number in seen
            if not same and chance.random() >= (kept if number in seen else 1 - kept):
                continue
            image = self.image / f"f{number}"
            old = image.read_bytes() if image.exists() else b""
            new = (self.data / name).read_bytes() if number in seen else old
            survivors[name] = torn(old, new, chance, kept)
        shutil.rmtree(self.data)
        self.data.mkdir()
        for name, content in survivors.items():
            (self.data / name).write_bytes(content)
        self.warm = False


def torn(old: bytes, new: bytes, chance: random.Random, kept: float) -> bytes:
    """The old bytes, of whose changed sectors some are new."""
    if old == new or kept == 0:
        return old
    size = len(new) if chance.random() < kept else len(old)
    found = bytearray(old[:size].ljust(size, b"\0"))
    for stride in range(0, min(size, len(new)), STRIDE):
        if old[stride : stride + STRIDE] == new[stride : stride + STRIDE]:
            continue
        for at in range(stride, min(stride + STRIDE, size, len(new)), SECTOR):
            sector = new[at : min(at + SECTOR, size)]
            if old[at : at + SECTOR] != sector and chance.random() < kept:
                found[at : at + len(sector)] = sector
    return bytes(found)
