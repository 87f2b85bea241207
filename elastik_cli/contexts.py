"""Contexts: named servers with their tokens, kept in the config file."""

from __future__ import annotations

import os
import re
import secrets as randomness
import shlex
from collections.abc import Iterable
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
from elastik_cli.session import Session
from elastik_cli.settings import DEFAULT_URL


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


def listed(session: Session) -> list[dict[str, Any]]:
    """Every context with its URL."""
    tables = session.config.get("contexts", {})
    chosen = None if session.flags.no_context else session.context_name
    return [
        {"context": name, "url": table.get("url", DEFAULT_URL), "selected": name == chosen}
        for name, table in sorted(tables.items())
    ]


def in_force(session: Session) -> list[dict[str, Any]]:
    """Every setting of the client with its value and source; of a token only the source."""
    server = session.server
    rows = [
        ("config", str(config_file()), "ELASTIK_CONFIG" if _named() else "default"),
        ("context", session.context_name or "-", _context_source(session)),
        ("url", server.url, server.url_source),
    ]
    for tier in TIERS:
        secret = server.tokens.get(tier)
        rows.append((f"{tier}_token", "set" if secret else "-", secret.origin if secret else "-"))
    rows += [("not sent", "-", reason) for reason in server.kept_back]
    rows += [("timeout", f"{session.timeout:g}s", "-"), ("retry", str(session.retry), "-")]
    return [{"setting": name, "value": value, "source": source} for name, value, source in rows]


def _named() -> bool:
    return bool(os.environ.get("ELASTIK_CONFIG"))


def _context_source(session: Session) -> str:
    if session.flags.no_context:
        return "--no-context"
    if session.flags.context:
        return "--context"
    if os.environ.get("ELASTIK_CONTEXT"):
        return "ELASTIK_CONTEXT"
    return "config file" if session.context_name else "-"


def parsed(settings: Iterable[str]) -> dict[str, Any]:
    """KEY=VALUE words as values for `save`; an empty value is None.

    Raises:
        Failure: when a word is none, or a number is asked for and not given.
    """
    found: dict[str, Any] = {}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise Failure(f"not KEY=VALUE: {word!r}", Exit.USAGE)
        if key == "token_command":
            found[key] = shlex.split(value) or None
        elif key == "port" and value:
            if not value.isdigit():
                raise Failure(f"not a port: {value!r}", Exit.USAGE)
            found[key] = int(value)
        else:
            found[key] = value or None
    return found
