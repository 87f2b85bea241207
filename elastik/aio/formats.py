"""Typed bodies for asyncio: text, JSON, gzip, CSV, struct, cached, diffed, previewed."""

from __future__ import annotations

import builtins
import json
import os
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, overload

from elastik import bodies
from elastik.aio.verbs import Verbs
from elastik.errors import ElastikError
from elastik.responses import Written

if TYPE_CHECKING:
    from elastik.history import At

Range = tuple[int, int]


class Formats(Verbs):
    """put_*/get_* pairs and the questions one HEAD answers."""

    async def put_text(
        self, path: str, text: str, *, encoding: str = "utf-8", **kwargs: Any
    ) -> Written:
        """PUT text with its charset."""
        kind = f"text/plain; charset={encoding}"
        return await self.put(path, text.encode(encoding), content_type=kind, **kwargs)

    @overload
    async def get_text(
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
    async def get_text(
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

    async def get_text(
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
        body = await self.get(
            path,
            range=range,
            if_none_match=if_none_match,
            if_range=if_range,
            headers=headers,
            at=at,
        )
        return None if body is None else body.decode(encoding, errors)

    async def put_json(
        self, path: str, value: Any, *, ensure_ascii: bool = False, **kwargs: Any
    ) -> Written:
        """PUT a value as JSON."""
        body = bodies.json_of(value, ensure_ascii)
        return await self.put(path, body, content_type="application/json", **kwargs)

    async def get_json(
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
        """GET, as `get`, and parse JSON; None on 304 (and for a stored ``null``)."""
        text = await self.get_text(
            path,
            encoding=encoding,
            range=range,
            if_none_match=if_none_match,
            if_range=if_range,
            headers=headers,
            at=at,
        )
        return None if text is None else json.loads(text)

    async def put_gzip(self, path: str, data: bytes | str, **kwargs: Any) -> Written:
        """PUT compressed, with ``Content-Encoding: gzip``."""
        packed, kind = bodies.gzip_of(data)
        kwargs.setdefault("content_type", kind)
        return await self.put(path, packed, content_encoding="gzip", **kwargs)

    async def get_gzip(self, path: str) -> bytes:
        """GET and decompress."""
        import gzip

        return gzip.decompress(await self.get(path))

    async def put_csv(self, path: str, rows: Iterable[Iterable[Any]], **kwargs: Any) -> Written:
        """PUT rows as ``text/csv``."""
        kwargs.setdefault("content_type", "text/csv")
        return await self.put(path, bodies.csv_of(rows), **kwargs)

    async def get_csv(self, path: str) -> builtins.list[builtins.list[str]]:
        """GET and parse CSV into rows of text."""
        return bodies.rows_of((await self.get(path)).decode("utf-8"))

    async def put_struct(self, path: str, fmt: str, *values: Any, **kwargs: Any) -> Written:
        """PUT ``struct.pack(fmt, *values)``."""
        kwargs.setdefault("content_type", "application/octet-stream")
        return await self.put(path, struct.pack(fmt, *values), **kwargs)

    async def get_struct(self, path: str, fmt: str) -> tuple[Any, ...]:
        """GET and ``struct.unpack(fmt, body)``."""
        return struct.unpack(fmt, await self.get(path))

    async def get_cached(self, path: str) -> bytes:
        """GET, but download again only what changed."""
        return await self._do(self._plans.cached(path))

    async def diff(self, path: str, new_data: str) -> str:
        """Unified diff from the stored text to `new_data`; empty when they are equal."""
        old = (await self.get(path)).decode("utf-8")
        return bodies.diff_of(path, old, new_data)

    async def preview(
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
        body = await self._do(self._plans.beginning(path, max_bytes))
        return bodies.preview_of(body, width, max_lines, encoding, errors)

    async def exists(self, path: str) -> bool:
        """False only for 404."""
        return await self._do(self._plans.exists(path))

    async def sizeof(self, path: str) -> int:
        """Bytes of the body."""
        return int((await self.head(path)).get("content-length", "0"))

    async def checksum(self, path: str) -> str:
        """The quoted ETag."""
        return (await self.head(path)).get("etag", "")

    async def is_audited(self, path: str) -> bool:
        """True when the world has an audit chain."""
        return (await self.checksum(path)).strip('"').startswith("hmac-")

    async def verify(self, path: str) -> bool:
        """Let the core check the audit chain."""
        return await self._do(self._plans.verify(path))

    @asynccontextmanager
    async def tmp(self, name: str = "") -> AsyncIterator[str]:
        """A path under tmp/ that is deleted at the end, as far as the token allows."""
        path = "tmp/" + (name.strip("/") or os.urandom(8).hex())
        try:
            yield path
        finally:
            with suppress(ElastikError):
                await self.delete(path)
