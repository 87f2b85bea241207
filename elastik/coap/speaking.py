"""Messages of ours sent by aiocoap: it repeats and matches, we keep blocks and options."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any

from elastik.coap import messages
from elastik.coap.messages import Message
from elastik.errors import TimedOut, Unreachable, Unsupported


class Speaker:
    """A client context of aiocoap for one server. `async with` opens and closes it."""

    def __init__(self, scheme: str, authority: str) -> None:
        self.scheme, self.authority = scheme, authority
        self.context: Any = None

    async def __aenter__(self) -> Speaker:
        import logging

        aiocoap = needed()
        # What aiocoap has to say about a failed request is said by an exception.
        logging.getLogger("coap").setLevel(logging.CRITICAL)
        self.context = await aiocoap.Context.create_client_context()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(Exception):
            await self.context.shutdown()

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
        made.remote = UndecidedRemote(self.scheme, self.authority)
        return made

    async def reaching(self, response: Any) -> Any:
        """Await an answer; what aiocoap raises becomes an error of ours."""
        import aiocoap.error as errors

        try:
            return await response
        except errors.NoRequestInterface:
            raise Unsupported(f"this aiocoap cannot speak {self.scheme}") from None
        except errors.ConRetransmitsExceeded:
            raise TimedOut(f"no answer from {self.authority}") from None
        except errors.ResolutionError as error:
            raise Unreachable(f"{self.authority}: {error}") from None
        except errors.MessageError:
            raise Unreachable(Rejected(f"{self.authority} rejected the message")) from None
        except (errors.NetworkError, OSError) as error:
            reason = str(error.__cause__ or error) or type(error).__name__
            raise Unreachable(f"no answer from {self.authority}: {reason}") from None


class Rejected(ConnectionResetError):
    """The server answered with a reset (RFC 7252 §4.2): trying again is of no use."""


def received(answer: Any) -> Message:
    """What aiocoap received, as a message of ours."""
    raw = answer.opt.encode() if hasattr(answer.opt, "encode") else b""
    head = Message(messages.ACK, int(answer.code), 0, b"")
    options = messages.decode(messages.encode(head) + raw).options
    return Message(messages.ACK, int(answer.code), 0, answer.token, options, answer.payload)


def needed() -> Any:
    """The package aiocoap; Unsupported says what is missing."""
    try:
        import aiocoap
    except ImportError:
        text = "observing needs the package aiocoap: pip install 'aiocoap>=0.4.12'"
        raise Unsupported(text) from None
    return aiocoap
