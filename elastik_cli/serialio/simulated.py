"""Put a simulated board on a pseudo-terminal, so that programs find a port to open."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import tty
from collections.abc import Callable
from pathlib import Path

from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.simulator import Behaviour, SimulatedBoard

NEVER = float("inf")
# Whoever opens a port throws away what came before it was set up.
SETTLING_S = 0.2


class PtyBoard:
    """The board behind a pty; `link` is a stable name for it, removed at the end."""

    def __init__(self, behaviour: Behaviour, link: Path | None, text: bool = False) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.device, self.link = os.ttyname(self.slave), link
        self.loop = Loop()
        self.lost = 0
        self.board = SimulatedBoard(self._write, behaviour)
        if text:
            self._speak_text()
        if link is not None:
            with contextlib.suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to(self.device)
        self.loop.watch(self.master, self._readable)
        self.loop.parts.append(self.board)
        self.board.boot(self.loop.now)

    def run(self, seconds: float = NEVER) -> int:
        """Run until SIGINT or SIGTERM, or so long; the signal's number, or 0."""
        ended: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            self.loop.on_signal(number, self._ender(ended, number))
        until = self.loop.now + seconds
        while self.loop.running and self.loop.now < until:
            self.loop.turn(min(1.0, until - self.loop.now))
        self.close()
        return ended[0] if ended else 0

    def _ender(self, ended: list[int], number: int) -> Callable[[], None]:
        def end() -> None:
            ended.append(number)
            self.loop.stop()

        return end

    def close(self) -> None:
        if self.link is not None:
            with contextlib.suppress(OSError):
                # Another board may have taken the name over.
                if os.readlink(self.link) == self.device:
                    self.link.unlink()
        self.loop.close()
        os.close(self.master)
        os.close(self.slave)

    def _write(self, data: bytes) -> None:
        try:
            os.write(self.master, data)
        except BlockingIOError:
            self.lost += len(data)  # nobody reads: a UART does not wait either

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.board.feed(os.read(self.master, 65536), self.loop.now)

    def _speak_text(self) -> None:
        """Print `path value` lines, as a sketch without CoAP does."""
        board = self.board
        board.read = lambda value, now: self._write(  # type: ignore[method-assign]
            board.behaviour.path.encode() + b" " + value + b"\n"
        )
        board.say = lambda text: self._write(text)  # type: ignore[method-assign]


def replayed(
    pieces: list[tuple[float, bytes]], link: Path | None, say: Callable[[str], None]
) -> None:
    """Give recorded bytes to whoever opens the pty, each at its time from then on."""
    master, slave = os.openpty()
    tty.setraw(slave)
    device = os.ttyname(slave)
    if sys.platform == "linux":
        # While nobody else has it open, Linux says that it is hung up; elsewhere nothing tells.
        os.close(slave)
        slave = -1
    if link is not None:
        link.symlink_to(device)
    say(str(link or device))
    try:
        if slave < 0:
            _await_reader(master)
        began = time.monotonic()
        for at, data in pieces:
            time.sleep(max(0.0, began + at - time.monotonic()))
            os.write(master, data)
        time.sleep(0.2)
    finally:
        if link is not None:
            link.unlink()
        os.close(master)
        if slave >= 0:
            os.close(slave)


def _await_reader(master: int) -> None:
    """Return when somebody has opened the other side, and has set it up."""
    watched = select.poll()
    watched.register(master, select.POLLHUP)
    while watched.poll(0):
        time.sleep(0.05)
    time.sleep(SETTLING_S)
