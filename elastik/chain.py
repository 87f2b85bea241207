"""The hashes of a world's audit chain (core.md §4.4), as the core computes them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping


def meta_sha256(content_type: str, headers: Mapping[str, str]) -> str:
    """Hex digest of a content type and the kept headers, sorted by name and value."""
    parts = ["content-type", content_type]
    for name, value in sorted(headers.items()):
        parts += [name, value]
    return hashlib.sha256("".join(f"{part}\0" for part in parts).encode()).hexdigest()


def event_hmac(
    key: bytes,
    *,
    previous: str,
    kind: str,
    target: str,
    body_sha256: str,
    size: int,
    content_type: str,
    meta_sha256: str,
) -> str:
    """Hex HMAC-SHA256 of one event; `previous` is that of the event before, empty for the first.

    `kind` is ``put``, ``append``, ``delete_intent`` or ``delete_commit``; `size` is bytes.
    """
    fields = {
        "prev": previous,
        "type": kind,
        "target": target,
        "body-sha256": body_sha256,
        "size": str(size),
        "content-type": content_type,
        "meta-sha256": meta_sha256,
    }
    message = b"".join(
        f"{label}\0{len(value.encode())}\0{value}\0".encode() for label, value in fields.items()
    )
    return hmac.new(key, message, hashlib.sha256).hexdigest()
