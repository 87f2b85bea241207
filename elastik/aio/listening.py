"""A listen stream for asyncio: connected by `async with`, or by waiting for its first event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from elastik.errors import TimedOut, Unreachable
from elastik.events import SILENCE_S, Event, FrameParser, start_of

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from elastik.aio.verbs import ByteStream, Verbs
    from elastik.listening import Listening


class EventStream(AsyncIterator[Event]):
    """An open `/listen` request, as `elastik.EventStream` is: iterate it, close it from any task.

    ``async with e.listen(…) as events`` is connected inside, so that no event is missed before
    the loop; iterated without that, it connects with the first step. Any end, TimedOut and
    Unreachable too, ends the stream; listen again with ``last_event_id=stream.last_event_id``.
    """

    def __init__(
        self,
        client: Verbs,
        listening: Listening,
        last_event_id: str | int | None,
        timeout: float | None,
    ) -> None:
        self.timeout = timeout
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_event_id = "" if last_event_id is None else str(last_event_id)
        self._client = client
        self._listening = listening
        self._asked = last_event_id
        self._source: ByteStream | None = None
        self._parser = FrameParser()
        self._ready: list[Event] = []
        self._closed = False

    async def _connected(self) -> ByteStream:
        if self._source is None:
            plan = self._listening.opened(self._client._plans, self._asked)
            self._source = source = await self._client._do(plan)
            self.status, self.headers = source.status, source.headers
            self.last_event_id = start_of(source.headers, self._asked)
        return self._source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not self._closed:
            while self._ready:
                event = self._ready.pop(0)
                self.last_event_id = event["id"] or self.last_event_id
                if await self._client._do(self._listening.finished(event)):
                    return event
            left = None if self.timeout is None else started + self.timeout - loop.time()
            try:
                piece = await self._read(left)
            except BaseException:
                self.close()
                raise
            if not piece:
                self.close()
            self._ready = self._parser.feed(piece)
        raise StopAsyncIteration

    async def _read(self, seconds: float | None) -> bytes:
        source = await self._connected()
        if seconds is None:
            return await self._heard(source)
        try:
            return await asyncio.wait_for(self._heard(source), max(0.0, seconds))
        except asyncio.TimeoutError:
            raise TimedOut(f"no event within {self.timeout} s", path="/listen") from None

    async def _heard(self, source: ByteStream) -> bytes:
        try:
            return await anext(source, b"")
        except TimedOut:
            if self._closed:
                return b""
            raise Unreachable(f"nothing heard for {SILENCE_S:.0f} s", path="/listen") from None
        except Unreachable:
            if self._closed:
                return b""
            raise

    def close(self) -> None:
        """End the stream; a task that waits for an event stops."""
        self._closed = True
        if self._source is not None:
            self._source.close()

    async def aclose(self) -> None:
        """The same, for `contextlib.aclosing`."""
        self.close()

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A loop that was left by `return` or `break`; the event loop may be gone, too.
        with suppress(RuntimeError):
            self.close()
