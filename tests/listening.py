"""Doing something once a reactor listens: an event before that would be nobody's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from elastik import Reactor


def once_listening(reactor: Reactor, work: Callable[..., Any], *arguments: Any) -> None:
    """Before `run()`: do this, in a thread of its own, as soon as the stream is open."""

    def begin() -> None:
        while reactor._run is None or reactor._run._stream is None:
            time.sleep(0.005)
        work(*arguments)

    reactor.on_startup(lambda: threading.Thread(target=begin, daemon=True).start())
