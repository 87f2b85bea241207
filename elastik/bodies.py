"""Bodies from values and back: gzip, CSV, a diff, a preview; what a verify page says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def json_of(value: Any, ensure_ascii: bool) -> bytes:
    """A value as UTF-8 JSON."""
    import json

    return json.dumps(value, ensure_ascii=ensure_ascii).encode("utf-8")


def gzip_of(data: bytes | str) -> tuple[bytes, str]:
    """Compressed bytes, and the type of the plain data."""
    import gzip

    plain = data.encode("utf-8") if isinstance(data, str) else data
    if not isinstance(plain, bytes):
        raise TypeError(f"put_gzip() data must be str or bytes, not {type(data).__name__}")
    text = isinstance(data, str)
    kind = "text/plain; charset=utf-8" if text else "application/octet-stream"
    return gzip.compress(plain), kind


def csv_of(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as RFC 4180 says: comma, CRLF."""
    import csv
    import io

    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def rows_of(text: str) -> list[list[str]]:
    """The rows of a CSV text."""
    import csv
    import io

    # newline="" lets the reader see the line ends that stand inside quoted fields.
    return list(csv.reader(io.StringIO(text, newline="")))


def diff_of(path: str, old: str, new: str) -> str:
    """Unified diff from `old` to `new`."""
    import difflib

    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, fromfile=f"{path}@old", tofile=f"{path}@new")
    return "".join(lines)


def preview_of(body: bytes, width: int, max_lines: int, encoding: str, errors: str) -> str:
    """The first lines, each shortened to `width` columns."""
    import textwrap

    return "\n".join(
        textwrap.shorten(line, width=width, placeholder="...")
        for line in body.decode(encoding, errors).splitlines()[:max_lines]
    )
