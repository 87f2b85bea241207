"""Serial ports of this machine: which there are, which one is meant, whose board it is."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

BY_ID = "/dev/serial/by-id"
_USB = re.compile(r"([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::(.+))?")
_ANY_NUMBER = re.compile(r"tty(USB|ACM)\d+$")


@dataclass(frozen=True)
class Device:
    """One port and what USB tells of what is plugged into it."""

    device: str
    by_id: str = ""
    vid: int | None = None
    pid: int | None = None
    serial: str = ""
    location: str = ""
    product: str = ""
    manufacturer: str = ""

    @property
    def usb(self) -> str:
        return "" if self.vid is None else f"{self.vid:04x}:{self.pid or 0:04x}"

    @property
    def identity(self) -> str:
        """What stays the same when it is plugged in again, under whatever name."""
        if self.serial:
            return f"{self.usb}:{self.serial}"
        return f"{self.usb}@{self.location}" if self.location else self.device

    @property
    def name(self) -> str:
        """A name for the board: its serial number, else where it is plugged in, else the file.

        Never ttyUSB0 and its like, which is another board tomorrow.
        """
        if self.serial:
            return sanitised(self.serial)
        if self.location:
            return sanitised(f"usb-{self.location}")
        if self.by_id:
            return sanitised(os.path.basename(self.by_id))
        base = os.path.basename(self.device)
        return "" if _ANY_NUMBER.fullmatch(base) else sanitised(base)


def sanitised(text: str) -> str:
    """`text` as one path segment of at most 64 letters, digits, dots, dashes and underscores."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:64]
    return name or "board"


def devices() -> list[Device]:
    """Every serial port that the system lists."""
    from serial.tools.list_ports import comports

    links = by_id_links()
    return sorted((_device(port, links) for port in comports()), key=lambda d: d.device)


def by_id_links(folder: str = BY_ID) -> dict[str, str]:
    """Real device -> its name in /dev/serial/by-id."""
    return {os.path.realpath(link): link for link in sorted(glob.glob(f"{folder}/*"))}


def _device(port: Any, links: dict[str, str]) -> Device:
    return Device(
        device=port.device,
        by_id=links.get(os.path.realpath(port.device), ""),
        vid=port.vid,
        pid=port.pid,
        serial=port.serial_number or "",
        location=port.location or "",
        product=port.product or "",
        manufacturer=port.manufacturer or "",
    )


def find(spec: str, listed: Iterable[Device] | None = None) -> Device | None:
    """The port that `spec` means: a path, `by-id:GLOB`, `VID:PID` or `VID:PID:SERIAL`.

    Raises:
        ValueError: when several ports fit.
    """
    known = devices() if listed is None else list(listed)
    if spec.startswith("by-id:"):
        pattern = spec.removeprefix("by-id:")
        fits = [d for d in known if d.by_id and fnmatch(os.path.basename(d.by_id), pattern)]
    elif match := _USB.fullmatch(spec):
        vid, pid = int(match[1], 16), int(match[2], 16)
        fits = [d for d in known if (d.vid, d.pid) == (vid, pid)]
        fits = [d for d in fits if match[3] in (None, d.serial)]
    else:
        if not os.path.exists(spec):
            return None
        real = os.path.realpath(spec)
        fits = [d for d in known if os.path.realpath(d.device) == real] or [Device(spec)]
    if len(fits) > 1:
        names = ", ".join(d.device for d in fits)
        raise ValueError(f"{spec} fits several ports: {names}")
    return fits[0] if fits else None


def again(before: Device, spec: str, placed: bool = False) -> Device | None:
    """The same board after it was unplugged, under whatever name it came back.

    With `placed` it shares its serial number with another, and its place must be the same.
    """
    known = devices()
    if not (before.serial or before.location):
        return find(spec, known)
    same = [d for d in known if d.identity == before.identity]
    if placed or len(same) > 1:
        same = [d for d in same if d.location == before.location]
    return same[0] if same else None


def chosen(
    listed: Iterable[Device], include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> list[Device]:
    """The ports whose names fit one of `include` (all without one) and none of `exclude`.

    A name is the device, the by-id name, VID:PID, the product or the serial number. A port that
    is no USB device must be named: a fixed ttyS0 is seldom a board.
    """
    include, exclude = list(include), list(exclude)

    def fits(device: Device, patterns: list[str]) -> bool:
        names = [device.device, os.path.basename(device.by_id), device.usb]
        names += [device.product, device.serial]
        return any(fnmatch(name, pattern) for name in names if name for pattern in patterns)

    return [
        d
        for d in listed
        if (fits(d, include) if include else d.vid is not None) and not fits(d, exclude)
    ]
