"""CoRE link format (RFC 6690 §2): what a server says it has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINK = re.compile(
    r'\s*<([^<>]*)>((?:\s*;\s*[^\s=;,"]+(?:\s*=\s*(?:"(?:\\.|[^"\\])*"|[^;,"]*))?)*)'
)
_ATTRIBUTE = re.compile(r';\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^;,"]*)))?')


@dataclass(frozen=True)
class Link:
    """One resource: its path and its attributes; an attribute without a value is empty."""

    path: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def observable(self) -> bool:
        return "obs" in self.attributes


def links(body: bytes) -> list[Link]:
    """The links in a body; what is not well formed ends the list."""
    text, at, found = body.decode("utf-8", "replace"), 0, []
    while match := _LINK.match(text, at):
        attributes: dict[str, str] = {}
        for name, quoted, plain in _ATTRIBUTE.findall(match[2]):
            attributes.setdefault(name, re.sub(r"\\(.)", r"\1", quoted) or plain.strip())
        found.append(Link(match[1], attributes))
        at = match.end()
        comma = re.compile(r"\s*,").match(text, at)
        if not comma:
            break
        at = comma.end()
    return found
