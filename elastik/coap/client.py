"""`CoapClient`: the verbs of a CoAP server as blocking calls (RFC 7252, RFC 7959)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from elastik import paths
from elastik.coap import formats, messages, udp
from elastik.coap.linkformat import Link, links
from elastik.coap.messages import Message
from elastik.coap.responses import CoapResponse, response_of

if TYPE_CHECKING:
    from elastik.coap.observing import Observation

Options = Iterable[tuple[int, bytes]]


class CoapClient:
    """A server with its token, so that they are named once.

    `timeout` is seconds for a message and its answer, repetitions included; a body in several
    blocks takes several. Failures of the network are TimeoutError or OSError; with `raise_errors`
    a refusal raises as in `raise_for_status`. Without `block_wise` a body that does not fit one
    datagram is a ValueError. Paths are those of a core's worlds; with `raw_paths` they are sent as
    they are, for other servers, and may end with ``?query``. Blocking, no thread, no event loop:
    it may be used inside a running one, and from several threads.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | str = 5683,
        *,
        token: str | bytes | None = None,
        timeout: float = 2.0,
        raise_errors: bool = False,
        block_wise: bool = True,
        block_size: int = 1024,
        raw_paths: bool = False,
    ) -> None:
        if block_size not in (16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(f"a block has 16, 32, 64 … 1024 bytes, not {block_size}")
        self.host = host
        self.port = int(port)
        self.token = token
        self.timeout = float(timeout)
        self.raise_errors = bool(raise_errors)
        self.block_wise = bool(block_wise)
        self.block_size = block_size
        self.raw_paths = bool(raw_paths)

    def __repr__(self) -> str:
        return f"<CoapClient coap://{self.host}:{self.port}>"

    def get(
        self,
        path: str,
        *,
        token: str | bytes | None = None,
        timeout: float | None = None,
        raise_errors: bool | None = None,
        etag: str | None = None,
    ) -> CoapResponse:
        """GET the whole body. With the `etag` of an answer: 2.03 while that is still current."""
        options = [] if etag is None else [(messages.ETAG, bytes.fromhex(etag))]
        return self.request(
            "GET", path, options=options, token=token, timeout=timeout, raise_errors=raise_errors
        )

    def put(
        self,
        path: str,
        payload: bytes | str,
        *,
        token: str | bytes | None = None,
        content_type: str | None = None,
        timeout: float | None = None,
        raise_errors: bool | None = None,
        if_match: str | None = None,
        create_only: bool = False,
    ) -> CoapResponse:
        """PUT as ``text/plain`` (str), ``application/octet-stream`` (bytes) or `content_type`.

        4.12 when the world no longer has the ETag `if_match`, or exists despite `create_only`.
        """
        options = _conditions(if_match, create_only)
        options.append((messages.CONTENT_FORMAT, messages.uint(_format_of(content_type, payload))))
        return self.request(
            "PUT",
            path,
            payload,
            options=options,
            token=token,
            timeout=timeout,
            raise_errors=raise_errors,
        )

    def post(
        self,
        path: str,
        payload: bytes | str,
        *,
        token: str | bytes | None = None,
        content_type: str | None = None,
        timeout: float | None = None,
        raise_errors: bool | None = None,
        if_match: str | None = None,
    ) -> CoapResponse:
        """POST: a core appends, and makes the world when there is none."""
        options = _conditions(if_match, False)
        options.append((messages.CONTENT_FORMAT, messages.uint(_format_of(content_type, payload))))
        return self.request(
            "POST",
            path,
            payload,
            options=options,
            token=token,
            timeout=timeout,
            raise_errors=raise_errors,
        )

    def delete(
        self,
        path: str,
        *,
        token: str | bytes | None = None,
        timeout: float | None = None,
        raise_errors: bool | None = None,
        if_match: str | None = None,
    ) -> CoapResponse:
        """DELETE; 2.02 also when there was nothing."""
        return self.request(
            "DELETE",
            path,
            options=_conditions(if_match, False),
            token=token,
            timeout=timeout,
            raise_errors=raise_errors,
        )

    def request(
        self,
        method: str,
        path: str,
        payload: bytes | str = b"",
        *,
        options: Options = (),
        token: str | bytes | None = None,
        timeout: float | None = None,
        raise_errors: bool | None = None,
    ) -> CoapResponse:
        """Any method of RFC 7252 with options of your own, as (number, value)."""
        body = payload.encode("utf-8") if isinstance(payload, str) else payload
        sent = self._message(messages.METHODS[method], path, token, options, body)
        response = self._asked(sent, self.timeout if timeout is None else timeout)
        if self.raise_errors if raise_errors is None else raise_errors:
            response.raise_for_status(method=f"COAP {method}", path=path)
        return response

    def discover(self, *filters: str, token: str | bytes | None = None) -> list[Link]:
        """What `/.well-known/core` lists (RFC 6690); a filter is ``href=/home/sensor/*``.

        Raises the ElastikError of a refusal.
        """
        well_known = [(messages.URI_PATH, b".well-known"), (messages.URI_PATH, b"core")]
        queries = [(messages.URI_QUERY, text.encode("utf-8")) for text in filters]
        sent = self._request(messages.GET, [*well_known, *queries], token)
        response = self._asked(sent, self.timeout)
        response.raise_for_status(method="COAP GET", path=".well-known/core")
        return links(response.payload)

    def ping(self, *, timeout: float | None = None) -> float:
        """Seconds until the server gave a sign of life (RFC 7252 §4.3)."""
        wait = self.timeout if timeout is None else timeout
        try:
            return udp.ping(self.host, self.port, wait)
        except (ConnectionError, TimeoutError) as failure:
            raise self._no_answer(failure, wait) from None

    def observe(
        self, path: str, *, token: str | bytes | None = None, retry: int | None = None
    ) -> Observation:
        """The value now, and again whenever it changes (RFC 7641): iterate, and close.

        >>> with CoapClient().observe("sensor/temp") as values:  # doctest: +SKIP
        ...     for response in values:
        ...         print(response.payload)

        It runs on aiocoap, which ``pip install 'elastik[coap]'`` brings: Unsupported without it.
        An observation goes on by itself when the server was away (`retry`: so often in a row); it
        ends with `close`, with the resource (NotFound), or with any other refusal of the server.
        """
        from elastik.coap.observing import Observation

        sent = self._message(messages.GET, path, token, (), b"")
        return Observation(self.host, self.port, sent, retry=retry)

    # -- shared --------------------------------------------------------------------------------

    def _message(
        self, code: int, path: str, token: str | bytes | None, options: Options, body: bytes
    ) -> Message:
        if self.raw_paths:
            return self._request(code, [*messages.path_options(path), *options], token, body)
        segments = paths.canonical(path).split("/")
        named = [(messages.URI_PATH, segment.encode("utf-8")) for segment in segments]
        return self._request(code, [*named, *options], token, body)

    def _request(
        self, code: int, options: Options, token: str | bytes | None, body: bytes = b""
    ) -> Message:
        auth = self.token if token is None else token
        secret = auth.encode("utf-8") if isinstance(auth, str) else auth
        every = [*options, *([(messages.AUTH, secret)] if secret else [])]
        return Message(messages.CON, code, 0, b"", messages.ordered(every), body)

    def _asked(self, sent: Message, timeout: float) -> CoapResponse:
        try:
            answer, raw = udp.ask(
                self.host,
                self.port,
                sent,
                timeout,
                block_wise=self.block_wise,
                block_size=self.block_size,
            )
        except (ConnectionError, TimeoutError) as failure:
            raise self._no_answer(failure, timeout) from None
        return response_of(answer, raw)

    def _no_answer(self, failure: OSError, timeout: float) -> TimeoutError:
        """8.3 raises TimeoutError for a refusal, too; the reason is its `__cause__`."""
        where = f"{self.host}:{self.port}"
        if isinstance(failure, TimeoutError):
            return TimeoutError(f"CoAP timeout after {timeout}s waiting for {where}")
        error = TimeoutError(f"CoAP target {where} did not respond: {failure}")
        error.__cause__ = failure
        return error


def coap_get(
    host: str,
    port: int | str,
    path: str,
    *,
    token: str | bytes | None = None,
    timeout: float = 2.0,
    raise_errors: bool = False,
    block_wise: bool = True,
) -> CoapResponse:
    """One GET. See `CoapClient`."""
    client = CoapClient(host, port, token=token, timeout=timeout, block_wise=block_wise)
    return client.get(path, raise_errors=raise_errors)


def coap_put(
    host: str,
    port: int | str,
    path: str,
    payload: bytes | str,
    *,
    token: str | bytes | None = None,
    content_type: str | None = None,
    timeout: float = 2.0,
    raise_errors: bool = False,
    block_wise: bool = True,
) -> CoapResponse:
    """One PUT. See `CoapClient`."""
    client = CoapClient(host, port, token=token, timeout=timeout, block_wise=block_wise)
    return client.put(path, payload, content_type=content_type, raise_errors=raise_errors)


def _conditions(if_match: str | None, create_only: bool) -> list[tuple[int, bytes]]:
    found = [] if if_match is None else [(messages.IF_MATCH, bytes.fromhex(if_match))]
    return [*found, *([(messages.IF_NONE_MATCH, b"")] if create_only else [])]


def _format_of(content_type: str | None, payload: bytes | str) -> int:
    if content_type is None:
        return 0 if isinstance(payload, str) else 42
    number = formats.number(content_type)
    if number is None:
        raise ValueError(
            f"unsupported CoAP content_type {content_type!r}: it has no number in the registry"
        )
    return number
