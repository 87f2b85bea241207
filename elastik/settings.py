"""Where a client goes and with which token, from the ELASTIK_* environment."""

from __future__ import annotations

import os
import warnings


def default_url() -> str:
    """`ELASTIK_URL`, else ``http://ELASTIK_HOST:ELASTIK_PORT`` (127.0.0.1 and 3105)."""
    explicit = os.environ.get("ELASTIK_URL")
    if explicit:
        return explicit
    host = os.environ.get("ELASTIK_HOST") or "127.0.0.1"
    return client_url(host, parse_port(os.environ.get("ELASTIK_PORT", "3105"), "ELASTIK_PORT"))


def client_url(host: str, port: int) -> str:
    """The URL by which a local client reaches a core that binds `host`."""
    reach = connect_host(host)
    return f"http://[{reach}]:{port}" if ":" in reach else f"http://{reach}:{port}"


def connect_host(host: str) -> str:
    """An any-address is no destination: 0.0.0.0 and :: become loopback."""
    bare = host.strip("[]")
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare, bare)


def parse_port(value: str | int, source: str) -> int:
    """A port number from 0 to 65535; RuntimeError names `source` otherwise."""
    try:
        port = int(value)
    except ValueError:
        raise RuntimeError(f"{source} must be an integer; got {value!r}") from None
    if not 0 <= port <= 65535:
        raise RuntimeError(f"{source} must be between 0 and 65535; got {port}")
    return port


def write_token() -> str:
    """`ELASTIK_WRITE_TOKEN`, else its old name `ELASTIK_TOKEN` with a warning."""
    token = os.environ.get("ELASTIK_WRITE_TOKEN", "")
    old = os.environ.get("ELASTIK_TOKEN", "")
    if old and not token:
        warnings.warn(
            "ELASTIK_TOKEN is deprecated; rename it to ELASTIK_WRITE_TOKEN.",
            UserWarning,
            stacklevel=4,
        )
    return token or old


def strongest_token() -> str:
    """The approve, write or read token of the environment, the first that is set."""
    write = write_token()
    approve = os.environ.get("ELASTIK_APPROVE_TOKEN", "")
    return approve or write or os.environ.get("ELASTIK_READ_TOKEN", "")


def is_configured() -> bool:
    """True when the environment names a server or a token, so that a default client makes sense."""
    names = ("URL", "HOST", "PORT", "WRITE_TOKEN", "READ_TOKEN", "APPROVE_TOKEN", "TOKEN")
    return any(os.environ.get("ELASTIK_" + name) for name in names)
