"""Secrets: read from the environment, a file, a command or the keyring, never from argv."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from elastik_cli.exits import Exit, Failure

TIERS = ("read", "write", "approve")

# For each need, the tiers in the order they are tried: weakest that suffices first.
SUFFICES = {
    "read": ("read", "write", "approve"),
    "write": ("write", "approve", "read"),
    "approve": ("approve", "write", "read"),
}


@dataclass(frozen=True)
class Secret:
    """A secret that is read when it is needed; `origin` says where it comes from."""

    origin: str
    read: Callable[[], str]


def from_value(origin: str, value: str) -> Secret:
    return Secret(origin, lambda: value)


def from_file(origin: str, path: str | Path) -> Secret:
    return Secret(f"{origin} ({path})", lambda: read_secret_file(Path(path)))


def from_command(origin: str, words: list[str]) -> Secret:
    return Secret(f"{origin} ({words[0]})", lambda: _ask_command(words))


def from_keyring(origin: str, name: str) -> Secret:
    return Secret(f"{origin} (keyring {name})", lambda: _ask_keyring(name))


def from_environment(
    variable: str, env: Mapping[str, str], source: str, base: Path | None = None
) -> Secret | None:
    """The secret in `variable`, else in the file that `variable`_FILE names; blank is unset."""
    if env.get(variable, "").strip():
        return from_value(f"{source} {variable}", env[variable])
    if path := env.get(f"{variable}_FILE"):
        return from_file(f"{source} {variable}_FILE", (base or Path()) / path)
    return None


def read_secret_file(path: Path) -> str:
    """The secret in `path` (`-`: standard input) without exactly one trailing newline.

    Raises:
        Failure: when the file is missing, open to others, empty or not text.
    """
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read()
        else:
            _refuse_open_file(path)
            content = path.read_bytes()
        text = content.decode()
    except OSError as error:
        raise Failure(f"secret file {path}: {error.strerror}", Exit.FAILED) from None
    except UnicodeDecodeError:
        raise Failure(f"secret file {path}: not UTF-8 text", Exit.FAILED) from None
    text = text[:-1] if text.endswith("\n") else text
    if not text.strip():
        raise Failure(f"secret file {path}: empty", Exit.FAILED)
    return text


def _refuse_open_file(path: Path) -> None:
    mode = path.stat().st_mode
    if os.name == "nt" or not stat.S_ISREG(mode) or not mode & 0o077 or _is_handed_in(path):
        return
    raise Failure(
        f"secret file {path}: others may read it (mode {stat.S_IMODE(mode):04o})",
        Exit.FAILED,
        f"chmod 600 {path}",
    )


def _is_handed_in(path: Path) -> bool:
    """Whether a service manager put the file there and answers for its mode."""
    homes = ["/run/secrets", os.environ.get("CREDENTIALS_DIRECTORY", "")]
    return any(home and Path(home) in path.absolute().parents for home in homes)


def _ask_command(words: list[str]) -> str:
    import subprocess

    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"token command {words[0]}: {error}", Exit.FAILED) from None
    return done.stdout.decode().rstrip("\r\n")


def _ask_keyring(name: str) -> str:
    try:
        import keyring
    except ImportError:
        raise Failure("the keyring package is missing", hint="pip install keyring") from None
    if token := keyring.get_password("elastik", name):
        return str(token)
    raise Failure(f"keyring: no token named {name}", hint=f"keyring set elastik {name}")


SYSTEM = ("etc", "lib", "boot", "usr")


def need_to_write(path: str) -> str:
    """The tier that may write to the canonical `path`: system namespaces ask for approve."""
    system = path.split("/", 1)[0] in SYSTEM or path.startswith("var/log/")
    return "approve" if system else "write"
