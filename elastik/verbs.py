"""The wire verbs of a client: request, stream, put, get, head, post, delete, list, listen."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, cast, overload

from elastik import paths
from elastik.errors import error_for
from elastik.plans import Ask, Lines, Open, Pause, Plan, Read, Result, Save, Step
from elastik.responses import ByteStream, Response, WorldMeta, Written
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
from elastik.trees import Trees

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from elastik.coap.transport import CoapTransport
    from elastik.events import EventStream
    from elastik.history import At
    from elastik.transport import Answer, Body, Transport

_log = logging.getLogger("elastik")
_log.addHandler(logging.NullHandler())


class Verbs:
    """One connection pool to one core, and the verbs of its wire."""

    def __init__(
        self,
        url: str | None = None,
        bearer_token: str | None = None,
        *,
        debug: bool | str = False,
        timeout: float | None = 30.0,
        keep_alive: bool = True,
        cafile: str | os.PathLike[str] | None = None,
        retries: int = 2,
    ) -> None:
        """A client of the core at `url`.

        `url` is ``http://``, ``https://`` or ``http+unix:///path/of/socket``; by default that of
        the environment, like `bearer_token`. With ``coap://`` there are put, get, head, post,
        delete and listen; what CoAP cannot say raises NotOverCoap. `timeout` is seconds of
        silence, None for no limit.
        `keep_alive=False` opens a connection for each request. `cafile` is a PEM file to trust for
        https. `retries` bounds how often a 503 with ``Retry-After`` is tried again.
        """
        self.url = (default_url() if url is None else url).rstrip("/")
        self.bearer_token = strongest_token() if bearer_token is None else bearer_token
        self.timeout = timeout
        self.retries = retries
        self._keep_alive = keep_alive
        self._cafile = cafile
        self._transport_made: Transport | CoapTransport | None = None
        self._plans = Trees()
        # A core counts its requests: an answer with a lower number comes from a new process.
        self._newest_request = 0

    # -- life ----------------------------------------------------------------------------------

    @property
    def _transport(self) -> Transport | CoapTransport:
        if self._transport_made is None and self._is_coap:
            from elastik.coap.transport import CoapTransport

            self._transport_made = CoapTransport(self.url, timeout=self.timeout)
        elif self._transport_made is None:
            from elastik.transport import Transport

            self._transport_made = Transport(
                self.url, timeout=self.timeout, keep_alive=self._keep_alive, cafile=self._cafile
            )
        return self._transport_made

    @property
    def _is_coap(self) -> bool:
        """CoAP has only some of the verbs."""
        return self.url[:5].lower() == "coap:"

    def close(self) -> None:
        """Close the idle connections; the client can be used again."""
        if self._transport_made is not None:
            self._transport_made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- raw requests --------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request as it is: no exception for 4xx and 5xx, any method, your own headers.

        Headers that the transport computes (Content-Length, Host, …) raise ValueError; an explicit
        Authorization wins over the client's token. Raises Unreachable without an answer.
        """
        return self._request(method, path, paths.target(path), body, headers)

    def page(self, method: str, target: str, headers: Mapping[str, str] | None = None) -> Response:
        """One request to a page of the core itself, such as ``/proc/list/home?limit=10``.

        `target` goes on the wire as it is, its query included; no exception for 4xx and 5xx.
        """
        return self._request(method, target, target, None, headers)

    def _request(
        self,
        method: str,
        path: str,
        target: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        started = time.perf_counter()
        answer = self._send(method, target, body, headers)
        response = Response(answer.status, answer.headers, answer.read())
        elapsed_ms = (time.perf_counter() - started) * 1000
        _log.debug(
            "%s %s -> %d %dB %.1fms", method, path, response.status, len(response.body), elapsed_ms
        )
        self._observe(method, path, dict(headers or {}), response, elapsed_ms)
        return response

    def _observe(
        self, method: str, path: str, sent: dict[str, str], response: Response, elapsed_ms: float
    ) -> None:
        """Where request tracing hooks in."""

    def _raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """`request` as a tuple, as early versions had it."""
        response = self.request(method, path, body, headers)
        return response.status, response.headers, response.body

    def _send(
        self,
        method: str,
        target: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
    ) -> Answer:
        """Send with token and operation key, once more after a dead connection or a 503."""
        sent = wire_headers(method, headers, self.bearer_token)
        again = is_harmless(method, sent)
        if not again and self._transport.has_idle() and self._knows("operation keys"):
            # Only a core that knows operation keys may see the same write twice.
            sent, again = with_key(sent), True
        start = beginning_of(body)
        for attempt in range(self.retries + 1):
            answer = self._transport.send(
                method, target, sent, body, timeout=timeout, fresh=not again
            )
            pause = pause_of(answer.status, answer.headers)
            if pause is None or attempt == self.retries or start is None:
                break
            answer.read()
            time.sleep(pause)
            rewind(body, start)
        number = answer.headers.get("x-request-id", "")
        if number.isdecimal():
            self._newest_request = max(self._newest_request, int(number))
        return answer

    # -- plans ---------------------------------------------------------------------------------

    def _do(self, plan: Plan[Result]) -> Result:
        """Carry a plan out; what a step raises is thrown into it."""
        try:
            step = next(plan)
            while True:
                try:
                    given = self._step(step)
                except BaseException as exc:
                    step = plan.throw(exc)
                else:
                    step = plan.send(given)
        except StopIteration as done:
            result: Result = done.value
            return result

    def _step(self, step: Step) -> Any:
        if isinstance(step, Ask):
            if step.target is None:
                return self.request(step.method, step.path, step.body, step.headers)
            return self._request(step.method, step.path, step.target, step.body, step.headers)
        if isinstance(step, Open):
            return self._opened(step)
        if isinstance(step, Read):
            return step.source.read()
        if isinstance(step, Lines):
            for line in self._lines(step.target, step.path):
                step.take(line)
        elif isinstance(step, Pause):
            time.sleep(step.seconds)
        elif isinstance(step, Save):
            step.out.writelines(step.source)
            return settled(step.out)
        else:
            answer = self._transport.send("GET", "/proc/version", {})
            return version_of(answer.status, answer.read())
        return None

    def _opened(self, step: Open) -> ByteStream:
        target = paths.target(step.path) if step.target is None else step.target
        answer = self._send("GET", target, None, step.headers, timeout=step.silence)
        if answer.status >= 400:
            raise error_for(
                answer.status, answer.read(), method="GET", path=step.path, headers=answer.headers
            )
        return ByteStream(answer)

    def _knows(self, capability: str) -> bool:
        """What the core can do, decided once by /proc/version."""
        return self._do(self._plans.knows(capability))

    # -- verbs ---------------------------------------------------------------------------------

    def put(
        self,
        path: str,
        data: Data,
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
        """PUT `data`, replacing body, type and headers of the world.

        `data` is bytes, text (sent as UTF-8), a binary file or an iterable of bytes; the last two
        are streamed. Other keywords become ``X-Meta-*`` headers, which a core keeps when its
        ELASTIK_PERSIST_HEADERS lists them. `create_only` is ``If-None-Match: *``. After
        `delete_after` seconds the core deletes the world (Unsupported on a core before 9).
        Raises PreconditionFailed, PayloadTooLarge, InsufficientStorage, Unauthorized, Unreachable.
        """
        body = body_of(data, "put")
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
        return self._do(self._plans.put(path, body, sent, delete_after is not None))

    def post(
        self,
        path: str,
        data: Data,
        *,
        if_match: str | None = None,
        offset: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Written:
        """POST: append `data` to an existing world; its type and headers stay as they are.

        `offset` is the size in bytes that the world must have, so that two writers of one log do
        not interleave (PreconditionFailed; ignored by a core before 9). Never delivered twice by
        this client. Raises NotFound when there is nothing to append to.
        """
        sent = post_headers(if_match, offset, headers)
        return self._do(self._plans.post(path, body_of(data, "post"), sent))

    @overload
    def get(
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
    def get(
        self,
        path: str,
        *,
        range: tuple[int, int] | None = None,
        if_none_match: str | None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> bytes | None: ...

    def get(
        self,
        path: str,
        *,
        range: tuple[int, int] | None = None,
        if_none_match: str | None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: At | None = None,
    ) -> bytes | None:
        """GET the exact bytes. `range` is (first, last), both included, as HTTP counts.

        `at` is the id of an event of the world's chain or a time: the version that was in force
        then, if the core has kept it (see `history`).
        None means 304 for `if_none_match`; a missing world raises NotFound.
        """
        sent = get_headers(range, if_none_match, if_range, headers)
        whole = range is None and if_range is None
        return self._do(self._plans.get(path, sent, _version_of(path, at), whole))

    def stream(
        self,
        path: str,
        *,
        range: tuple[int, int | None] | None = None,
        if_none_match: str | None = None,
        if_range: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ByteStream:
        """GET without holding the body in memory: iterate the result inside `with`.

        `range` is (first, last) or (first, None) for the rest. Status, headers and ETag are there
        before the first byte is read; a 304 has no bytes.
        """
        sent = get_headers(range, if_none_match, if_range, headers)
        return self._opened(Open(path, sent))

    def head(self, path: str) -> WorldMeta:
        """HEAD: lower-case headers as a dict; a repeated header is joined by a comma.

        NotFound when there is no such world.
        """
        return cast("WorldMeta", self._do(self._plans.head(path)))

    def delete(self, path: str, *, if_match: str | None = None, purge: bool = False) -> bool:
        """DELETE: True when the world existed, False when there was none.

        With `purge` its kept versions go too (Unsupported on a core before 9).
        """
        return self._do(self._plans.delete(path, if_match, purge))

    def list(self) -> list[str]:
        """All stored paths in byte order, from /proc/worlds."""
        return self._do(self._plans.names())

    def listen(
        self,
        pattern: str | Sequence[str] = "*",
        *,
        last_event_id: str | int | None = None,
        timeout: float | None = None,
        inline: bool = False,
        max_inline: int = 1 << 20,
    ) -> EventStream:
        """Events of the worlds that `pattern`, or one of several patterns, covers.

        Connected when this returns; iterate the result, close it from any thread. `timeout` is the
        longest wait for one event in seconds (then TimedOut). With `inline` each event carries its
        own ``body`` up to `max_inline` bytes, or None and a ``body-state`` that says why not.
        `last_event_id` resumes after that event.
        """
        limit = max_inline if inline else None
        if self._is_coap:
            from elastik.coap.listening import open_events

            return open_events(self, pattern, last_event_id, timeout, limit)
        from elastik.listening import Listening, open_stream

        return open_stream(self, Listening(pattern, limit), last_event_id, timeout)

    # -- shared --------------------------------------------------------------------------------

    def _lines(self, target: str, path: str) -> Iterator[bytes]:
        """The lines of a page, read as they are consumed."""
        source = self._opened(Open(path, {"Accept": "application/jsonl"}, target))
        rest = b""
        try:
            for piece in source:
                *lines, rest = (rest + piece).split(b"\n")
                yield from lines
            if rest:
                yield rest
        finally:
            source.close()

    def clear_cache(self, path: str | None = None) -> None:
        """Forget the body remembered for `get_cached`, of one world or of all."""
        self._plans.remembered.forget(path)


def _version_of(path: str, at: At | None) -> str | None:
    """The target of an old version; None for the one in force."""
    if at is None:
        return None
    from elastik.history import version_target

    return version_target(path, at)


def settled(out: IO[bytes]) -> int:
    """What was written is on the disk: the file's position."""
    out.flush()
    os.fsync(out.fileno())
    return out.tell()
