"""One CoAP resource under observation on aiocoap: every value, also after silence."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from elastik.coap import messages
from elastik.coap.blocks import Limits, download, transfer
from elastik.coap.freshness import fresh_for, newer
from elastik.coap.messages import OBSERVE, Message
from elastik.coap.responses import code_text, status_of
from elastik.coap.speaking import Rejected, Speaker, received
from elastik.coap.udp import MAX_DATAGRAM
from elastik.errors import NoAnswer, Unreachable, Unsupported, error_for

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
GOODBYE_S = 1.5


class NotObservable(Unsupported):
    """The server gave the value, and will not tell when it changes."""


def refuse(answer: Message) -> None:
    """Raise the error that an answer of 4.00 or more stands for."""
    if not answer.ok:
        raise error_for(status_of(answer.code), answer.payload, method="OBSERVE")


class Watch:
    """Registers `request` and hands each whole value to `told`, until `stop` or an error.

    `registered` is called for each registration; `lost` gets the error, how many there were in a
    row and the pause before the next try. After more than `retry` (None: never) it is raised.
    """

    def __init__(
        self,
        speaker: Speaker,
        request: Message,
        told: Callable[[Message], None],
        *,
        registered: Callable[[], None] = lambda: None,
        lost: Callable[[NoAnswer, int, float], None] = lambda error, attempt, pause: None,
        judge: Callable[[Message], None] = refuse,
        retry: int | None = None,
    ) -> None:
        self.speaker, self.request, self.told = speaker, request, told
        self.registered, self.lost, self.judge, self.retry = registered, lost, judge, retry
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt: asyncio.Event | None = None
        self._stopped = False
        self._token = b""
        self._seen: tuple[int, float] | None = None
        self._last: tuple[bytes, bytes] | None = None

    def stop(self) -> None:
        """Deregister, and end soon; from any thread."""
        self._stopped = True
        if self._loop is not None and self._halt is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._halt.set)

    async def run(self) -> None:
        """Observe until `stop`."""
        self._loop, self._halt = asyncio.get_running_loop(), asyncio.Event()
        failures = 0
        async with self.speaker:
            while not (self._stopped or self._halt.is_set()):
                try:
                    await self._observe_once()
                    failures = 0
                    continue
                except NoAnswer as error:
                    # Wrong is wrong; what did not answer may answer later.
                    failures += 1
                    rejected = isinstance(getattr(error, "reason", None), Rejected)
                    if rejected or (self.retry is not None and failures > self.retry):
                        raise
                    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (failures - 1))
                    self.lost(error, failures, pause)
                await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        assert self._halt is not None
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._halt.wait(), seconds)

    async def _observe_once(self) -> None:
        """Register, and take notifications until they stop; returns when it is time again."""
        assert self._halt is not None
        self._keep_token()
        sent = self.speaker.sendable(self.request.plus((OBSERVE, b"")))
        request = self.speaker.context.request(sent, handle_blockwise=False)
        first = received(await self.speaker.reaching(request.response))
        self._judge(first)
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        # The iterator of aiocoap keeps only the newest of several; callbacks get every one.
        request.observation.register_callback(arrived.put_nowait, _suppress_deprecation=True)
        request.observation.register_errback(arrived.put_nowait, _suppress_deprecation=True)
        if first.value(OBSERVE) is None:
            await self._take(first)
            raise NotObservable(f"{self.speaker.authority}: the resource cannot be observed")
        self._token, self._seen = sent.token, None
        self.registered()
        await self._take(first)
        fresh = fresh_for(first)
        while (item := await self._next(arrived, fresh)) is not None:
            if isinstance(item, Exception):
                return
            notification = received(item)
            if notification.code == messages.NOT_ACCEPTABLE:
                # Another format now: RFC 7641 §4.2 ends the observation and lets us ask anew.
                return
            self._judge(notification)
            await self._take(notification)
            fresh = fresh_for(notification)
        if self._halt.is_set():
            await self._goodbye(request)
        elif not request.observation.cancelled:
            request.observation.cancel()

    def _judge(self, answer: Message) -> None:
        if answer.code in (messages.UNAVAILABLE, messages.GATEWAY_TIMEOUT):
            raise Unreachable(f"{self.speaker.authority}: {code_text(answer.code)}")
        self.judge(answer)

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

    async def _take(self, message: Message) -> None:
        """Hand a value over, if it is newer, and not what a registration repeats unchanged."""
        number, now = message.uint(OBSERVE) or 0, time.monotonic()
        if self._seen is not None and not newer(*self._seen, number, now):
            return
        renewed, self._seen = self._seen is None, (number, now)
        whole = await self._rest_of(message)
        mark = (whole.payload, whole.value(messages.ETAG) or b"")
        if not (renewed and mark == self._last):
            self._last = mark
            self.told(whole)

    async def _rest_of(self, message: Message) -> Message:
        """A notification's whole body; its later blocks are asked for (RFC 7959 §3.4)."""
        limits = Limits(MAX_DATAGRAM)
        for steps in (download(self.request, message), transfer(self.request, limits)):
            whole = await self._driven(steps)
            if whole is not None:
                self.judge(whole)
                return whole
        raise Unreachable("the resource changes faster than it can be read")

    async def _driven(self, steps: Any) -> Message | None:
        try:
            step = next(steps)
            while True:
                step = steps.send(await self.speaker.exchange(step))
        except StopIteration as end:
            whole: Message | None = end.value
            return whole

    # -- tokens: aiocoap gives each request a new one ------------------------------------------

    def _keep_token(self) -> None:
        """Register again under the same token, so that the server renews and does not add."""
        if not self._token:
            return
        token, self._token = self._token, b""
        for interface in self.speaker.context.request_interfaces:
            if hasattr(interface, "next_token"):
                _once(interface, token)

    async def _goodbye(self, request: Any) -> None:
        """Deregister by Observe=1 (RFC 7641 §3.6); without it the next notification would be."""
        if not request.observation.cancelled:
            request.observation.cancel()
        self._keep_token()
        with contextlib.suppress(Exception):
            goodbye = self.speaker.exchange(self.request.plus((OBSERVE, b"\x01")))
            await asyncio.wait_for(goodbye, GOODBYE_S)


def _once(interface: Any, token: bytes) -> None:
    def next_token() -> bytes:
        del interface.next_token
        return token

    interface.next_token = next_token
