"""What `coap put` and `coap post` send, and as which media type."""

from __future__ import annotations

from typing import Any

import click

from elastik_cli.coapio.target import target_of
from elastik_cli.serial_options import body_of

TEXT, BYTES = "text/plain", "application/octet-stream"


def body_and_type(
    session: Any, words: tuple[str, ...], text: str | None, kind: str | None
) -> tuple[bytes, str]:
    """The bytes and their type: text is text/plain, everything else octets, unless told."""
    _, rest = target_of(words)
    if len(rest) > 1 or (rest and text is not None):
        raise click.UsageError("too many words after the target")
    if text is None and rest and "://" not in words[0] and rest[0] != "-":
        text, rest = rest[0], ()
    body = body_of(session, rest[0] if rest else None, text)
    return body, kind or (TEXT if text is not None else BYTES)
