"""The config file: where it lies, what it says, how it is written back."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elastik_cli.exits import Exit, Failure

HEADER = "# Settings of the elastik command; see `elastik help config`.\n"

# Everything a context may hold, with what it means; the docs are printed from here.
CONTEXT_KEYS = {
    "url": "address of the server",
    "read_token_file": "file with the read token",
    "write_token_file": "file with the write token",
    "approve_token_file": "file with the approve token",
    "token_command": "command that prints a token, as a list of words",
    "token_keyring": "name of the token in the system's keyring",
    "cafile": "certificates to trust for https",
    "key_file": "file with the audit key (for run)",
    "data_dir": "data directory (for run)",
    "host": "address to listen on (for run)",
    "port": "port to listen on (for run)",
}
DEFAULT_KEYS = {
    "timeout": "how long to wait for a connection and the first byte",
    "retry": "how often to try again when nothing answers",
    "color": "auto, always or never",
}


def config_file(env: Mapping[str, str] = os.environ) -> Path:
    """The config file: ELASTIK_CONFIG, else `config.toml` in the user's config directory."""
    if given := env.get("ELASTIK_CONFIG"):
        return Path(given)
    return config_dir(env) / "config.toml"


def config_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The directory of the config file, where `init` puts its keys and tokens."""
    if given := env.get("ELASTIK_CONFIG"):
        return Path(given).absolute().parent
    return _of_user("config", "XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """Where `listen --state` remembers what it has handled."""
    return _of_user("state", "XDG_STATE_HOME", ".local/state")


def user_data_dir() -> Path:
    """Where data directories live that nobody placed elsewhere."""
    return _of_user("data", "XDG_DATA_HOME", ".local/share")


def _of_user(kind: str, variable: str, default: str) -> Path:
    """The user's directory of a kind, as platformdirs says; on Linux without its import.

    Every run of the command asks for the first one, and that import takes a tenth of the time.
    """
    if sys.platform == "linux":
        named = os.environ.get(variable, "").strip()
        return Path(named or os.path.expanduser(f"~/{default}")) / "elastik"
    import platformdirs

    directory: str = getattr(platformdirs, f"user_{kind}_dir")("elastik")
    return Path(directory)


def read_config(path: Path) -> dict[str, Any]:
    """What the config file says; a missing one says nothing.

    Raises:
        Failure: when the file cannot be read or is not TOML.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", Exit.FAILED) from None
    try:
        return _parse(text.decode())
    except ValueError as error:
        raise Failure(f"{path}: {error}", Exit.USAGE, "mend it, or set ELASTIK_CONFIG") from None


def _parse(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib as toml
    else:
        import tomli as toml
    return toml.loads(text)


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Replace the config file whole (0600), never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [HEADER]
    lines += [f"{_key(k)} = {_value(v)}\n" for k, v in config.items() if not isinstance(v, dict)]
    for name, table in config.items():
        if isinstance(table, dict):
            lines += _tables([name], table)
    replace_file(path, "".join(lines).encode())


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write `content` beside `path`, sync it, and rename it over `path`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _tables(names: list[str], table: Mapping[str, Any]) -> list[str]:
    own = [f"{_key(k)} = {_value(v)}\n" for k, v in table.items() if not isinstance(v, dict)]
    lines = [f"\n[{'.'.join(map(_key, names))}]\n", *own] if own or not table else []
    for name, inner in table.items():
        if isinstance(inner, dict):
            lines += _tables([*names, name], inner)
    return lines


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    import json

    # A TOML basic string takes JSON's escapes, but DEL must be escaped and JSON leaves it.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
