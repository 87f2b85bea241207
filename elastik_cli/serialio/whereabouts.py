"""Where the bridges of this machine say which boards they have, and how to reach those."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Each service that systemd starts has a directory of its own in here.
SYSTEM = Path("/run/elastik-serial")


@dataclass(frozen=True)
class Bridged:
    """A board that a running bridge has: its name, its device, the bridge's socket."""

    id: str
    device: str
    socket: str
    pid: int


def directory() -> Path:
    """Where a bridge of this user writes: ELASTIK_SERIAL_RUN, XDG_RUNTIME_DIR, else a temp dir."""
    if given := os.environ.get("ELASTIK_SERIAL_RUN"):
        return Path(given)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "elastik"
    return Path(tempfile.gettempdir()) / f"elastik-{os.getuid()}"


def own_directory() -> Path:
    """The directory, made and ours alone; OSError when somebody else owns it."""
    place = directory()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{place} belongs to another user")
    return place


class Sign:
    """What one bridge tells about itself, for as long as it runs."""

    def __init__(self) -> None:
        base = own_directory() / f"bridge-{os.getpid()}"
        self.file, self.socket = base.with_suffix(".json"), base.with_suffix(".sock")
        self.remove()

    def tell(self, boards: dict[str, str]) -> None:
        """Name the boards and their devices."""
        record = {"pid": os.getpid(), "socket": str(self.socket), "boards": boards}
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(record))
        os.replace(part, self.file)

    def remove(self) -> None:
        for path in (self.file, self.socket):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def bridged() -> Iterator[Bridged]:
    """Every board that some running bridge has and whose bridge may be asked."""
    services = sorted(SYSTEM.glob("*/")) if SYSTEM.is_dir() else []
    for place in dict.fromkeys([directory(), *services]):
        for file in sorted(place.glob("bridge-*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                record: dict[str, Any] = json.loads(file.read_text())
                if _alive(record["pid"]):
                    for name, device in record["boards"].items():
                        yield Bridged(name, device, record["socket"], record["pid"])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
