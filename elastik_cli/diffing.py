"""Compare two bodies: text by lines, JSON by values, anything else by size and hash."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastik_cli import pages
from elastik_cli.session import Session

COLOURS = {"+": (32,), "-": (31,), "@": (36,)}


@dataclass
class Body:
    """Bytes with a name and a media type."""

    name: str
    type: str
    bytes: bytes

    @property
    def is_json(self) -> bool:
        kind = self.type.split(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    @property
    def text(self) -> str | None:
        """The body as text; None when it is none."""
        try:
            return None if b"\0" in self.bytes else self.bytes.decode("utf-8")
        except UnicodeDecodeError:
            return None


def stored(session: Session, path: str, where: str | None = None, at: str | None = None) -> Body:
    """What is stored at `path`, or was at an event or a time."""
    client = session.client("read")
    if at:
        old = session.patiently(lambda: pages.version(client, path, at))
        return Body(f"{path} at {at}", old.headers.get("content-type", ""), old.body)
    with session.patiently(lambda: client.stream(path)) as stream:
        name = f"{where}:{path}" if where else path
        return Body(name, stream.headers.get("content-type", ""), stream.read())


def local(file: str, kind: str) -> Body:
    """A local file, or standard input for `-`, taken for the same type."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return Body(file, kind, content)


def at(session: Session, context: str | None) -> Session:
    """The same session on the server of another context."""
    if context is None:
        return session
    other = Session()
    other.flags = copy(session.flags)
    other.flags.context, other.flags.url, other.flags.token_file = context, None, None
    return other


def show(session: Session, left: Body, right: Body, around: int = 3) -> bool:
    """Write how they differ; whether they do."""
    if left.bytes == right.bytes:
        return False
    out = session.out
    values = _both_json(left, right)
    if values is not None:
        changes = list(json_changes(*values))
        if not changes and not out.json:
            out.line("the same JSON values, written differently")
        out.rows(changes, _json_line)
    elif left.text is None or right.text is None:
        rows = [_facts(left), _facts(right)]
        out.rows(rows, lambda r: f"{r['size']}\t{r['sha256']}\t{r['path']}")
    else:
        for line in text_changes(left, right, around):
            if out.json:
                out.record({"line": line})
            else:
                out.line(out.style(line, *COLOURS.get(line[:1], ())))
    return True


def text_changes(left: Body, right: Body, around: int) -> Iterator[str]:
    """Lines of a unified diff, with the note of diff(1) where a last line has no end."""
    from difflib import unified_diff

    one, other = ((b.text or "").splitlines(keepends=True) for b in (left, right))
    for line in unified_diff(one, other, left.name, right.name, n=around):
        yield line.rstrip("\n")
        if not line.endswith("\n") and line[:1] in "+- ":
            yield "\\ No newline at end of file"


def _both_json(left: Body, right: Body) -> tuple[Any, Any] | None:
    import json

    if not (left.is_json and right.is_json):
        return None
    try:
        return json.loads(left.bytes), json.loads(right.bytes)
    except ValueError:
        return None


def json_changes(left: Any, right: Any, at: str = "") -> Iterator[dict[str, Any]]:
    """What was added, removed or changed, each with its JSON Pointer (RFC 6901)."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            where = f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
            yield from _change(left.get(key, _NONE), right.get(key, _NONE), where)
    elif isinstance(left, list) and isinstance(right, list):
        for index in range(max(len(left), len(right))):
            one = left[index] if index < len(left) else _NONE
            other = right[index] if index < len(right) else _NONE
            yield from _change(one, other, f"{at}/{index}")
    elif left != right or isinstance(left, bool) is not isinstance(right, bool):
        yield {"at": at or "/", "from": left, "to": right}


_NONE = object()


def _change(one: Any, other: Any, where: str) -> Iterator[dict[str, Any]]:
    if one is _NONE:
        yield {"at": where, "to": other}
    elif other is _NONE:
        yield {"at": where, "from": one}
    else:
        yield from json_changes(one, other, where)


def _json_line(row: Any) -> str:
    import json

    sides = [("-", row["from"])] if "from" in row else []
    sides += [("+", row["to"])] if "to" in row else []
    texts = [f"{sign} {json.dumps(value, ensure_ascii=False)}" for sign, value in sides]
    return "\t".join([row["at"], *texts])


def _facts(body: Body) -> dict[str, Any]:
    from hashlib import sha256

    digest = sha256(body.bytes).hexdigest()
    return {"path": body.name, "size": len(body.bytes), "sha256": digest}
