"""Run a command for its events: its argv, its environment, its input, its output, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from elastik_cli.feed import Event
from elastik_cli.secrets import TIERS

# A pipe takes this much without a reader (Linux 64 KiB, macOS 16); more goes through a file.
PIPE_ROOM = 16 * 1024
SECRET_VARIABLES = [
    name + end
    for name in ("ELASTIK_KEY", "ELASTIK_TOKEN", *(f"ELASTIK_{t.upper()}_TOKEN" for t in TIERS))
    for end in ("", "_FILE")
]
# What describes one event; a batch has its events on standard input instead.
OF_ONE_EVENT = [f"ELASTIK_{n}" for n in ("PATH", "EVENT", "ETAG", "TYPE", "SIZE", "BODY", "TIME")]
_writing = threading.Lock()


@dataclass
class Command:
    """What to run. `grouped` keeps each run's output in one piece; `batch`: JSON Lines go in."""

    argv: list[str] | None
    shell: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    pass_token: bool = False
    grouped: bool = False
    batch: bool = False

    def words(self, event: Event) -> list[str]:
        """argv for `event`. Nothing of an event ever gets into a shell's string."""
        if self.shell is not None:
            return ["/bin/sh", "-c", self.shell]
        if self.batch:
            return list(self.argv or [])
        name = event.path.rsplit("/", 1)[-1]
        stem = event.path[: -len(name)] + (name.rsplit(".", 1)[0] or name)
        filled = []
        for word in self.argv or []:
            word = word.replace("{}", event.path) if "{}" in word else word
            filled.append(word.replace("{/}", name).replace("{.}", stem))
        return filled

    def environment(self, events: Sequence[Event], attempt: int) -> dict[str, str]:
        """The child's environment: what describes its events, and no token unless asked."""
        env = {**os.environ, **self.extra, "ELASTIK_ATTEMPT": str(attempt)}
        for name in [*OF_ONE_EVENT, *(() if self.pass_token else SECRET_VARIABLES)]:
            env.pop(name, None)
        last = events[-1]
        env["ELASTIK_ID"] = "" if last.id is None else str(last.id)
        if self.batch:
            return env | {"ELASTIK_BATCH": str(len(events))}
        env |= {"ELASTIK_PATH": last.path, "ELASTIK_EVENT": last.kind, "ELASTIK_ETAG": last.etag}
        env |= {"ELASTIK_TYPE": last.type, "ELASTIK_SIZE": last.size}
        return env | {"ELASTIK_BODY": last.body_state, "ELASTIK_TIME": last.time}


class Child:
    """One run of the command, in a process group of its own so that all of it can be stopped."""

    def __init__(self, command: Command, events: Sequence[Event], attempt: int) -> None:
        self._out: IO[bytes] | None = None
        self._err: IO[bytes] | None = None
        streams: dict[str, Any] = {}
        if command.grouped:
            # Files, not pipes: a grandchild that keeps a pipe open must not keep us waiting.
            self._out, self._err = _kept(), _kept()
            streams = {"stdout": self._out, "stderr": self._err}
        with _as_lines(events) if command.batch else _as_stdin(events[0].body or b"") as stdin:
            self.process = subprocess.Popen(
                command.words(events[0]),
                stdin=stdin,
                env=command.environment(events, attempt),
                start_new_session=True,
                **streams,
            )

    def wait(self) -> int:
        """Wait for its end and pass its output on; the exit code, negative for a signal."""
        code = self.process.wait()
        for source, target in ((self._out, sys.stdout), (self._err, sys.stderr)):
            if source is not None:
                _pass_on(source, target.buffer)
        return code

    def kill(self, number: int) -> None:
        """Send a signal to the whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def _kept() -> IO[bytes]:
    return tempfile.TemporaryFile()  # closed by whoever reads it back


def _as_stdin(body: bytes) -> IO[bytes]:
    if not body:
        return open(os.devnull, "rb")
    if len(body) > PIPE_ROOM:
        file = _kept()
        file.write(body)
        file.seek(0)
        return file
    reader, writer = os.pipe()
    os.write(writer, body)
    os.close(writer)
    return os.fdopen(reader, "rb")


def _as_lines(events: Sequence[Event]) -> IO[bytes]:
    """A file of JSON Lines: the record of each event, with its bytes and whose they are."""
    file = _kept()
    for event in events:
        record = event.record() | ({"body": event.body_state} if event.body_state else {})
        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    file.seek(0)
    return file


def _pass_on(source: IO[bytes], target: IO[bytes]) -> None:
    source.seek(0)
    with _writing, source:
        while piece := source.read(1 << 16):
            target.write(piece)
        target.flush()


def told(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
