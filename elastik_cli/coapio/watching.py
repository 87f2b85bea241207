"""Observe a CoAP resource: every notification, registered again when it goes quiet."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from queue import SimpleQueue
from typing import Any

from elastik.errors import NoAnswer
from elastik_cli.coapio.asking import Asker, received, refusal
from elastik_cli.exits import Exit, Failure
from elastik_cli.feed import Connected, Event, Failed, Lost
from elastik_cli.handlers import Handler
from elastik_cli.serialio import messages
from elastik_cli.serialio.blocks import download
from elastik_cli.serialio.messages import GET, MAX_AGE, OBSERVE, Message

# RFC 7641 §3.3.1: a client registers again when Max-Age is over, and a little later.
DEFAULT_MAX_AGE_S, GRACE_S = 60, 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
GOODBYE_S = 1.5
NOT_ACCEPTABLE = 134


class NotObservable(Failure):
    """The server gave the value, and will not tell when it changes."""


class CoapFeed(threading.Thread):
    """Puts each notification into `inbox` as an event, from an event loop of its own.

    The same hands as `listen` take it from there. `registered` counts registrations.
    """

    def __init__(self, asker: Asker, inbox: SimpleQueue[Any], retry: int | None = None) -> None:
        super().__init__(daemon=True)
        self.asker, self.inbox, self.retry = asker, inbox, retry
        self.registered = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt: asyncio.Event | None = None
        self._token = b""
        self._last: tuple[bytes, int] | None = None

    # -- called by the listener ----------------------------------------------------------------

    def handled(self) -> None:
        """Nothing to make room for: aiocoap keeps what the server sends."""

    def stop(self) -> None:
        """Deregister, and end soon."""
        if self._loop is not None and self._halt is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._halt.set)
        if self.is_alive():
            self.join(GOODBYE_S)

    # -- its own thread ------------------------------------------------------------------------

    def run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            self.inbox.put(Failed(error))

    async def _main(self) -> None:
        self._loop, self._halt = asyncio.get_running_loop(), asyncio.Event()
        async with self.asker:
            failures = 0
            while not self._halt.is_set():
                try:
                    await self._observe_once()
                    failures = 0
                    continue
                except NotObservable:
                    raise
                except Failure as failure:
                    # Wrong is wrong; what did not answer may answer later, as with `listen`.
                    later = failure.code in (Exit.UNREACHABLE, Exit.TIMED_OUT)
                    failures += 1
                    if not later or (self.retry is not None and failures > self.retry):
                        raise
                    lost = NoAnswer(0, failure.message.encode())
                    lost.reason = failure.message  # type: ignore[attr-defined]
                pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (failures - 1))
                self.inbox.put(Lost(lost, failures, pause))
                await self._wait(pause)

    async def _wait(self, seconds: float) -> bool:
        """Whether it was told to stop within so many seconds."""
        assert self._halt is not None
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._halt.wait(), seconds)
        return self._halt.is_set()

    async def _observe_once(self) -> None:
        """Register, and take notifications until they stop; returns when it is time again."""
        assert self._halt is not None
        message = self.asker.message(GET, [(OBSERVE, b"")])
        self._keep_token()
        sent = self.asker.sendable(message)
        request = self.asker.context.request(sent, handle_blockwise=False)
        first = received(await self.asker.reaching(request.response))
        if failure := refusal(first, f"observe {self.asker.target}"):
            raise failure
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        # The iterator of aiocoap keeps only the newest of several; callbacks get every one.
        request.observation.register_callback(arrived.put_nowait, _suppress_deprecation=True)
        request.observation.register_errback(arrived.put_nowait, _suppress_deprecation=True)
        if first.value(OBSERVE) is None:
            await self._told(first)
            raise NotObservable(f"{self.asker.target} cannot be observed", Exit.FAILED)
        self.registered += 1
        self._token = sent.token
        self.inbox.put(Connected())
        await self._told(first)
        fresh = _age(first)
        while True:
            item = await self._next(arrived, fresh)
            if item is None:
                break
            if isinstance(item, Exception):
                return
            notification = received(item)
            if notification.code == NOT_ACCEPTABLE:
                # Another format now: RFC 7641 §4.2 ends the observation and lets us ask anew.
                return
            if failure := refusal(notification, f"observe {self.asker.target}"):
                raise failure
            await self._told(notification)
            fresh = _age(notification)
        if self._halt.is_set():
            await self._goodbye(request)
        elif not request.observation.cancelled:
            request.observation.cancel()

    async def _next(self, arrived: asyncio.Queue[Any], fresh: float) -> Any:
        """The next notification; None when it is time to stop or to register again."""
        assert self._halt is not None
        got = asyncio.ensure_future(arrived.get())
        halt = asyncio.ensure_future(self._halt.wait())
        await asyncio.wait({got, halt}, timeout=fresh, return_when=asyncio.FIRST_COMPLETED)
        halt.cancel()
        if got.done() and not self._halt.is_set():
            return got.result()
        got.cancel()
        return None

    async def _told(self, message: Message) -> None:
        """Hand a value over; what a registration repeats unchanged is handed over once."""
        whole = await self._rest_of(message)
        mark = (whole.payload, whole.uint(OBSERVE) or -1)
        if mark == self._last:
            return
        self._last = mark
        kind = messages.media_type(whole) or "application/octet-stream"
        etag = (whole.value(messages.ETAG) or b"").hex()
        size = str(len(whole.payload))
        path = self.asker.target.path
        event = Event("put", path, None, etag, kind, size, body=whole.payload, body_state="whole")
        self.inbox.put(event)

    async def _rest_of(self, message: Message) -> Message:
        """A notification's whole body; its later blocks are asked for (RFC 7959 §3.4)."""
        request = self.asker.message(GET, [])
        steps = download(request, message)
        try:
            step = next(steps)
            while True:
                step = steps.send(await self.asker.exchange(step))
        except StopIteration as end:
            return end.value if end.value is not None else await self.asker.ask(request)

    # -- tokens: aiocoap gives each request a new one -------------------------------------------

    def _keep_token(self) -> None:
        """Register again under the same token, so that the server renews and does not add."""
        if not self._token:
            return
        token, self._token = self._token, b""
        for interface in self.asker.context.request_interfaces:
            if hasattr(interface, "next_token"):
                _once(interface, token)

    async def _goodbye(self, request: Any) -> None:
        """Deregister by Observe=1 (RFC 7641 §3.6); without it the next notification would be."""
        if not request.observation.cancelled:
            request.observation.cancel()
        self._keep_token()
        message = self.asker.message(GET, [(OBSERVE, b"\x01")])
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.asker.exchange(message), GOODBYE_S)


def _once(interface: Any, token: bytes) -> None:
    def next_token() -> bytes:
        del interface.next_token
        return token

    interface.next_token = next_token


def _age(message: Message) -> float:
    age = message.uint(MAX_AGE)
    return (DEFAULT_MAX_AGE_S if age is None else age) + GRACE_S


class Values(Handler):
    """Prints each value on a line of its own, or as JSON."""

    def __init__(self, out: Any) -> None:
        self.out = out

    def event(self, event: Event) -> bool:
        if self.out.json:
            self.out.record(event.record())
        else:
            body = event.body or b""
            self.out.bytes(body.removesuffix(b"\n") + b"\n")
            self.out.flush()
        return True
