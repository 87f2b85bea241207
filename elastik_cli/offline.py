"""Work on a data directory without a server: the core's own commands, with our settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from elastik_cli import core_process, serving
from elastik_cli.options import all_of
from elastik_cli.session import Session

data_dir = click.option("--data-dir", metavar="DIR", help="The store's directory, as for run.")
key_file = click.option("--key-file", metavar="FILE", help="File with the audit key, as for run.")
keyring = click.option("--keyring", metavar="DIR", help="Directory with older keys, a file each.")
store: Callable[[Any], Any] = all_of(data_dir, key_file)
store_with_past: Callable[[Any], Any] = all_of(data_dir, key_file, keyring)


def hand_over(session: Session, words: list[str], given: dict[str, Any], *rest: str) -> None:
    """Become `elastik-core WORDS REST`: its streams and its exit code are this command's.

    The store and its key go by environment, as `run` gives them.

    Raises:
        Failure: when there is no key, or no core.
    """
    work = serving.of_store(session, given)
    asked = [*words, *(["--json"] if session.out.json else []), *rest]
    core_process.become(session, work, asked)


def flags(**values: Any) -> list[str]:
    """`--name=value` for each value that was given, `--name` for a switch that is on."""
    found = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if value is not None and value is not False:
            found.append(flag if value is True else f"{flag}={value}")
    return found
