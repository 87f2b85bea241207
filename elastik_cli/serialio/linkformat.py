"""CoRE link format (RFC 6690 §2): what a board says it has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

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


def show(out: Any, body: bytes) -> None:
    """Links as rows: path, what it is, its formats and size, whether it can be observed."""
    records = [_record(link) for link in links(body)]

    def plain(row: Any) -> str:
        return "\t".join([row["rt"], row["ct"], "obs" if row["obs"] else "", row["path"]])

    def human(rows: Any) -> None:
        columns = ["PATH", "TYPE", "FORMAT", "OBSERVABLE", "TITLE"]
        out.table(
            columns,
            [[r["path"], r["rt"], r["ct"], "yes" if r["obs"] else "", r["title"]] for r in rows],
        )

    out.rows(records, plain, human=human)


def _record(link: Link) -> dict[str, Any]:
    known = {name: link.attributes.get(name, "") for name in ("rt", "if", "ct", "sz", "title")}
    return {"path": link.path, **known, "obs": link.observable}
