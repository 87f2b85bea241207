"""What `run` gives the core: each setting with its source, secrets by environment only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elastik_cli import secrets, settings
from elastik_cli.config import user_data_dir
from elastik_cli.exits import Exit, Failure
from elastik_cli.secrets import Secret
from elastik_cli.session import Session

SECRETS = ("key", *(f"{tier}_token" for tier in secrets.TIERS))
NO_KEY_HINT = "elastik init (makes one), or set ELASTIK_KEY or ELASTIK_KEY_FILE, or --key-file"


@dataclass
class Serving:
    """The core's environment, and for each setting where it came from."""

    environment: dict[str, str]
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> str:
        return self.environment["ELASTIK_DATA"]


class Collector:
    """Flag > environment > `.env` > context > default, one variable at a time.

    A `.env` with a key is a whole set-up of its own (a project's), so no context mixes into it.
    """

    def __init__(self, session: Session, given: dict[str, Any]) -> None:
        self.given = given
        self.dotenv = settings.read_dotenv()
        own_setup = "ELASTIK_KEY" in self.dotenv or "ELASTIK_KEY_FILE" in self.dotenv
        self.context = {} if own_setup else session.context
        self.context_name = f"context {session.context_name}"
        self.base = session.config_base

    def secret(self, name: str) -> Secret | None:
        """The key or a token: in a file a flag names, in a variable, or in the context's file."""
        variable, flag = f"ELASTIK_{name.upper()}", f"--{name.replace('_', '-')}"
        if path := self.given.get(f"{name}_file"):
            return secrets.from_file(f"{flag}-file", path)
        if value := self.given.get(name):
            return secrets.from_value(flag, value)
        found = secrets.from_environment(variable, os.environ, "environment")
        if not found and name == "write_token":
            found = secrets.from_environment("ELASTIK_TOKEN", os.environ, "environment")
        found = found or secrets.from_environment(variable, self.dotenv, ".env")
        if not found and (path := self.context.get(f"{name}_file")):
            found = secrets.from_file(self.context_name, self.base / path)
        return found

    def plain(self, name: str) -> tuple[str, str] | None:
        """The value of a setting that is no secret, with its source."""
        variable = f"ELASTIK_{name.upper().removesuffix('_DIR')}"
        if self.given.get(name) is not None:
            return str(self.given[name]), f"--{name.replace('_', '-')}"
        if os.environ.get(variable):
            return os.environ[variable], "environment"
        if self.dotenv.get(variable):
            return self.dotenv[variable], ".env"
        if self.context.get(name) is not None:
            return str(self.context[name]), self.context_name
        return None

    def data_dir(self) -> tuple[str, str]:
        """The data directory: as every setting, else ./data if it exists, else the user's own."""
        if found := self.plain("data_dir"):
            path, source = Path(found[0]), found[1]
            path = self.base / path if source == self.context_name else path
        elif Path("data").is_dir():
            path, source = Path("data"), "./data"
        else:
            path, source = user_data_dir() / "default", "default"
        return str(path.absolute()), source


def collect(session: Session, given: dict[str, Any]) -> Serving:
    """Everything the core needs to start.

    Raises:
        Failure: when there is no key, or a secret file cannot be read.
    """
    collector = Collector(session, given)
    serving = _started(collector, SECRETS)
    for name in ("host", "port"):
        if found := collector.plain(name):
            serving.environment[f"ELASTIK_{name.upper()}"], serving.sources[name] = found
    return serving


def of_store(session: Session, given: dict[str, Any]) -> Serving:
    """What work on the store without a server needs: its directory, its key, older keys.

    Raises:
        Failure: when there is no key, or its file cannot be read.
    """
    collector = Collector(session, given)
    serving = _started(collector, ("key",))
    if found := collector.plain("keyring"):
        serving.environment["ELASTIK_KEYRING"], serving.sources["keyring"] = found
    return serving


def _started(collector: Collector, names: Sequence[str]) -> Serving:
    """The secrets of these names, and the data directory."""
    serving = Serving({**collector.dotenv, **os.environ, "ELASTIK_NO_DOTENV": "1"})
    for name in names:
        variable = f"ELASTIK_{name.upper()}"
        serving.environment.pop(f"{variable}_FILE", None)
        if secret := collector.secret(name):
            serving.environment[variable] = secret.read()
            serving.sources[name] = secret.origin
    if "key" not in serving.sources:
        raise Failure("no key: set one before the first start", Exit.USAGE, NO_KEY_HINT)
    serving.environment["ELASTIK_DATA"], serving.sources["data_dir"] = collector.data_dir()
    return serving
