"""How long a notification holds, and which of two is the newer (RFC 7641 §3.3, §3.4)."""

from __future__ import annotations

from elastik.coap.messages import MAX_AGE, Message

# RFC 7252 §5.10.5: an answer without Max-Age is fresh for a minute.
DEFAULT_MAX_AGE_S = 60
# RFC 7641 §3.3.1: register again when that is over, and a little later.
GRACE_S = 5.0
# RFC 7641 §3.4: after this long any notification is newer than the last.
REORDERING_S = 128.0


def newer(last: int, last_at: float, this: int, now: float) -> bool:
    """Whether a notification is newer than the one before (RFC 7641 §3.4)."""
    if now > last_at + REORDERING_S:
        return True
    return (last < this and this - last < 1 << 23) or (last > this and last - this > 1 << 23)


def fresh_for(message: Message) -> float:
    """Seconds after which an observer that heard nothing more registers again."""
    age = message.uint(MAX_AGE)
    return (DEFAULT_MAX_AGE_S if age is None else age) + GRACE_S
