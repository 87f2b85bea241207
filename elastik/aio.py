"""The client for asyncio: the same verbs under the same names, each one awaited.

Needs aiohttp: ``pip install 'elastik[aio]'``.

    from elastik.aio import Elastik

    async with Elastik("http://127.0.0.1:3105", "write-token") as e:
        await e.put("note", "hello")
        async for event in e.listen("inbox/*"):
            print(event["path"])
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from elastik import paths
from elastik.errors import ElastikError, NotFound, TimedOut, Unreachable, Unsupported, error_for
from elastik.events import SILENCE_S, Event, FrameParser, with_body
from elastik.headers import reject_wire_headers
from elastik.responses import Entry, Response, WorldMeta, Written
from elastik.sending import SINCE, Data, body_of, get_headers, put_headers, version_of
from elastik.settings import default_url, strongest_token

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import ClientResponse, ClientSession
    from typing_extensions import Self

__all__ = ["Elastik"]

Result = TypeVar("Result")
_PIECE = 64 * 1024


class Elastik:
    """An asyncio client of one core; make it and use it inside one event loop."""

    def __init__(
        self,
        url: str | None = None,
        bearer_token: str | None = None,
        *,
        timeout: float | None = 30.0,
        cafile: str | os.PathLike[str] | None = None,
        retries: int = 2,
    ) -> None:
        """As `elastik.Elastik`. ImportError says what to install when aiohttp is missing."""
        try:
            import aiohttp
        except ImportError as exc:
            raise ImportError("elastik.aio needs aiohttp: pip install 'elastik[aio]'") from exc
        self._aiohttp = aiohttp
        self.url = (default_url() if url is None else url).rstrip("/")
        self.bearer_token = strongest_token() if bearer_token is None else bearer_token
        self.timeout = timeout
        self.retries = retries
        self._cafile = cafile
        self._session: ClientSession | None = None
        self._core_version: tuple[int, ...] | None = None

    def _opened(self) -> ClientSession:
        if self._session is not None:
            return self._session
        parts = urlsplit(self.url)
        self._base = self.url
        connector: Any = None
        if parts.scheme == "http+unix":
            connector = self._aiohttp.UnixConnector(path=unquote(parts.netloc) or parts.path)
            self._base = "http://localhost"
        elif parts.scheme == "https" and self._cafile:
            import ssl

            context = ssl.create_default_context(cafile=self._cafile)
            connector = self._aiohttp.TCPConnector(ssl=context)
        # Bodies are stored as they are: no negotiated compression, no decoding.
        self._session = self._aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
        )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- raw requests --------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        silence: float | None = None,
    ) -> ClientResponse:
        from yarl import URL

        sent = dict(headers or {})
        reject_wire_headers(sent)
        if self.bearer_token and not any(name.lower() == "authorization" for name in sent):
            sent["Authorization"] = f"Bearer {self.bearer_token}"
        if method in ("POST", "PATCH", "COPY", "MOVE"):
            sent.setdefault("Idempotency-Key", os.urandom(16).hex())
        session = self._opened()
        wait = self.timeout if silence is None else silence
        limits = self._aiohttp.ClientTimeout(total=None, sock_connect=wait, sock_read=wait)
        url = URL(self._base + target, encoded=True)
        for attempt in range(self.retries + 1):
            try:
                answer = await session.request(
                    method, url, data=body, headers=sent, timeout=limits, allow_redirects=False
                )
            except (self._aiohttp.ClientError, OSError) as exc:
                raise _unreachable(exc, method, target) from exc
            wanted = answer.headers.get("Retry-After", "")
            repeatable = body is None or isinstance(body, bytes)
            if answer.status != 503 or not wanted.isdecimal() or not repeatable:
                break
            if attempt < self.retries:
                answer.release()
                await asyncio.sleep(min(float(wanted), 10.0))
        return answer

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request as it is; no exception for 4xx and 5xx."""
        return await self._request(method, paths.target(path), body, headers)

    async def _request(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        answer = await self._send(method, target, body, headers)
        try:
            whole = await answer.read()
        except (self._aiohttp.ClientError, OSError) as exc:
            raise _unreachable(exc, method, target) from exc
        return Response(answer.status, _joined(answer), whole)

    async def _checked(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        response = await self.request(method, path, body, headers)
        if not response.ok:
            raise error_for(
                response.status, response.body, method=method, path=path, headers=response.headers
            )
        return response

    async def _knows(self, capability: str) -> bool:
        if self._core_version is None:
            response = await self._request("GET", "/proc/version")
            self._core_version = version_of(response.status, response.body)
        return self._core_version >= SINCE[capability]

    # -- verbs ---------------------------------------------------------------------------------

    async def put(
        self,
        path: str,
        data: Data | AsyncIterator[bytes],
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        content_language: str | None = None,
        content_disposition: str | None = None,
        cache_control: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        create_only: bool = False,
        **meta: Any,
    ) -> Written:
        """As `elastik.Elastik.put`; `data` may also be an asynchronous iterator of bytes."""
        sent = put_headers(
            isinstance(data, str),
            headers,
            meta,
            content_type=content_type,
            content_encoding=content_encoding,
            content_language=content_language,
            content_disposition=content_disposition,
            cache_control=cache_control,
            if_match=if_match,
            if_none_match=if_none_match,
            create_only=create_only,
        )
        response = await self._checked("PUT", path, _body(data, "put"), sent)
        return {"status": response.status, "etag": response.etag}

    async def post(
        self,
        path: str,
        data: Data | AsyncIterator[bytes],
        *,
        if_match: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Written:
        """As `elastik.Elastik.post`."""
        sent = {**(headers or {}), **({"If-Match": _tag(if_match)} if if_match else {})}
        response = await self._checked("POST", path, _body(data, "post"), sent)
        return {"status": response.status, "etag": response.etag}

    async def get(
        self,
        path: str,
        *,
        range: tuple[int, int] | None = None,
        if_none_match: str | None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes | None:
        """As `elastik.Elastik.get`: the exact bytes, None for 304."""
        sent = get_headers(range, if_none_match, if_range, headers)
        response = await self._checked("GET", path, None, sent)
        return None if response.status == 304 else response.body

    async def _body_of(self, path: str) -> bytes:
        return cast("bytes", await self.get(path))

    @asynccontextmanager
    async def stream(
        self, path: str, *, range: tuple[int, int | None] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """``async with e.stream(path) as pieces``, then ``async for piece in pieces``."""
        answer = await self._send(
            "GET", paths.target(path), None, get_headers(range, None, None, None)
        )
        try:
            if answer.status >= 400:
                raise error_for(
                    answer.status,
                    await answer.read(),
                    method="GET",
                    path=path,
                    headers=_joined(answer),
                )
            yield answer.content.iter_chunked(_PIECE)
        except (self._aiohttp.ClientError, OSError) as exc:
            raise _unreachable(exc, "GET", path) from exc
        finally:
            answer.release()

    async def head(self, path: str) -> WorldMeta:
        """As `elastik.Elastik.head`."""
        return cast("WorldMeta", (await self._checked("HEAD", path)).headers)

    async def delete(self, path: str, *, if_match: str | None = None) -> bool:
        """True when the world existed."""
        sent = {"If-Match": _tag(if_match)} if if_match else {}
        try:
            await self._checked("DELETE", path, None, sent)
        except NotFound:
            return False
        return True

    async def list(self) -> list[str]:
        """All stored paths in byte order."""
        text = (await self._checked("GET", "/proc/worlds")).body.decode("utf-8")
        return [line for line in text.split("\n") if line]

    async def listen(
        self,
        pattern: str | Sequence[str] = "*",
        *,
        last_event_id: str | int | None = None,
        timeout: float | None = None,
        inline: bool = False,
        max_inline: int = 1 << 20,
    ) -> AsyncIterator[Event]:
        """Asynchronous iterator of events, as `elastik.Elastik.listen`; ends with the stream.

        Several patterns and inline bodies need a core that offers them (Unsupported otherwise).
        """
        first, *more = [pattern] if isinstance(pattern, str) else pattern
        query = [f"pattern={paths.quote_pattern(text)}" for text in more]
        if more and not await self._knows("several patterns"):
            raise Unsupported("this core listens to one pattern at a time")
        if inline:
            if not await self._knows("inline events"):
                raise Unsupported("this core sends no bodies with events")
            query += ["body=inline", f"max={max_inline}"]
        target = f"/listen/{paths.quote_pattern(first)}" + ("?" + "&".join(query) if query else "")
        sent = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        answer = await self._send("GET", target, None, sent, silence=SILENCE_S)
        try:
            if answer.status >= 400:
                body = await answer.read()
                raise error_for(
                    answer.status, body, method="GET", path=target, headers=_joined(answer)
                )
            async for event in self._events(answer, timeout):
                yield with_body(event) if inline and "path" in event else event
        finally:
            answer.close()

    async def _events(self, answer: ClientResponse, timeout: float | None) -> AsyncIterator[Event]:
        parser = FrameParser()
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - loop.time())
            try:
                piece = await asyncio.wait_for(answer.content.readany(), left)
            except self._aiohttp.ServerTimeoutError:
                raise Unreachable(f"nothing heard for {SILENCE_S:.0f} s", path="/listen") from None
            except asyncio.TimeoutError:
                raise TimedOut(f"no event within {timeout} s", path="/listen") from None
            except (self._aiohttp.ClientError, OSError) as exc:
                raise _unreachable(exc, "GET", "/listen") from exc
            if not piece:
                return
            for event in parser.feed(piece):
                yield event
                deadline = None if timeout is None else loop.time() + timeout

    # -- what is built on the verbs ------------------------------------------------------------

    async def put_text(
        self, path: str, text: str, *, encoding: str = "utf-8", **kwargs: Any
    ) -> Written:
        """PUT text with its charset."""
        kind = f"text/plain; charset={encoding}"
        return await self.put(path, text.encode(encoding), content_type=kind, **kwargs)

    async def get_text(self, path: str, *, encoding: str = "utf-8", errors: str = "strict") -> str:
        """GET and decode."""
        return (await self._body_of(path)).decode(encoding, errors)

    async def put_json(
        self, path: str, value: Any, *, ensure_ascii: bool = False, **kwargs: Any
    ) -> Written:
        """PUT a value as JSON."""
        body = json.dumps(value, ensure_ascii=ensure_ascii).encode("utf-8")
        return await self.put(path, body, content_type="application/json", **kwargs)

    async def get_json(self, path: str) -> Any:
        """GET and parse JSON."""
        return json.loads(await self._body_of(path))

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
        if response.status == 200:
            return response.headers.get("x-audit-valid") == "true"
        if response.status in (204, 409):
            return False
        raise error_for(
            response.status, response.body, method="HEAD", path=page, headers=response.headers
        )

    async def entries(self, prefix: str = "") -> AsyncIterator[Entry]:
        """(path, size, …) of each world below `prefix`, as `elastik.Elastik.entries`."""
        root = paths.canonical_prefix(prefix)
        if not await self._knows("collections"):
            for line in (await self._checked("GET", "/proc/du")).body.decode().splitlines():
                path, tab, size = line.rpartition("\t")
                if tab and paths.under(path, root):
                    yield {"path": path, "size": int(size)}
            return
        target = f"/proc/list/{paths.quote(root)}"
        response = await self._request("GET", target, None, {"Accept": "application/jsonl"})
        if not response.ok:
            raise error_for(response.status, response.body, method="GET", path=target)
        for text in response.body.splitlines():
            yield json.loads(text)

    async def ls(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type]
        """All paths below `prefix`."""
        return [entry["path"] async for entry in self.entries(prefix)]

    async def du(self, prefix: str = "") -> dict[str, int]:
        """{path: bytes} below `prefix`."""
        return {entry["path"]: entry["size"] async for entry in self.entries(prefix)}

    async def copy(self, src: str, dst: str, *, overwrite: bool = True) -> Written:
        """COPY in one commit; Unsupported on an older core."""
        return await self._transfer("COPY", src, dst, overwrite)

    async def mv(self, src: str, dst: str, *, overwrite: bool = False) -> int:
        """MOVE in one commit; Unsupported on an older core."""
        await self._transfer("MOVE", src, dst, overwrite)
        return 1

    async def _transfer(self, method: str, src: str, dst: str, overwrite: bool) -> Written:
        if not await self._knows("copy and move"):
            raise Unsupported(f"this core has no {method}")
        sent = {"Destination": paths.target(dst), "Overwrite": "T" if overwrite else "F"}
        response = await self.request(method, src, None, sent)
        if response.status == 412 and not overwrite:
            raise FileExistsError(paths.with_namespace(dst))
        if not response.ok:
            raise error_for(
                response.status, response.body, method=method, path=src, headers=response.headers
            )
        return {"status": 200 if response.status == 204 else response.status, "etag": response.etag}

    async def put_many(
        self, items: Mapping[str, Data], *, max_workers: int = 4, **kwargs: Any
    ) -> dict[str, Written]:
        """PUT each item, `max_workers` at a time; the first failure raises."""
        return await _each(lambda path: self.put(path, items[path], **kwargs), items, max_workers)

    async def get_many(self, paths: Iterable[str], *, max_workers: int = 4) -> dict[str, bytes]:
        """{path: bytes}, `max_workers` at a time; the first failure raises."""
        return await _each(self._body_of, paths, max_workers)


async def _each(
    work: Callable[[str], Awaitable[Result]], items: Iterable[str], max_workers: int
) -> dict[str, Result]:
    gate = asyncio.Semaphore(max_workers)

    async def one(item: str) -> tuple[str, Result]:
        async with gate:
            return item, await work(item)

    return dict(await asyncio.gather(*(one(item) for item in items)))


def _body(data: Any, method: str) -> Any:
    return data if hasattr(data, "__aiter__") else body_of(data, method)


def _tag(value: str) -> str:
    from elastik.responses import etag_value

    return etag_value(value) or ""


def _joined(answer: ClientResponse) -> dict[str, str]:
    """Lower-case headers; a repeated one is joined by a comma (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _unreachable(exc: BaseException, method: str, target: str) -> ElastikError:
    kind = TimedOut if isinstance(exc, (TimeoutError, asyncio.TimeoutError)) else Unreachable
    return kind(exc, method=method, path=target)
