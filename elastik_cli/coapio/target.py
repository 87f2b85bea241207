"""Which CoAP server and which of its resources is meant: a URI, or HOST PORT PATH."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from elastik import paths
from elastik.coap.messages import URI_HOST, URI_PATH, URI_QUERY
from elastik.errors import BadPath
from elastik_cli.exits import Exit, Failure

PORTS = {"coap": 5683, "coaps": 5684}


@dataclass(frozen=True)
class Target:
    """A resource (RFC 7252 §6.4): scheme, host, port, path segments, queries."""

    scheme: str
    host: str
    port: int
    segments: tuple[str, ...]
    queries: tuple[str, ...] = ()

    @property
    def authority(self) -> str:
        """HOST:PORT, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def path(self) -> str:
        return "/".join(self.segments)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}/{self.path}"

    def options(self) -> list[tuple[int, bytes]]:
        """Uri-Host for a name, Uri-Path and Uri-Query."""
        named = not _is_address(self.host) and self.host != "localhost"
        host = [(URI_HOST, self.host.encode("idna"))] if named else []
        path = [(URI_PATH, segment.encode()) for segment in self.segments]
        return [*host, *path, *((URI_QUERY, query.encode()) for query in self.queries)]


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def target_of(words: tuple[str, ...], *, path: bool = True) -> tuple[Target, tuple[str, ...]]:
    """The target that `words` begin with, and the words after it.

    A URI is one word; HOST PORT PATH are three (two with `path` False), and PATH is a world's:
    `note` is `home/note`.

    Raises:
        Failure: when they are neither.
    """
    if words and "://" in words[0]:
        return parse_uri(words[0]), words[1:]
    count = 3 if path else 2
    if len(words) < count or not words[1].isdigit() or not 0 < int(words[1]) < 65536:
        form = "coap://HOST[:PORT]/PATH, or HOST PORT" + (" PATH" if path else "")
        raise Failure(f"no CoAP target: {' '.join(words) or '(nothing)'}", Exit.USAGE, form)
    segments: tuple[str, ...] = ()
    if path:
        try:
            segments = tuple(paths.canonical(words[2]).split("/"))
        except BadPath as error:
            if words[2].strip("/") != ".well-known/core":
                raise Failure(str(error), Exit.USAGE) from None
            segments = (".well-known", "core")
    return Target("coap", words[0].strip("[]"), int(words[1]), segments), words[count:]


def parse_uri(uri: str) -> Target:
    """A coap or coaps URI (RFC 7252 §6)."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise Failure(f"{uri}: {error}", Exit.USAGE) from None
    scheme = parts.scheme.lower()
    if scheme not in PORTS or not parts.hostname:
        raise Failure(f"not a coap or coaps URI: {uri}", Exit.USAGE)
    if parts.fragment or parts.username:
        raise Failure(f"a CoAP URI has no fragment and no user: {uri}", Exit.USAGE)
    segments = parts.path.removeprefix("/").split("/") if parts.path.strip("/") else []
    queries = tuple(unquote(query) for query in parts.query.split("&")) if parts.query else ()
    number = PORTS[scheme] if port is None else port
    return Target(scheme, unquote(parts.hostname), number, tuple(map(unquote, segments)), queries)
