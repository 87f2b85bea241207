"""The wire verbs for asyncio: request, stream, put, get, head, post, delete, list, listen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast, overload

from elastik import paths
from elastik.aio.listening import EventStream
from elastik.aio.sessions import session_to
from elastik.errors import ElastikError, TimedOut, Unreachable, error_for
from elastik.history import version_target
from elastik.listening import Listening
from elastik.plans import Ask, Lines, Open, Pause, Plan, Read, Result, Save, Step
from elastik.responses import Response, WorldMeta, Written
from elastik.sending import (
    Data,
    beginning_of,
    body_of,
    get_headers,
    is_harmless,
    pause_of,
    post_headers,
    put_headers,
    rewind,
    version_of,
    wire_headers,
    with_key,
)
from elastik.settings import default_url, strongest_token
from elastik.transport import pieces
from elastik.trees import Trees
from elastik.verbs import settled

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import ClientResponse, ClientSession
    from typing_extensions import Self
    from yarl import URL

    from elastik.history import At


class Verbs:
    """One aiohttp session to one core, and the verbs of its wire."""

    def __init__(
        self,
        url: str | None = None,
        bearer_token: str | None = None,
        *,
        timeout: float | None = 30.0,
        keep_alive: bool = True,
        cafile: str | os.PathLike[str] | None = None,
        retries: int = 2,
    ) -> None:
        """As `elastik.Elastik`. ImportError says what to install when aiohttp is missing."""
        try:
            import aiohttp
        except ImportError as exc:
            raise ImportError("elastik.aio needs aiohttp: pip install 'elastik[aio]'") from exc
        self._aiohttp = aiohttp
        self._failures = (aiohttp.ClientError, OSError)
        self.url = (default_url() if url is None else url).rstrip("/")
        self.bearer_token = strongest_token() if bearer_token is None else bearer_token
        self.timeout = timeout
        self.retries = retries
        self._keep_alive = keep_alive
        self._cafile = cafile
        self._sessions: dict[bool, ClientSession] = {}
        self._plans = Trees()

    def _connected(self, fresh: bool = False) -> ClientSession:
        """A session; a `fresh` one opens a connection for each request."""
        if fresh not in self._sessions:
            self._sessions[fresh], self._base = session_to(
                self._aiohttp, self.url, self._cafile, fresh=fresh
            )
        return self._sessions[fresh]

    async def close(self) -> None:
        """Close the connections."""
        while self._sessions:
            await self._sessions.popitem()[1].close()

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

        sent = wire_headers(method, headers, self.bearer_token)
        again = is_harmless(method, sent)
        if not again and await self._knows("operation keys"):
            # Only a core that knows operation keys may see the same write twice.
            sent, again = with_key(sent), True
        # What must not or cannot be sent twice uses no connection that may be dead already.
        session = self._connected(fresh=not (self._keep_alive and again and _is_whole(body)))
        wait = self.timeout if silence is None else silence
        limits = self._aiohttp.ClientTimeout(total=None, sock_connect=wait, sock_read=wait)
        url = URL(self._base + target, encoded=True)
        options = {"headers": sent, "timeout": limits, "allow_redirects": False}
        start = beginning_of(body)
        for attempt in range(self.retries + 1):
            options["data"] = body if _is_whole(body) else _pieces(body)
            try:
                answer = await self._delivered(session, method, url, options)
            except self._failures as exc:
                raise _unreachable(exc, method, target) from exc
            pause = pause_of(answer.status, answer.headers)
            if pause is None or attempt == self.retries or start is None:
                break
            answer.release()
            await asyncio.sleep(pause)
            rewind(body, start)
        return answer

    async def _delivered(
        self, session: ClientSession, method: str, url: URL, options: dict[str, Any]
    ) -> ClientResponse:
        """One answer; once more on a new connection where a kept one was dead.

        aiohttp does that itself, but only for methods that need no key, and perhaps on another
        dead one.
        """
        try:
            return await session.request(method, url, **options)
        except self._aiohttp.ClientConnectorError:
            raise
        except (self._aiohttp.ServerDisconnectedError, self._aiohttp.ClientOSError):
            # What may not be sent twice is not in the session that keeps connections.
            if session is not self._sessions.get(False):
                raise
        return await self._connected(fresh=True).request(method, url, **options)

    async def _knows(self, capability: str) -> bool:
        return await self._do(self._plans.knows(capability))

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
        except self._failures as exc:
            raise _unreachable(exc, method, target) from exc
        return Response(answer.status, joined(answer), whole)

    async def page(
        self, method: str, target: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """As `elastik.Elastik.page`: a page of the core itself, its query included."""
        return await self._request(method, target, None, headers)

    # -- plans ---------------------------------------------------------------------------------

    async def _do(self, plan: Plan[Result]) -> Result:
        """Carry a plan out; what a step raises is thrown into it."""
        try:
            step = next(plan)
            while True:
                try:
                    given = await self._step(step)
                except BaseException as exc:
                    step = plan.throw(exc)
                else:
                    step = plan.send(given)
        except StopIteration as done:
            result: Result = done.value
            return result

    async def _step(self, step: Step) -> Any:
        if isinstance(step, Ask):
            target = paths.target(step.path) if step.target is None else step.target
            return await self._request(step.method, target, step.body, step.headers)
        if isinstance(step, Open):
            return await self._opened(step)
        if isinstance(step, Read):
            return await step.source.read()
        if isinstance(step, Lines):
            async with aclosing(self._lines(step.target, step.path)) as lines:
                async for line in lines:
                    step.take(line)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Save):
            async for part in step.source:
                step.out.write(part)
            return await asyncio.to_thread(settled, step.out)
        else:
            answer = await self._request("GET", "/proc/version")
            return version_of(answer.status, answer.body)
        return None

    async def _opened(self, step: Open) -> ByteStream:
        target = paths.target(step.path) if step.target is None else step.target
        answer = await self._send("GET", target, None, step.headers, silence=step.silence)
        if answer.status < 400:
            return ByteStream(answer, step.path, self._failures)
        try:
            body, headers = await answer.read(), joined(answer)
        finally:
            answer.release()
        raise error_for(answer.status, body, method="GET", path=step.path, headers=headers)

    async def _lines(self, target: str, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of a page, read as they are consumed."""
        source = await self._opened(Open(path, {"Accept": "application/jsonl"}, target))
        rest = b""
        try:
            async for piece in source:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line
            if rest:
                yield rest
        finally:
            source.close()

    def clear_cache(self, path: str | None = None) -> None:
        """Forget the body remembered for `get_cached`, of one world or of all."""
        self._plans.remembered.forget(path)

    # -- verbs ---------------------------------------------------------------------------------

    async def put(
        self,
        path: str,
        data: Data | AsyncIterator[bytes],
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        content_language: str | None = None,
        content_disposition: str | None = None,
        cache_control: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        create_only: bool = False,
        delete_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **meta: Any,
    ) -> Written:
        """As `elastik.Elastik.put`; `data` may also be an asynchronous iterator of bytes."""
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
        return await self._do(self._plans.put(path, body, sent, delete_after is not None))

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
        return await self._do(self._plans.post(path, _body(data, "post"), sent))

    @overload
    async def get(
        self,
        path: str,
        *,
        range: tuple[int, int] | None = None,
        if_none_match: None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> bytes: ...

    @overload
    async def get(
        self,
        path: str,
        *,
        range: tuple[int, int] | None = None,
        if_none_match: str | None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> bytes | None: ...

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
        version = None if at is None else version_target(path, at)
        whole = range is None and if_range is None
        return await self._do(self._plans.get(path, sent, version, whole))

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        range: tuple[int, int | None] | None = None,
        if_none_match: str | None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[ByteStream]:
        """``async with e.stream(path) as pieces``, then ``async for piece in pieces``."""
        sent = get_headers(range, if_none_match, if_range, headers)
        source = await self._opened(Open(path, sent))
        try:
            yield source
        finally:
            source.close()

    async def head(self, path: str) -> WorldMeta:
        """As `elastik.Elastik.head`."""
        return cast("WorldMeta", await self._do(self._plans.head(path)))

    async def delete(self, path: str, *, if_match: str | None = None, purge: bool = False) -> bool:
        """As `elastik.Elastik.delete`: True when the world existed."""
        return await self._do(self._plans.delete(path, if_match, purge))

    async def list(self) -> list[str]:
        """All stored paths in byte order."""
        return await self._do(self._plans.names())

    def listen(
        self,
        pattern: str | Sequence[str] = "*",
        *,
        last_event_id: str | int | None = None,
        timeout: float | None = None,
        inline: bool = False,
        max_inline: int = 1 << 20,
    ) -> EventStream:
        """As `elastik.Elastik.listen`: ``async with``, or at once ``async for``."""
        listening = Listening(pattern, max_inline if inline else None)
        return EventStream(self, listening, last_event_id, timeout)


class ByteStream(AsyncIterator[bytes]):
    """An answer whose body is still to be read: iterate it or read it, and close it."""

    def __init__(
        self, answer: ClientResponse, path: str, failures: tuple[type[Exception], ...]
    ) -> None:
        self.answer = answer
        self.status = answer.status
        self.headers = joined(answer)
        self._path = path
        self._failures = failures

    @property
    def etag(self) -> str:
        """With its quotes; empty when there is none."""
        return self.headers.get("etag", "")

    @property
    def size(self) -> int | None:
        """Bytes in this answer (of the range, if one was asked for), when the server says it."""
        length = self.headers.get("content-length")
        return int(length) if length is not None else None

    def __aiter__(self) -> ByteStream:
        return self

    async def __anext__(self) -> bytes:
        try:
            part = await self.answer.content.readany()
        except self._failures as exc:
            raise _unreachable(exc, "GET", self._path) from exc
        if not part:
            raise StopAsyncIteration
        return part

    async def read(self) -> bytes:
        """What is left of the body."""
        return b"".join([part async for part in self])

    def close(self) -> None:
        """Drop what is unread, and the connection with it."""
        self.answer.close()


def _body(data: Any, method: str) -> Any:
    return data if hasattr(data, "__aiter__") else body_of(data, method)


def _is_whole(body: Any) -> bool:
    """Nothing that is used up by being sent."""
    return body is None or isinstance(body, bytes)


async def _pieces(body: Any) -> AsyncIterator[bytes]:
    """The pieces of a file, read in a thread, or of an iterable of either kind."""
    if hasattr(body, "__aiter__"):
        async for piece in body:
            yield piece
        return
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
