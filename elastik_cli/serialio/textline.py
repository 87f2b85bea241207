"""Readings as plain lines, for sketches that speak no CoAP: `path value` or a JSON object."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

LONGEST_LINE = 1024


class Reading(NamedTuple):
    """One value for one path of the board, with its media type."""

    path: str
    body: bytes
    type: str


class NoReading(ValueError):
    """A line that is neither form; it is shown as a diagnostic."""


def readings(line: bytes) -> list[Reading]:
    """The readings in a line.

    `temp 21.5` stores `21.5` at `temp`. A JSON object stores each member at its name, text as
    text and everything else as JSON; `{"path": "temp", "value": 21.5}` is one reading.

    Raises:
        NoReading: when the line is neither.
    """
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise NoReading("not UTF-8") from None
    if text.startswith("{"):
        return _members(text)
    path, space, value = text.partition(" ")
    if not space or not _is_path(path) or not value.strip():
        raise NoReading("not `path value`")
    return [Reading(path, value.strip().encode(), "text/plain; charset=utf-8")]


def _is_path(text: str) -> bool:
    """A word such as temp or room1/temp: log lines begin with words too, but with `[` or `:`."""
    return all(c.isalnum() or c in "/_-." for c in text) and not text.endswith(".")


def _members(text: str) -> list[Reading]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise NoReading("not JSON") from None
    if set(found) == {"path", "value"} and isinstance(found["path"], str):
        return [_reading(found["path"], found["value"])]
    if not found:
        raise NoReading("an empty object")
    return [_reading(name, value) for name, value in found.items()]


def _reading(path: str, value: Any) -> Reading:
    if isinstance(value, str):
        return Reading(path, value.encode("utf-8", "replace"), "text/plain; charset=utf-8")
    return Reading(path, json.dumps(value).encode(), "application/json")


class LineDecoder:
    """Bytes in, lines out; a line that grows too long is dropped up to its end."""

    def __init__(self) -> None:
        self._open = b""
        self._dropping = False
        self.dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        *ended, self._open = (self._open + data).split(b"\n")
        lines = []
        for line in ended:
            if self._dropping or len(line) > LONGEST_LINE:
                self._dropping = False
                self.dropped += 1
            elif line.strip():
                lines.append(line.rstrip(b"\r"))
        if len(self._open) > LONGEST_LINE:
            self._open, self._dropping = b"", True
        return lines

    def reset(self) -> None:
        """Forget a line that has begun: the port was interrupted."""
        self._open, self._dropping = b"", False
