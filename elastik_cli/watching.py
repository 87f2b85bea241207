"""Values of a path as they arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from elastik.errors import TimedOut
from elastik_cli.plotting import number_in

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client


def values_of(client: Client, path: str, seconds: float, field: str | None) -> Iterator[float]:
    """The number each event of `path` brings, for so many seconds."""
    deadline = time.monotonic() + seconds
    with client.listen(path, inline=True) as stream:
        while (left := deadline - time.monotonic()) > 0:
            stream.timeout = left
            try:
                event = next(stream, None)
            except TimedOut:
                return
            if event is None:
                return
            if event.get("body") is not None:
                value = number_in(event["body"].decode("utf-8", "replace"), field)
                if value is not None:
                    yield value
