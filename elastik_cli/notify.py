"""Tell systemd how the service is doing (sd_notify(3)); silent outside of it."""

from __future__ import annotations

import os
import socket


def tell(*states: str) -> None:
    """Send `states` such as READY=1 to the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A leading @ names a socket in Linux's abstract space.
    where = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(where)
            sock.send("\n".join(states).encode())
    except OSError:
        pass


def watchdog_interval() -> float | None:
    """Seconds between signs of life: half of what the manager allows; None if it asks none."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(micros) / 2e6 if micros.isdigit() and mine else None
