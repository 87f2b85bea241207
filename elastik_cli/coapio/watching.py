"""Observe a CoAP resource for `elastik coap observe`: each value becomes an event."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import Any

from elastik.coap import messages
from elastik.coap.messages import GET, Message
from elastik.coap.watching import GOODBYE_S, NotObservable, Watch
from elastik.errors import NoAnswer
from elastik_cli.coapio.asking import Asker, failure_of, refusal
from elastik_cli.exits import Exit, Failure
from elastik_cli.feed import Connected, Event, Failed, Lost
from elastik_cli.handlers import Handler


class CoapFeed(threading.Thread):
    """Puts each notification into `inbox` as an event, from an event loop of its own.

    The same hands as `listen` take it from there. `registered` counts registrations.
    """

    def __init__(self, asker: Asker, inbox: SimpleQueue[Any], retry: int | None = None) -> None:
        super().__init__(daemon=True)
        self.asker, self.inbox = asker, inbox
        self.registered = 0
        self._watch = Watch(
            asker.speaker,
            asker.message(GET, []),
            self._told,
            registered=self._registered,
            lost=lambda error, attempt, pause: inbox.put(Lost(error, attempt, pause)),
            judge=self._judge,
            retry=retry,
        )

    def handled(self) -> None:
        """Nothing to make room for: aiocoap keeps what the server sends."""

    def stop(self) -> None:
        """Deregister, and end soon."""
        self._watch.stop()
        if self.is_alive():
            self.join(GOODBYE_S)

    def run(self) -> None:
        try:
            asyncio.run(self._watch.run())
        except NotObservable:
            text = f"{self.asker.target} cannot be observed"
            self.inbox.put(Failed(Failure(text, Exit.FAILED)))
        except NoAnswer as error:
            self.inbox.put(Failed(failure_of(error)))
        except Exception as error:
            self.inbox.put(Failed(error))

    def _registered(self) -> None:
        self.registered += 1
        self.inbox.put(Connected())

    def _judge(self, answer: Message) -> None:
        if failure := refusal(answer, f"observe {self.asker.target}"):
            raise failure

    def _told(self, whole: Message) -> None:
        kind = messages.media_type(whole) or "application/octet-stream"
        etag = (whole.value(messages.ETAG) or b"").hex()
        size = str(len(whole.payload))
        path = self.asker.target.path
        event = Event("put", path, None, etag, kind, size, body=whole.payload, body_state="whole")
        self.inbox.put(event)


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
