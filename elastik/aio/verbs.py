"""The wire verbs for asyncio: request, stream, put, get, head, post, delete, list, listen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from elastik import paths
from elastik.errors import (
    ElastikError,
    NotFound,
    NotOverCoap,
    TimedOut,
    Unreachable,
    Unsupported,
    error_for,
)
from elastik.events import SILENCE_S, Event, FrameParser, with_body
from elastik.headers import reject_wire_headers
from elastik.history import version_target
from elastik.listening import is_wanted, listen_target, state_of
from elastik.remembered import Remembered
from elastik.responses import Response, WorldMeta, Written
from elastik.sending import (
    SINCE,
    Data,
    body_of,
    delete_headers,
    get_headers,
    post_headers,
    put_headers,
    version_of,
)
from elastik.settings import default_url, strongest_token
from elastik.transport import pieces

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import ClientResponse, ClientSession
    from typing_extensions import Self

    from elastik.history import At


class Verbs:
    """One aiohttp session to one core, and the verbs of its wire."""

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
        self._lacks: set[str] = set()
        self._remembered = Remembered()

    def _opened(self) -> ClientSession:
        if self._session is not None:
            return self._session
        parts = urlsplit(self.url)
        self._base = self.url
        if parts.scheme == "coap":
            raise NotOverCoap(self.url, "the asyncio client")
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
        return Response(answer.status, joined(answer), whole)

    async def page(
        self, method: str, target: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """As `elastik.Elastik.page`: a page of the core itself, its query included."""
        return await self._request(method, target, None, headers)

    async def _checked(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return await self._checked_page(method, paths.target(path), path, body, headers)

    async def _checked_page(
        self,
        method: str,
        target: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        response = await self._request(method, target, body, headers)
        if not response.ok:
            raise error_for(
                response.status, response.body, method=method, path=path, headers=response.headers
            )
        return response

    async def _opened_page(
        self, target: str, path: str, sent: Mapping[str, str], *, silence: float | None = None
    ) -> ClientResponse:
        """The answer to a GET with its body still to be read; release it."""
        answer = await self._send("GET", target, None, sent, silence=silence)
        if answer.status < 400:
            return answer
        try:
            body, headers = await answer.read(), joined(answer)
        finally:
            answer.release()
        raise error_for(answer.status, body, method="GET", path=path, headers=headers)

    async def _chunks(self, answer: ClientResponse, path: str) -> AsyncGenerator[bytes, None]:
        """A body as it arrives."""
        try:
            async for piece in answer.content.iter_any():
                yield piece
        except (self._aiohttp.ClientError, OSError) as exc:
            raise _unreachable(exc, "GET", path) from exc
        finally:
            answer.close()

    async def _lines(self, target: str, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of a page, read as they are consumed."""
        answer = await self._opened_page(target, path, {"Accept": "application/jsonl"})
        rest = b""
        async with aclosing(self._chunks(answer, path)) as pieces:
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line
        if rest:
            yield rest

    async def _knows(self, capability: str) -> bool:
        if self._core_version is None:
            response = await self._request("GET", "/proc/version")
            self._core_version = version_of(response.status, response.body)
        return self._core_version >= SINCE[capability] and capability not in self._lacks

    async def _need(self, capability: str, what: str) -> None:
        if not await self._knows(capability):
            raise Unsupported(f"this core has no {what}")

    def clear_cache(self, path: str | None = None) -> None:
        """Forget the body remembered for `get_cached`, of one world or of all."""
        self._remembered.forget(path)

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
        delete_after: int | None = None,
        **meta: Any,
    ) -> Written:
        """As `elastik.Elastik.put`; `data` may also be an asynchronous iterator of bytes."""
        if delete_after is not None:
            await self._need("lifetimes", "lifetimes")
        body = _body(data, "put")
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
            delete_after=delete_after,
        )
        response = await self._checked("PUT", path, body, sent)
        self._remembered.set(path, response.etag, body)
        return {"status": response.status, "etag": response.etag}

    async def post(
        self,
        path: str,
        data: Data | AsyncIterator[bytes],
        *,
        if_match: str | None = None,
        offset: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Written:
        """As `elastik.Elastik.post`."""
        sent = post_headers(if_match, offset, headers)
        response = await self._checked("POST", path, _body(data, "post"), sent)
        self.clear_cache(path)
        return {"status": response.status, "etag": response.etag}

    async def get(
        self,
        path: str,
        *,
        range: tuple[int, int] | None = None,
        if_none_match: str | None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> bytes | None:
        """As `elastik.Elastik.get`: the exact bytes, None for 304."""
        sent = get_headers(range, if_none_match, if_range, headers)
        if at is not None:
            await self._need("history", "old versions")
        target = paths.target(path) if at is None else version_target(path, at)
        response = await self._checked_page("GET", target, path, None, sent)
        if response.status == 304:
            return None
        if at is None and range is None and if_range is None:
            self._remembered.set(path, response.etag, response.body)
        return response.body

    async def _body_of(self, path: str) -> bytes:
        return cast("bytes", await self.get(path))

    @asynccontextmanager
    async def stream(
        self, path: str, *, range: tuple[int, int | None] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """``async with e.stream(path) as pieces``, then ``async for piece in pieces``."""
        sent = get_headers(range, None, None, None)
        answer = await self._opened_page(paths.target(path), path, sent)
        try:
            yield self._chunks(answer, path)
        finally:
            answer.close()

    async def head(self, path: str) -> WorldMeta:
        """As `elastik.Elastik.head`."""
        return cast("WorldMeta", (await self._checked("HEAD", path)).headers)

    async def delete(self, path: str, *, if_match: str | None = None, purge: bool = False) -> bool:
        """As `elastik.Elastik.delete`: True when the world existed."""
        if purge:
            await self._need("purge", "purging")
        try:
            await self._checked("DELETE", path, None, delete_headers(if_match, purge))
        except NotFound:
            return False
        self.clear_cache(path)
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
        """Asynchronous iterator of events, as `elastik.Elastik.listen`; ends with the stream."""
        patterns = [pattern] if isinstance(pattern, str) else [*pattern]
        several = len(patterns) < 2 or await self._knows("several patterns")
        within = inline and await self._knows("inline events")
        target = listen_target(patterns, several, max_inline if within else None)
        sent = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        answer = await self._opened_page(target, target, sent, silence=SILENCE_S)
        try:
            async for event in self._events(answer, timeout):
                if not is_wanted(event, [] if several else patterns):
                    continue
                if inline and "path" in event:
                    with_body(event)
                    if "body-state" not in event:
                        await self._fetch_body(event, max_inline)
                yield event
        finally:
            answer.close()

    async def _fetch_body(self, event: Event, limit: int) -> None:
        """Give an event of an older core its body by GET, if that is still the event's own."""
        event["body"] = None
        if event.get("method") == "DELETE":
            event["body-state"] = "none"
            return
        try:
            answer = await self._opened_page(paths.target(event["path"]), event["path"], {})
            try:
                headers = joined(answer)
                size = int(headers.get("content-length", "0"))
                event["body-state"] = state_of(event, headers.get("etag", ""), size, limit)
                if event["body-state"] == "fetched":
                    event["body"] = await answer.read()
            finally:
                answer.close()
        except NotFound:
            event["body-state"] = "superseded"
        except (ElastikError, self._aiohttp.ClientError, OSError):
            event["body"], event["body-state"] = None, "unreachable"

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


def _body(data: Any, method: str) -> Any:
    if hasattr(data, "__aiter__"):
        return data
    body = body_of(data, method)
    return body if isinstance(body, bytes) or body is None else _pieces(body)


async def _pieces(body: IO[bytes] | Iterable[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a file, read in a thread, or of an iterable."""
    found = pieces(body)
    if not hasattr(body, "read"):
        for piece in found:
            yield piece
        return
    while part := await asyncio.to_thread(next, found, b""):
        yield part


def joined(answer: ClientResponse) -> dict[str, str]:
    """Lower-case headers; a repeated one is joined by a comma (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _unreachable(exc: BaseException, method: str, target: str) -> ElastikError:
    kind = TimedOut if isinstance(exc, (TimeoutError, asyncio.TimeoutError)) else Unreachable
    return kind(exc, method=method, path=target)
