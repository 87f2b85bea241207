"""`CoapClient.observe`: the values of a CoAP resource as an iterator that any thread can close."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from elastik.coap import messages
from elastik.coap.messages import Message
from elastik.coap.responses import CoapResponse, response_of
from elastik.coap.speaking import Speaker, needed
from elastik.coap.watching import GOODBYE_S, Watch
from elastik.errors import TimedOut


class Observation(Iterator[CoapResponse]):
    """An open observation: iterate it, close it from any thread.

    ``next()`` raises TimedOut when `timeout` seconds pass without a value (None: wait for ever),
    the ElastikError of what ended the observation, and StopIteration after `close`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        request: Message,
        *,
        timeout: float | None = None,
        retry: int | None = None,
    ) -> None:
        needed()
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.timeout = timeout
        self._arrived: SimpleQueue[Any] = SimpleQueue()
        self._closed = False
        self._watch = Watch(Speaker("coap", authority), request, self._told, retry=retry)
        self._thread = threading.Thread(target=self._run, name="elastik-coap-observe", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            # An event loop of its own: the caller's may be running, or not be there.
            asyncio.run(self._watch.run())
            self._arrived.put(None)
        except Exception as error:
            self._arrived.put(error)

    def _told(self, message: Message) -> None:
        self._arrived.put(response_of(message, messages.encode(message)))

    def __iter__(self) -> Observation:
        return self

    def __next__(self) -> CoapResponse:
        if self._closed:
            raise StopIteration
        try:
            item = self._arrived.get(timeout=self.timeout)
        except Empty:
            raise TimedOut(f"no value within {self.timeout} s", method="OBSERVE") from None
        if isinstance(item, CoapResponse):
            return item
        self._closed = True
        if item is None:
            raise StopIteration
        raise item

    def close(self) -> None:
        """Deregister (RFC 7641 §3.6) and end; a reader in another thread stops."""
        self._watch.stop()
        self._arrived.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(2 * GOODBYE_S)

    def __enter__(self) -> Observation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
