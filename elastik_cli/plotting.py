"""Numbers out of bodies, and their picture in letters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=oO0#"
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def number_in(text: str, field: str | None = None) -> float | None:
    """The number a body or a line holds: of the JSON field, else the last one in it."""
    if field:
        return _in_json(text, field)
    found = _NUMBER.findall(text)
    return float(found[-1]) if found else None


def _in_json(text: str, field: str) -> float | None:
    import json

    try:
        value = json.loads(text)
        for name in field.split("."):
            value = value[int(name) if isinstance(value, list) else name]
        return float(value)
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def numbers_in(body: bytes, field: str | None = None) -> list[float]:
    """The number of each line that has one."""
    lines = body.decode("utf-8", "replace").splitlines()
    return [n for line in lines if (n := number_in(line, field)) is not None]


def thinned(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: the mean of each equal share."""
    if len(values) <= width:
        return list(values)
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]


def sparkline(values: Iterable[float], letters: str = BLOCKS) -> str:
    """One letter a value, from the lowest to the highest."""
    kept = list(values)
    low, high = min(kept), max(kept)
    span = (high - low) or 1.0
    top = len(letters) - 1
    return "".join(letters[round((value - low) / span * top)] for value in kept)


def chart(values: Sequence[float], width: int, height: int, letters: str = BLOCKS) -> list[str]:
    """`height` lines of columns, the highest first, with the scale at the left."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    label = max(len(f"{low:g}"), len(f"{high:g}"))
    kept = thinned(values, max(1, width - label - 2))
    steps = len(letters)
    filled = [round((value - low) / span * (height * steps - 1)) + 1 for value in kept]
    axis = "┤" if letters is BLOCKS else "|"
    lines = []
    for row in range(height - 1, -1, -1):
        cells = (max(0, min(steps, cells - row * steps)) for cells in filled)
        drawn = "".join(letters[n - 1] if n else " " for n in cells)
        edge = f"{high:g}" if row == height - 1 else f"{low:g}" if row == 0 else ""
        lines.append(f"{edge:>{label}} {axis}{drawn}".rstrip())
    return lines
