"""The systemd units of the server: for the machine (root) or for one user."""

from __future__ import annotations

import os
from pathlib import Path

from elastik_cli.config import config_dir, replace_file
from elastik_cli.exits import Exit, Failure

SECRETS = ("key", "read-token", "write-token", "approve-token")
# What only the system's manager can do; a user's own has no privileges to drop.
HARDENING = """\
DynamicUser=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
RestrictNamespaces=yes
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM"""


def secrets_dir(system: bool) -> Path:
    """Where the unit expects its secrets, a file each."""
    return Path("/etc/elastik") if system else config_dir(os.environ) / "service"


def text(core: Path, *, system: bool) -> str:
    """The unit for this core; without a token's file that tier is off, as always."""
    where = secrets_dir(system)
    lines = []
    for name in SECRETS:
        # A missing credential fails the start, so only those that are there are asked for.
        if name == "key" or (where / name).exists():
            variable = f"ELASTIK_{name.replace('-', '_').upper()}_FILE"
            lines += [f"LoadCredential={name}:{where / name}", f"Environment={variable}=%d/{name}"]
    values = {
        "core": str(core),
        "data": "%S/elastik",
        "config": str(where),
        "credentials": "\n".join(lines),
        "hardening": HARDENING
        if system
        else "# The user's manager runs it with the user's rights.",
        "target": "multi-user.target" if system else "default.target",
    }
    unit = _packed("elastik.service")
    for name, value in values.items():
        unit = unit.replace(f"@{name}@", value)
    return unit


def _packed(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def install(core: Path) -> tuple[list[Path], str]:
    """Write the service and its socket where systemd looks; the files, and what comes next.

    Raises:
        Failure: when a unit of that name is there that is not ours to replace.
    """
    system = os.geteuid() == 0
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folder = Path("/etc/systemd/system") if system else config / "systemd" / "user"
    wanted = {
        folder / "elastik.service": text(core, system=system),
        folder / "elastik.socket": _packed("elastik.socket"),
    }
    for unit, content in wanted.items():
        _refuse_a_stranger(unit, content.partition("\n")[0])
    folder.mkdir(parents=True, exist_ok=True)
    for unit, content in wanted.items():
        replace_file(unit, content.encode(), 0o644)
    manager = "systemctl" if system else "systemctl --user"
    return list(wanted), f"{manager} daemon-reload && {manager} enable --now elastik"


def _refuse_a_stranger(unit: Path, first_line: str) -> None:
    if unit.exists():
        there = unit.read_text(encoding="utf-8", errors="replace")
        if not there.startswith(first_line):
            raise Failure(f"{unit} is there and not of this making", Exit.CONFLICT, f"rm {unit}")
