"""Typed bodies on top of the verbs: text, JSON, gzip, CSV, struct, cached, diffed, previewed."""

from __future__ import annotations

import builtins
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, overload

from elastik import bodies
from elastik.errors import ElastikError
from elastik.responses import Written
from elastik.verbs import Verbs

if TYPE_CHECKING:
    from elastik.history import At

_REPRESENTATION = (
    "content_type",
    "content_encoding",
    "content_language",
    "content_disposition",
    "cache_control",
)
Range = tuple[int, int]


class Formats(Verbs):
    """put_*/get_* pairs and the questions one HEAD answers."""

    # -- text ----------------------------------------------------------------------------------

    def put_text(self, path: str, text: str, *, encoding: str = "utf-8", **kwargs: Any) -> Written:
        """PUT text as ``text/plain`` with its charset."""
        kind = f"text/plain; charset={encoding}"
        return self.put(path, text.encode(encoding), content_type=kind, **kwargs)

    @overload
    def get_text(
        self,
        path: str,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        range: Range | None = None,
        if_none_match: None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> str: ...

    @overload
    def get_text(
        self,
        path: str,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        range: Range | None = None,
        if_none_match: str | None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> str | None: ...

    def get_text(
        self,
        path: str,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        range: Range | None = None,
        if_none_match: str | None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> str | None:
        """GET and decode, as `get`; None on 304."""
        body = self.get(
            path,
            range=range,
            if_none_match=if_none_match,
            if_range=if_range,
            headers=headers,
            at=at,
        )
        return None if body is None else body.decode(encoding, errors)

    # -- JSON ----------------------------------------------------------------------------------

    def put_json(
        self, path: str, value: Any, *, ensure_ascii: bool = False, **kwargs: Any
    ) -> Written:
        """PUT a value as ``application/json``."""
        body = bodies.json_of(value, ensure_ascii)
        return self.put(path, body, content_type="application/json", **kwargs)

    def get_json(
        self,
        path: str,
        *,
        encoding: str = "utf-8",
        range: Range | None = None,
        if_none_match: str | None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> Any:
        """GET, as `get`, and parse JSON; None on 304 (and for a stored ``null``).

        json.JSONDecodeError, a ValueError, when it is no JSON.
        """
        import json

        text = self.get_text(
            path,
            encoding=encoding,
            range=range,
            if_none_match=if_none_match,
            if_range=if_range,
            headers=headers,
            at=at,
        )
        return None if text is None else json.loads(text)

    # -- gzip, CSV, struct ---------------------------------------------------------------------

    def put_gzip(self, path: str, data: bytes | str, **kwargs: Any) -> Written:
        """PUT compressed, with ``Content-Encoding: gzip`` and the type of the plain data."""
        packed, kind = bodies.gzip_of(data)
        kwargs.setdefault("content_type", kind)
        return self.put(path, packed, content_encoding="gzip", **kwargs)

    def get_gzip(self, path: str) -> bytes:
        """GET and decompress; gzip.BadGzipFile when it is no gzip."""
        import gzip

        return gzip.decompress(self.get(path))

    def put_csv(self, path: str, rows: Iterable[Iterable[Any]], **kwargs: Any) -> Written:
        """PUT rows as ``text/csv`` (RFC 4180: comma, CRLF)."""
        kwargs.setdefault("content_type", "text/csv")
        return self.put(path, bodies.csv_of(rows), **kwargs)

    def get_csv(self, path: str) -> list[builtins.list[str]]:
        """GET and parse CSV into rows of text."""
        return bodies.rows_of(self.get_text(path))

    def put_struct(self, path: str, fmt: str, *values: Any, **kwargs: Any) -> Written:
        """PUT ``struct.pack(fmt, *values)``."""
        import struct

        kwargs.setdefault("content_type", "application/octet-stream")
        return self.put(path, struct.pack(fmt, *values), **kwargs)

    def get_struct(self, path: str, fmt: str) -> tuple[Any, ...]:
        """GET and ``struct.unpack(fmt, body)``; struct.error when the sizes differ."""
        import struct

        return struct.unpack(fmt, self.get(path))

    # -- reading cleverly ----------------------------------------------------------------------

    def get_cached(self, path: str) -> bytes:
        """GET, but download again only what changed (If-None-Match with the last ETag)."""
        return self._do(self._plans.cached(path))

    def diff(self, path: str, new_data: str) -> str:
        """Unified diff from the stored text to `new_data`; empty when they are equal."""
        return bodies.diff_of(path, self.get_text(path), new_data)

    def preview(
        self,
        path: str,
        *,
        width: int = 80,
        max_lines: int = 10,
        max_bytes: int = 4096,
        encoding: str = "utf-8",
        errors: str = "replace",
    ) -> str:
        """The first lines, shortened to `width` columns, from at most `max_bytes` bytes."""
        if max_bytes <= 0 or max_lines <= 0:
            return ""
        body = self._do(self._plans.beginning(path, max_bytes))
        return bodies.preview_of(body, width, max_lines, encoding, errors)

    # -- questions -----------------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """False only for 404; a refusal or a failure raises."""
        return self._do(self._plans.exists(path))

    def sizeof(self, path: str) -> int:
        """Bytes of the body, by one HEAD; NotFound when there is no such world."""
        return int(self.head(path).get("content-length", "0"))

    def checksum(self, path: str) -> str:
        """The quoted ETag: hmac of the newest event, or sha256 of a memory world's body.

        NotFound when there is no such world.
        """
        return self.head(path).get("etag", "")

    def is_audited(self, path: str) -> bool:
        """True when the world has an audit chain; does not verify it."""
        return self.checksum(path).strip('"').startswith("hmac-")

    def verify(self, path: str) -> bool:
        """Let the core check the audit chain (core.md §5).

        False for a broken chain and for memory worlds, which have none; a missing world raises.
        """
        return self._do(self._plans.verify(path))

    @contextmanager
    def tmp(self, name: str = "") -> Iterator[str]:
        """A path under tmp/ that is deleted at the end, as far as the token allows."""
        path = "tmp/" + (name.strip("/") or os.urandom(8).hex())
        try:
            yield path
        finally:
            with suppress(ElastikError):
                self.delete(path)


def warn_near_misses(meta: Mapping[str, Any]) -> None:
    """A metadata keyword close to a real one is probably a slip: `content_typ`."""
    for key in meta:
        name = str(key).replace("-", "_").lower()
        for meant in _REPRESENTATION:
            if name != meant and _distance(name, meant) <= 2:
                warnings.warn(
                    f"metadata key {key!r} looks like {meant!r}; "
                    f"use {meant}=... if you meant the HTTP header",
                    stacklevel=4,
                )
                break


def _distance(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            best = min(row[j] + 1, row[j - 1] + 1, corner + (left != right))
            corner, row[j] = row[j], best
    return row[-1]
