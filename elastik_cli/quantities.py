"""Durations, sizes and times as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def parse_duration(text: str) -> float:
    """Seconds in `10s`, `250ms`, `1h30m` or a plain number of seconds.

    Raises:
        ValueError: when `text` is none of these.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f"not a duration: {text!r} (examples: 10s, 250ms, 1h30m)")
    return sum(float(number) * SECONDS[unit] for number, unit in _PART.findall(text))


def human_size(count: int) -> str:
    """`count` bytes in three digits and a binary unit, such as 1.5K or 64M."""
    size = float(count)
    for unit in ("", "K", "M", "G", "T", "P"):
        if size < 1000 or unit == "P":
            break
        size /= 1024
    return f"{count}" if not unit else f"{size:.1f}{unit}" if size < 10 else f"{size:.0f}{unit}"


def human_age(then: datetime, now: datetime) -> str:
    """How long ago `then` was, in the largest fitting unit, such as 5m or 3d."""
    seconds = max(0.0, (now - then).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def rfc3339(seconds: float) -> str:
    """A Unix time as RFC 3339 in UTC, to the millisecond."""
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
