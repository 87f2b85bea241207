"""What a server may ask for before it answers: proof of the address, and patience."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from elastik.coap.blocks import Steps
from elastik.coap.messages import ECHO, MAX_AGE, TOO_MANY, UNAUTHORIZED, Message

TRIES = 3
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds, then go on: the server has too much to do."""

    seconds: float


Moves = Generator["Message | Pause", "Message | None", Message]


def persevering(steps: Steps) -> Moves:
    """The same exchanges, each repeated when the server wants Echo or time first.

    Yields a message and takes its answer, or yields a Pause and takes nothing.
    """
    echo = b""
    try:
        step = next(steps)
        while True:
            answer, echo = yield from _patiently(step, echo)
            step = steps.send(answer)
    except StopIteration as end:
        whole: Message = end.value
        return whole


def _patiently(
    step: Message, echo: bytes
) -> Generator[Message | Pause, Message | None, tuple[Message, bytes]]:
    """One exchange: its answer, and the Echo that the next one carries (RFC 9175 §2.3)."""
    tries = 0
    while True:
        answer = yield step.without(ECHO).plus((ECHO, echo)) if echo else step
        assert answer is not None
        fresh = answer.value(ECHO) or echo
        unproven = answer.code == UNAUTHORIZED and fresh != echo
        echo, tries = fresh, tries + 1
        if tries > TRIES or not (unproven or answer.code == TOO_MANY):
            return answer, echo
        if answer.code == TOO_MANY:
            # RFC 8516: Max-Age says how long.
            age = answer.uint(MAX_AGE)
            yield Pause(min(LONGEST_PAUSE_S, 1 if age is None else age))
