"""The aiohttp session that reaches a core: over TCP, TLS or a Unix socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from elastik.errors import NotOverCoap

if TYPE_CHECKING:
    from aiohttp import ClientSession


def session_to(
    aiohttp: Any, url: str, cafile: str | os.PathLike[str] | None, *, fresh: bool
) -> tuple[ClientSession, str]:
    """A session and what its targets follow; a `fresh` one opens a connection for each request."""
    parts, base = urlsplit(url), url
    if parts.scheme == "coap":
        raise NotOverCoap(url, "the asyncio client")
    kind: Any = aiohttp.TCPConnector
    options: dict[str, Any] = {"force_close": fresh}
    if parts.scheme == "http+unix":
        kind = aiohttp.UnixConnector
        options["path"] = unquote(parts.netloc) or parts.path
        base = "http://localhost"
    elif parts.scheme == "https" and cafile:
        import ssl

        options["ssl"] = ssl.create_default_context(cafile=cafile)
    # Bodies are stored as they are: no negotiated compression, no decoding.
    session: ClientSession = aiohttp.ClientSession(
        connector=kind(**options),
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
    )
    return session, base
