"""The ports of this machine with what can be said of each without opening it."""

from __future__ import annotations

import os
from typing import Any

from elastik_cli.serialio import ports, whereabouts


def listing() -> list[dict[str, Any]]:
    """One record for each port, and for each board of a bridge whose port is not listed."""
    bridged = {os.path.realpath(b.device): b for b in whereabouts.bridged()}
    records = []
    for device in ports.devices():
        board = bridged.pop(os.path.realpath(device.device), None)
        state = f"bridged as {board.id}" if board else state_of(device.device)
        records.append(_record(device, state))
    for board in bridged.values():
        records.append(_record(ports.Device(board.device), f"bridged as {board.id}"))
    return records


def _record(device: ports.Device, state: str) -> dict[str, Any]:
    return {
        "device": device.device,
        "state": state,
        "usb": device.usb,
        "serial": device.serial,
        "product": device.product,
        "manufacturer": device.manufacturer,
        "location": device.location,
        "by_id": device.by_id,
        "name": device.name,
    }


def state_of(device: str) -> str:
    """Free, busy or no permission. Only locks are looked at: opening would reset some boards."""
    if not os.access(device, os.R_OK | os.W_OK):
        return "no permission"
    try:
        file = os.stat(device)
        # A line of proc(5) names what is locked: `1: FLOCK … PID MAJOR:MINOR:INODE 0 EOF`.
        mark = f" {os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino} "
        with open("/proc/locks") as locks:
            held = any(mark in line for line in locks if "FLOCK" in line)
    except OSError:
        return "free"
    return "busy" if held else "free"
