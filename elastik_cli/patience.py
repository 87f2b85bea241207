"""When to try again, and how long to wait before it."""

from __future__ import annotations

import random
from collections.abc import Callable

from elastik.errors import ElastikError, NoAnswer, Unsupported

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


def worth_another_try(error: ElastikError) -> bool:
    """Whether the same request may succeed later: no answer, 5xx, 408 or 429."""
    if isinstance(error, Unsupported):
        return False
    return isinstance(error, NoAnswer) or error.status >= 500 or error.status in (408, 429)


def pause_before(
    attempt: int, error: ElastikError, rand: Callable[[], float] = random.random
) -> float:
    """Seconds to wait before try number `attempt` + 1: Retry-After, else doubling with jitter."""
    if (after := error.headers.get("retry-after", "")).isdigit():
        return float(after)
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 20))
    return longest * (0.5 + rand() / 2)


def never_sent(error: ElastikError) -> bool:
    """Whether the request cannot have reached the server: there was no connection."""
    reason = getattr(error, "reason", None)
    # gaierror, the failed look-up of a name, is found by its name: importing socket is not free.
    unresolved = type(reason).__name__ == "gaierror"
    return unresolved or isinstance(reason, (ConnectionRefusedError, FileNotFoundError))


def shortly(error: ElastikError) -> str:
    """What went wrong, in a few words."""
    reason = getattr(error, "reason", None)
    text = getattr(reason, "strerror", None) or reason or f"status {error.status}"
    return str(text).lower()
