"""Which server to talk to and what it may be told: every value with its source.

A setting comes from a flag, else the environment, else the selected context, else `.env`,
else it is built in. A token goes only to the URL of its own source: what the environment
holds never reaches a server that a context or a `.env` file names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from elastik_cli import secrets
from elastik_cli.exits import Exit, Failure
from elastik_cli.secrets import SUFFICES, TIERS, Secret

DEFAULT_URL = "http://127.0.0.1:3105"


@dataclass
class Source:
    """One place settings come from. Its tokens belong to `url`, or to the default URL."""

    name: str
    url: str | None = None
    tokens: dict[str, Secret] = field(default_factory=dict)
    cafile: str | None = None

    @property
    def home(self) -> str:
        """The only URL that this source's tokens may be sent to."""
        return self.url or DEFAULT_URL


@dataclass
class Server:
    """The server a verb talks to, the tokens that belong to it, and those that do not."""

    url: str
    url_source: str
    tokens: dict[str, Secret]
    kept_back: list[str]
    cafile: str | None = None

    def token_for(self, need: str) -> Secret | None:
        """The weakest token that suffices for `need`; if none does, the strongest there is."""
        return next((self.tokens[tier] for tier in SUFFICES[need] if tier in self.tokens), None)


def choose_server(sources: list[Source]) -> Server:
    """The first source with a URL names the server; tokens come only from sources of that URL.

    A token in a source without a URL of its own keeps a weaker source from choosing the server,
    except a context: selecting one is the user's own act, a `.env` file may be anybody's.
    """
    url, chosen = DEFAULT_URL, "default"
    for source in sources:
        if source.url:
            url, chosen = source.url, source.name
            break
        if source.tokens and source.name == "environment" and not _context_follows(sources):
            break
    tokens: dict[str, Secret] = {}
    kept_back: list[str] = []
    for source in sources:
        if not same_server(source.home, url) and source.name != "flag":
            kept_back += [f"{s.origin} belongs to {source.home}" for s in source.tokens.values()]
        elif not tokens:
            tokens = source.tokens
    cafile = next((s.cafile for s in sources if s.cafile and same_server(s.home, url)), None)
    return Server(url, chosen, tokens, kept_back, cafile)


def _context_follows(sources: list[Source]) -> bool:
    return any(s.url and s.name.startswith("context ") for s in sources)


def same_server(one: str, other: str) -> bool:
    """Whether two URLs name the same server: scheme, host, port and path are equal."""
    return _parts(one) == _parts(other)


def _parts(url: str) -> tuple[str, str, int | None, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443, "coap": 5683}.get(parts.scheme.lower())
    except ValueError:
        raise Failure(f"not a URL: {url}", Exit.USAGE) from None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port, parts.path.rstrip("/")


def environment(env: Mapping[str, str], name: str, base: Path | None = None) -> Source:
    """What ELASTIK_* variables in `env` say; a `_FILE` is relative to `base`."""
    tokens = {}
    for tier in TIERS:
        secret = secrets.from_environment(f"ELASTIK_{tier.upper()}_TOKEN", env, name, base)
        if secret:
            tokens[tier] = secret
    if "write" not in tokens and (old := secrets.from_environment("ELASTIK_TOKEN", env, name)):
        tokens["write"] = old
    return Source(name, _env_url(env), tokens, env.get("ELASTIK_CAFILE"))


def _env_url(env: Mapping[str, str]) -> str | None:
    if url := env.get("ELASTIK_URL"):
        return url.rstrip("/")
    if not (env.get("ELASTIK_HOST") or env.get("ELASTIK_PORT")):
        return None
    host = env.get("ELASTIK_HOST") or "127.0.0.1"
    host = "127.0.0.1" if host == "0.0.0.0" else host
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{env.get('ELASTIK_PORT') or 3105}"


def from_context(name: str, context: Mapping[str, Any], base: Path) -> Source:
    """What the context `name` says; its files are relative to the config file's directory."""
    origin = f"context {name}"
    tokens = {}
    for tier in TIERS:
        if path := context.get(f"{tier}_token_file"):
            tokens[tier] = secrets.from_file(origin, base / path)
    if not tokens and (words := context.get("token_command")):
        tokens = dict.fromkeys(TIERS, secrets.from_command(origin, list(map(str, words))))
    if not tokens and (entry := context.get("token_keyring")):
        tokens = dict.fromkeys(TIERS, secrets.from_keyring(origin, str(entry)))
    url = str(context.get("url") or DEFAULT_URL).rstrip("/")
    return Source(origin, url, tokens, context.get("cafile"))


def read_dotenv(env: Mapping[str, str] = os.environ, path: Path = Path(".env")) -> dict[str, str]:
    """The ELASTIK_* lines of `path` that `env` lacks; none with ELASTIK_NO_DOTENV."""
    if env.get("ELASTIK_NO_DOTENV", "") not in ("", "0"):
        return {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and name.strip().startswith("ELASTIK_") and name.strip() not in env:
            found[name.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
