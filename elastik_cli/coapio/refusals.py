"""What a CoAP answer of 4.00 or more means for the command."""

from __future__ import annotations

from elastik.coap import messages
from elastik.coap.messages import Message
from elastik.coap.responses import code_text
from elastik_cli.exits import Exit, Failure

EXITS = {
    messages.NOT_FOUND: Exit.NOT_FOUND,
    messages.UNAUTHORIZED: Exit.DENIED,
    messages.FORBIDDEN: Exit.DENIED,
    messages.CONFLICT: Exit.CONFLICT,
    messages.PRECONDITION_FAILED: Exit.CONFLICT,
    messages.UNAVAILABLE: Exit.UNREACHABLE,
    messages.GATEWAY_TIMEOUT: Exit.TIMED_OUT,
}


def refusal(answer: Message, what: str) -> Failure | None:
    """The Failure that a refusal of `what` means; None for a good answer."""
    if answer.ok:
        return None
    text = answer.payload.decode("utf-8", "replace").strip()
    said = f" ({text})" if text else ""
    code = EXITS.get(answer.code, Exit.FAILED)
    return Failure(f"{what}: {code_text(answer.code)}{said}", code)
