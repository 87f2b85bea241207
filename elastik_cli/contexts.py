"""Contexts: named servers with their tokens, kept in the config file."""

from __future__ import annotations

import os
import re
import secrets as randomness
from pathlib import Path
from typing import Any

from elastik_cli.config import (
    CONTEXT_KEYS,
    config_dir,
    config_file,
    read_config,
    user_data_dir,
    write_config,
)
from elastik_cli.exits import Exit, Failure
from elastik_cli.secrets import TIERS


def checked_name(name: str) -> str:
    """A name that is safe as part of a file name.

    Raises:
        Failure: when it is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise Failure(f"not a context name: {name!r}", Exit.USAGE, "use letters, digits, . _ -")
    return name


def save(name: str, values: dict[str, Any], *, select: bool = False) -> None:
    """Set `values` in the context `name`; None removes one. The first context is selected."""
    path = config_file()
    config = read_config(path)
    table = config.setdefault("contexts", {}).setdefault(checked_name(name), {})
    for key, value in values.items():
        if key not in CONTEXT_KEYS:
            known = ", ".join(CONTEXT_KEYS)
            raise Failure(f"a context has no {key}", Exit.USAGE, f"it has {known}")
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    if select or not config.get("context"):
        config = {"context": name} | {k: v for k, v in config.items() if k != "context"}
    write_config(path, config)


def select(name: str) -> None:
    """Make `name` the context that is used when none is named."""
    _existing(name)
    config = read_config(config_file())
    write_config(config_file(), {"context": name} | config | {"context": name})


def remove(name: str) -> None:
    """Forget the context; its key, tokens and data stay on disk."""
    _existing(name)
    config = read_config(config_file())
    del config["contexts"][name]
    if config.get("context") == name:
        del config["context"]
    write_config(config_file(), config)


def _existing(name: str) -> dict[str, Any]:
    table = read_config(config_file()).get("contexts", {}).get(name)
    if table is None:
        raise Failure(f"no such context: {name}", Exit.NOT_FOUND, "elastik context list")
    return dict(table)


def make(name: str, data_dir: str | None, host: str | None, port: int | None) -> dict[str, Any]:
    """Make a key, three tokens, a data directory and the context that names them.

    Nothing that exists is overwritten: a lost key is a lost store.

    Raises:
        Failure: when the context or one of its files exists already.
    """
    checked_name(name)
    if name in read_config(config_file()).get("contexts", {}):
        raise Failure(f"the context {name} exists already", Exit.CONFLICT, "choose another name")
    home = config_dir() / name
    files = {"key_file": home / "key"}
    files |= {f"{tier}_token_file": home / f"{tier}.token" for tier in TIERS}
    for path in files.values():
        if path.exists():
            raise Failure(f"{path} exists already", Exit.CONFLICT, "choose another name")
    data = Path(data_dir).absolute() if data_dir else user_data_dir() / name
    for directory in (home, data):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    data.chmod(0o700)
    for path in files.values():
        _write_secret(path, randomness.token_hex(32))
    shown = f"[{host}]" if host and ":" in host else host or "127.0.0.1"
    table: dict[str, Any] = {"url": f"http://{shown}:{port or 3105}", "data_dir": str(data)}
    table |= {key: str(path) for key, path in files.items()}
    table |= {"host": host} if host else {}
    table |= {"port": port} if port else {}
    save(name, table)
    return table


def _write_secret(path: Path, secret: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
