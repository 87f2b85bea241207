"""Become the core: find its binary and put it in this process's place."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from elastik_cli.exits import Exit, Failure
from elastik_cli.serving import Serving
from elastik_cli.session import Session


def binary() -> Path:
    """The core's binary.

    Raises:
        Failure: when there is none; it says where it was looked for.
    """
    from elastik import launcher

    try:
        return Path(launcher.find_core())
    except RuntimeError as error:
        raise Failure(str(error), Exit.FAILED, "pip install elastik, or set ELASTIK_CORE") from None


def become(session: Session, serving: Serving, words: Sequence[str] = ()) -> None:
    """Replace this process by the core, as a server or for what `words` ask of it.

    Signals, standard streams and sockets handed in by a service manager (whose LISTEN_PID names
    this very process) reach it directly. Secrets travel in its environment, never on argv.
    """
    path = str(binary())
    for name, source in serving.sources.items():
        session.note(f"{name.replace('_', ' ')} from {source}")
    # SIGINT would be inherited as ignored from a shell's background job; the core sets its own.
    sys.stdout.flush()
    if os.name == "nt":
        import subprocess

        done = subprocess.run([path, *words], env=serving.environment, check=False)
        raise SystemExit(done.returncode)
    os.execve(path, [path, *words], serving.environment)
