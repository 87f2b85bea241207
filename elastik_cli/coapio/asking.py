"""One request to a CoAP server: blocks, waiting when it asks to wait, Echo, exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from elastik.coap import messages
from elastik.coap.blocks import Limits, Progress, transfer
from elastik.coap.messages import AUTH, Message
from elastik.coap.persevering import Pause, persevering
from elastik.coap.responses import code_text
from elastik.coap.speaking import Rejected, Speaker
from elastik.errors import ElastikError, TimedOut, Unsupported
from elastik_cli.coapio.target import Target
from elastik_cli.exits import Exit, Failure

Answer = TypeVar("Answer")

DATAGRAM = 1152
# RFC 7252 §4.8.2: after so many seconds nobody answers a request any more.
MAX_TRANSMIT_WAIT_S = 93.0

EXITS = {
    messages.NOT_FOUND: Exit.NOT_FOUND,
    messages.UNAUTHORIZED: Exit.DENIED,
    messages.FORBIDDEN: Exit.DENIED,
    messages.CONFLICT: Exit.CONFLICT,
    messages.PRECONDITION_FAILED: Exit.CONFLICT,
    messages.UNAVAILABLE: Exit.UNREACHABLE,
    messages.GATEWAY_TIMEOUT: Exit.TIMED_OUT,
}


def run(main: Coroutine[Any, Any, Answer]) -> Answer:
    """Run `main` in an event loop of its own."""
    return asyncio.run(main)


class Asker:
    """A client context for one target. `async with` opens and closes it."""

    def __init__(
        self,
        target: Target,
        token: bytes = b"",
        timeout: float | None = None,
        progress: Progress = lambda *_: None,
        limits: Limits | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.target, self.token, self.timeout = target, token, timeout
        self.progress, self.limits, self.say = progress, limits or Limits(DATAGRAM), say
        self.speaker = Speaker(target.scheme, target.authority)

    async def __aenter__(self) -> Asker:
        await self.speaker.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.speaker.__aexit__(None, None, None)

    def message(self, code: int, options: list[tuple[int, bytes]], payload: bytes = b"") -> Message:
        """A request for the target, with the token."""
        auth = [(AUTH, self.token)] if self.token else []
        own = messages.ordered([*self.target.options(), *options, *auth])
        return Message(messages.CON, code, 0, b"", own, payload)

    async def ask(self, request: Message) -> Message:
        """The whole answer, whatever its code; a Failure when there is none."""
        limit = MAX_TRANSMIT_WAIT_S if self.timeout is None else self.timeout
        try:
            return await asyncio.wait_for(self._whole(request), limit)
        except (TimeoutError, asyncio.TimeoutError):
            text = f"no answer from {self.target.authority} within {limit:g} s"
            raise Failure(text, Exit.TIMED_OUT) from None

    async def _whole(self, request: Message) -> Message:
        moves = persevering(transfer(request, self.limits, self.progress))
        try:
            move = next(moves)
            while True:
                if isinstance(move, Pause):
                    self.say(f"{self.target.authority} asks to wait {move.seconds:g} s")
                    await asyncio.sleep(move.seconds)
                    move = next(moves)
                else:
                    move = moves.send(await self.exchange(move))
        except StopIteration as end:
            whole: Message = end.value
            return whole

    async def exchange(self, step: Message) -> Message:
        """Exactly one message and its answer."""
        try:
            return await self.speaker.exchange(step)
        except ElastikError as error:
            raise failure_of(error) from None


def failure_of(error: ElastikError) -> Failure:
    """What the lack of an answer means for the command."""
    reason = getattr(error, "reason", None)
    if isinstance(error, Unsupported):
        hint = "coaps needs aiocoap's extra [dtls]" if "coaps" in str(error) else ""
        return Failure(str(error), Exit.USAGE, hint)
    if isinstance(error, TimedOut):
        return Failure(str(reason), Exit.TIMED_OUT)
    if isinstance(reason, Rejected):
        return Failure(str(reason), Exit.FAILED)
    return Failure(str(reason or error), Exit.UNREACHABLE, "is its CoAP port open?")


def refusal(answer: Message, what: str) -> Failure | None:
    """What an answer of 4.00 or more means for the command; None for a good one."""
    if answer.ok:
        return None
    text = answer.payload.decode("utf-8", "replace").strip()
    said = f" ({text})" if text else ""
    code = EXITS.get(answer.code, Exit.FAILED)
    return Failure(f"{what}: {code_text(answer.code)}{said}", code)
