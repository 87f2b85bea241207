"""Typed bodies for asyncio: text, JSON, gzip, CSV, struct, cached, diffed, previewed."""

from __future__ import annotations

import builtins
import json
import os
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from elastik import bodies, paths
from elastik.aio.verbs import Verbs
from elastik.errors import ElastikError, NotFound, error_for
from elastik.responses import Written


class Formats(Verbs):
    """put_*/get_* pairs and the questions one HEAD answers."""

    async def put_text(
        self, path: str, text: str, *, encoding: str = "utf-8", **kwargs: Any
    ) -> Written:
        """PUT text with its charset."""
        kind = f"text/plain; charset={encoding}"
        return await self.put(path, text.encode(encoding), content_type=kind, **kwargs)

    async def get_text(
        self, path: str, *, encoding: str = "utf-8", errors: str = "strict", **kwargs: Any
    ) -> Any:
        """GET and decode; None on 304."""
        body = await self.get(path, **kwargs)
        return None if body is None else body.decode(encoding, errors)

    async def put_json(
        self, path: str, value: Any, *, ensure_ascii: bool = False, **kwargs: Any
    ) -> Written:
        """PUT a value as JSON."""
        body = bodies.json_of(value, ensure_ascii)
        return await self.put(path, body, content_type="application/json", **kwargs)

    async def get_json(self, path: str, *, encoding: str = "utf-8", **kwargs: Any) -> Any:
        """GET and parse JSON; None on 304."""
        text = await self.get_text(path, encoding=encoding, **kwargs)
        return None if text is None else json.loads(text)

    async def put_gzip(self, path: str, data: bytes | str, **kwargs: Any) -> Written:
        """PUT compressed, with ``Content-Encoding: gzip``."""
        packed, kind = bodies.gzip_of(data)
        kwargs.setdefault("content_type", kind)
        return await self.put(path, packed, content_encoding="gzip", **kwargs)

    async def get_gzip(self, path: str) -> bytes:
        """GET and decompress."""
        import gzip

        return gzip.decompress(await self._body_of(path))

    async def put_csv(self, path: str, rows: Iterable[Iterable[Any]], **kwargs: Any) -> Written:
        """PUT rows as ``text/csv``."""
        kwargs.setdefault("content_type", "text/csv")
        return await self.put(path, bodies.csv_of(rows), **kwargs)

    async def get_csv(self, path: str) -> builtins.list[builtins.list[str]]:
        """GET and parse CSV into rows of text."""
        return bodies.rows_of((await self._body_of(path)).decode("utf-8"))

    async def put_struct(self, path: str, fmt: str, *values: Any, **kwargs: Any) -> Written:
        """PUT ``struct.pack(fmt, *values)``."""
        kwargs.setdefault("content_type", "application/octet-stream")
        return await self.put(path, struct.pack(fmt, *values), **kwargs)

    async def get_struct(self, path: str, fmt: str) -> tuple[Any, ...]:
        """GET and ``struct.unpack(fmt, body)``."""
        return struct.unpack(fmt, await self._body_of(path))

    async def get_cached(self, path: str) -> bytes:
        """GET, but download again only what changed."""
        known = self._remembered.get(path)
        if known is None:
            return await self._body_of(path)
        body = await self.get(path, if_none_match=known[0])
        return known[1] if body is None else body

    async def diff(self, path: str, new_data: str) -> str:
        """Unified diff from the stored text to `new_data`; empty when they are equal."""
        old = (await self._body_of(path)).decode("utf-8")
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
        try:
            body = await self.get(path, range=(0, max_bytes - 1))
        except ElastikError as exc:
            # An empty world has no first byte: 416 for any range (core.md §3.3).
            if exc.status != 416:
                raise
            return ""
        return bodies.preview_of(body or b"", width, max_lines, encoding, errors)

    async def exists(self, path: str) -> bool:
        """False only for 404."""
        try:
            await self.head(path)
        except NotFound:
            return False
        return True

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
        page = f"/proc/audit/{paths.canonical(path)}/verify"
        response = await self.request("HEAD", page)
        found = bodies.verdict(response)
        if found is not None:
            return found
        if response.status == 404 and await self.exists(path):
            # The world is there, so it is the page that this core does not have.
            return False
        raise error_for(
            response.status, response.body, method="HEAD", path=page, headers=response.headers
        )

    @asynccontextmanager
    async def tmp(self, name: str = "") -> AsyncIterator[str]:
        """A path under tmp/ that is deleted at the end, as far as the token allows."""
        path = "tmp/" + (name.strip("/") or os.urandom(8).hex())
        try:
            yield path
        finally:
            with suppress(ElastikError):
                await self.delete(path)
