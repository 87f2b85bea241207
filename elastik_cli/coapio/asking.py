"""One request to a CoAP server: blocks, waiting when it asks to wait, Echo, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from elastik_cli.coapio.target import Target
from elastik_cli.exits import Exit, Failure
from elastik_cli.serialio import messages
from elastik_cli.serialio.blocks import Limits, Progress, transfer
from elastik_cli.serialio.messages import AUTH, MAX_AGE, Message

Answer = TypeVar("Answer")

ECHO = 252
TOO_MANY = 157
DATAGRAM = 1152
# RFC 7252 §4.8.2: after so many seconds nobody answers a request any more.
MAX_TRANSMIT_WAIT_S = 93.0
LONGEST_PAUSE_S = 30.0

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
        self.context: Any = None

    async def __aenter__(self) -> Asker:
        import logging

        import aiocoap

        # What aiocoap has to say about a failed request is said by us, in one line.
        logging.getLogger("coap").setLevel(logging.CRITICAL)
        self.context = await aiocoap.Context.create_client_context()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            await self.context.shutdown()

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
        steps = transfer(request, self.limits, self.progress)
        step = next(steps)
        while True:
            answer = await self._patiently(step)
            try:
                step = steps.send(answer)
            except StopIteration as end:
                whole: Message = end.value
                return whole

    async def _patiently(self, step: Message) -> Message:
        """One exchange; again with Echo (RFC 9175 §2.3), and after the pause of a 4.29."""
        answer = await self.exchange(step)
        for _ in range(3):
            if answer.code == messages.UNAUTHORIZED and (echo := answer.value(ECHO)):
                step = step.without(ECHO).plus((ECHO, echo))
            elif answer.code == TOO_MANY:
                age = answer.uint(MAX_AGE)
                pause = min(LONGEST_PAUSE_S, 1 if age is None else age)
                self.say(f"{self.target.authority} asks to wait {pause:g} s")
                await asyncio.sleep(pause)
            else:
                break
            answer = await self.exchange(step)
        return answer

    async def exchange(self, step: Message) -> Message:
        """Exactly one message and its answer."""
        request = self.context.request(self.sendable(step), handle_blockwise=False)
        return received(await self.reaching(request.response))

    def sendable(self, step: Message) -> Any:
        """The message as aiocoap takes it; its ids and its repeating are aiocoap's."""
        import aiocoap
        from aiocoap.message import UndecidedRemote

        made = aiocoap.Message(code=aiocoap.Code(step.code), payload=step.payload)
        bare = Message(messages.CON, step.code, 0, b"", step.options)
        made.opt.decode(messages.encode(bare)[4:])
        made.remote = UndecidedRemote(self.target.scheme, self.target.authority)
        return made

    async def reaching(self, response: Any) -> Any:
        """Await an answer; what aiocoap raises becomes a Failure."""
        import aiocoap.error as errors

        try:
            return await response
        except errors.NoRequestInterface:
            text = f"this aiocoap cannot speak {self.target.scheme}"
            raise Failure(text, Exit.USAGE, "coaps needs its extra [dtls]") from None
        except errors.ConRetransmitsExceeded:
            text = f"no answer from {self.target.authority}"
            raise Failure(text, Exit.TIMED_OUT) from None
        except errors.ResolutionError as error:
            raise Failure(f"{self.target.host}: {error}", Exit.UNREACHABLE) from None
        except errors.MessageError:
            text = f"{self.target.authority} rejected the message"
            raise Failure(text, Exit.FAILED) from None
        except (errors.NetworkError, OSError) as error:
            reason = str(error.__cause__ or error) or type(error).__name__
            text = f"no answer from {self.target.authority}: {reason}"
            raise Failure(text, Exit.UNREACHABLE, "is its CoAP port open?") from None


def received(answer: Any) -> Message:
    """What aiocoap received, as a message of ours."""
    raw = answer.opt.encode() if hasattr(answer.opt, "encode") else b""
    head = Message(messages.ACK, int(answer.code), 0, b"")
    options = messages.decode(messages.encode(head) + raw).options
    return Message(messages.ACK, int(answer.code), 0, answer.token, options, answer.payload)


def refusal(answer: Message, what: str) -> Failure | None:
    """What an answer of 4.00 or more means for the command; None for a good one."""
    if answer.ok:
        return None
    from elastik.coap import code_text

    text = answer.payload.decode("utf-8", "replace").strip()
    said = f" ({text})" if text else ""
    code = EXITS.get(answer.code, Exit.FAILED)
    return Failure(f"{what}: {code_text(answer.code)}{said}", code)
