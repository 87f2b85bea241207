"""The completion scripts as files, for packages of operating systems and for the wheel."""

from __future__ import annotations

from elastik_cli.shells import SHELLS


def render() -> dict[str, str]:
    """Each script's path and text."""
    return {f"completions/{name}": text for name, text in SHELLS.values()}
