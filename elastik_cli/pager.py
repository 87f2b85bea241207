"""A pager between a long answer and the person who reads it; never on a pipe."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elastik_cli.output import Output

# F: what fits on the screen is only printed; I: search without case; R: colours; X: no clearing.
LESS = "less -FIRX"


def chosen(out: Output) -> list[str]:
    """The pager's argv; empty when nobody reads, none is wanted, or there is none."""
    import shlex
    import shutil

    if not out.human or os.environ.get("TERM") == "dumb":
        return []
    try:
        argv = shlex.split(os.environ.get("PAGER", LESS))
    except ValueError:
        return []
    return argv if argv and argv[0] != "cat" and shutil.which(argv[0]) else []


@contextmanager
def paged(out: Output, wanted: bool) -> Iterator[None]:
    """What is answered inside goes through the pager. One that is left early is no failure."""
    argv = chosen(out) if wanted else []
    if not argv:
        yield
        return
    import subprocess

    env = {"LESS": "FIRX", "LESSCHARSET": "utf-8"} | dict(os.environ)
    pager = subprocess.Popen(argv, stdin=subprocess.PIPE, env=env)
    out.sink = pager.stdin
    try:
        yield
    except BrokenPipeError:
        pass  # its reader has seen enough
    finally:
        out.sink = None
        _wait_for(pager)


def _wait_for(pager: Any) -> None:
    """Ctrl-C belongs to the pager while it has the terminal."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with suppress(BrokenPipeError):
            pager.stdin.close()
        pager.wait()
    finally:
        signal.signal(signal.SIGINT, before)
