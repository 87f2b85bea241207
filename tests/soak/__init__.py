"""Long proofs: each has a seed, a time limit, and a short form that pytest runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def _crash(**fixed: Any) -> Callable[..., Any]:
    from soak import crash

    return partial(crash.run, **fixed)


def _faults() -> Callable[..., Any]:
    from soak import faults

    return faults.run


def _fuzz() -> Callable[..., Any]:
    from soak import fuzz

    return fuzz.run


# Name of a proof: what gives the function that runs it.
PROOFS: dict[str, Callable[[], Callable[..., Any]]] = {
    "crash": _crash,
    "faults": _faults,
    "fuzz": _fuzz,
    "power": lambda: _crash(lossy=True),
}
