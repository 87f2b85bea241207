"""How far a long transfer is: a bar on stderr, for a person only, gone when it is done."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from elastik_cli.bodies import Body
from elastik_cli.session import Session
from elastik_cli.terminal import escape, is_terminal, wants_colour

# What is over before that needs no bar, and never costs the import of rich.
AFTER_S = 1.0
# Columns of a terminal below which the bar says less.
NARROW = 75


class Meter:
    """Counts bytes; after AFTER_S it shows them. `total` is None when nobody knows."""

    def __init__(self, name: str, total: int | None, *, color: str, files: int = 0) -> None:
        self.name, self.total, self.color = name, total, color
        self.done, self.files, self.files_done = 0, files, 0
        self._began = time.monotonic()
        self._bar: Any = None
        self._lock = threading.Lock()  # several transfers may count at once

    def add(self, count: int, files: int = 0) -> None:
        with self._lock:
            self.done += count
            self.files_done += files
            if self._bar is None and time.monotonic() - self._began >= AFTER_S:
                self._open()
            if self._bar is not None:
                self._bar.update(self._task, completed=self.done, description=self._title())

    def _title(self) -> str:
        name = escape(self.name)
        return f"{name} {self.files_done}/{self.files} files" if self.files else name

    def _open(self) -> None:
        from rich import progress
        from rich.console import Console
        from rich.table import Column

        console = Console(stderr=True, no_color=not wants_colour(sys.stderr, self.color))
        narrow = console.width < NARROW
        # A name is cut rather than folded: a bar is one line.
        name = Column(no_wrap=True, overflow="ellipsis", max_width=console.width // 3)
        columns: list[Any] = [
            progress.TextColumn("{task.description}", markup=False, table_column=name)
        ]
        if self.total:
            columns += [progress.BarColumn(), progress.TaskProgressColumn()]
        if not (narrow and self.total):
            columns.append(progress.DownloadColumn(binary_units=True))
        columns.append(progress.TransferSpeedColumn())
        if self.total and not narrow:
            columns.append(progress.TimeRemainingColumn())
        self._bar = progress.Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(self._title(), total=self.total)
        self._bar.start()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Metered:
    """A file whose reading is counted; it can still tell its size, for Content-Length."""

    def __init__(self, file: IO[bytes], meter: Meter) -> None:
        self._file, self._meter = file, meter
        self.tell, self.seek = file.tell, file.seek

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._meter.add(len(piece))
        return piece


@contextmanager
def _metered(
    session: Session, name: str, total: int | None, files: int = 0
) -> Iterator[Meter | None]:
    shown = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
    if not shown or session.flags.quiet or session.out.json:
        yield None
        return
    meter = Meter(name, total, color=session.color, files=files)
    try:
        yield meter
    finally:
        meter.close()


@contextmanager
def sending(session: Session, name: str, body: Body) -> Iterator[Body]:
    """`body`, with a bar while it is read."""
    from elastik.transport import body_size

    with _metered(session, name, body_size(body)) as meter:
        if meter is None or isinstance(body, bytes):
            yield body
        elif hasattr(body, "read"):
            yield _Metered(body, meter)  # type: ignore[arg-type,misc]
        else:
            yield _counted(body, meter)


@contextmanager
def receiving(session: Session, name: str, stream: Any) -> Iterator[Iterable[bytes]]:
    """The pieces of an answer, with a bar while they come."""
    length = stream.headers.get("content-length", "")
    with _metered(session, name, int(length) if length.isdigit() else None) as meter:
        yield stream if meter is None else _counted(stream, meter)


@contextmanager
def several(session: Session, name: str, sizes: list[int]) -> Iterator[Several]:
    """One bar for many files."""
    with _metered(session, name, sum(sizes), len(sizes)) as meter:
        yield Several(meter)


class Several:
    """Counts the bytes of many files, and each file that is done, for the bar if there is one."""

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter

    def reading(self, file: IO[bytes]) -> IO[bytes]:
        return file if self._meter is None else _Metered(file, self._meter)  # type: ignore

    def arriving(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        return pieces if self._meter is None else _counted(pieces, self._meter)

    def finished(self) -> None:
        if self._meter is not None:
            self._meter.add(0, files=1)


def _counted(pieces: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    for piece in pieces:
        meter.add(len(piece))
        yield piece
