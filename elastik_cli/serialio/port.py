"""A board's port for as long as the bridge runs: opened, watched, and opened again for ever."""

from __future__ import annotations

from collections.abc import Callable

from elastik_cli.serialio import ports
from elastik_cli.serialio.board import Board
from elastik_cli.serialio.line import Line, LineError, LineSettings
from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.ports import Device
from elastik_cli.serialio.recording import Recorder

NEVER = float("inf")
# How often to look for a device that is gone, and to try one that cannot be opened: seconds.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.25, 1.0
LONGEST_TRY_S = 5.0


class Port:
    """Keeps one line open and brings its bytes to the board."""

    def __init__(
        self,
        spec: str,
        settings: LineSettings,
        loop: Loop,
        say: Callable[[str], None],
        recorder: Recorder | None = None,
    ) -> None:
        self.spec, self.settings, self.loop, self.say = spec, settings, loop, say
        self.recorder = recorder
        self.board: Board | None = None
        self.device: Device | None = None
        self.line: Line | None = None
        self._look_at, self._pause = 0.0, FIRST_LOOK_S
        self._trouble = ""
        # Whether another board has the same serial number, so that only the place tells.
        self.placed = False

    # -- the line ------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the line once; LineError when that cannot be."""
        device = self._found()
        if device is None:
            raise LineError("absent", f"{self.spec}: no such device")
        line = Line(device.device, self.settings)
        self.device, self.line = device, line
        self._trouble, self._pause = "", FIRST_LOOK_S
        self.loop.watch(line.fd, self._readable)
        if self.board is not None:
            self.board.plugged(device.device, self.loop.now)

    def _found(self) -> Device | None:
        if self.device is not None:
            return ports.again(self.device, self.spec, self.placed)
        return ports.find(self.spec)

    def close(self) -> None:
        if self.line is not None:
            self.loop.forget(self.line.fd)
            self.line.close()
            self.line = None

    def _lost(self, error: LineError) -> None:
        self.say(f"unplugged: {error}")
        self.close()
        if self.board is not None:
            self.board.unplugged(self.loop.now)
        self._look_at, self._pause = self.loop.now + FIRST_LOOK_S, FIRST_LOOK_S

    def write(self, data: bytes) -> None:
        """Queue a frame; it is lost when the port is gone or takes nothing."""
        if self.line is None:
            return
        if self.recorder:
            self.recorder.bytes(">", data)
        if self.line.write(data):
            self._writable()

    def _writable(self) -> None:
        if self.line is None:
            return
        try:
            self.line.flush(self.loop.now)
        except LineError as error:
            self._lost(error)
            return
        stuck = self.line.pending and self.line.deadline() <= self.loop.now
        self.loop.on_writable(self.line.fd, self._writable if stuck else None)

    def _readable(self) -> None:
        if self.line is None:
            return
        try:
            data = self.line.read()
        except LineError as error:
            self._lost(error)
            return
        if data and self.recorder:
            self.recorder.bytes("<", data)
        if data and self.board is not None:
            self.board.received(data, self.loop.now)

    # -- time ----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        if self.line is None:
            return self._look_at
        at = self.line.deadline()
        return at if at > self.loop.now else NEVER

    def tick(self, now: float) -> None:
        if self.line is not None:
            self._writable()
            return
        try:
            self.open()
        except LineError as error:
            self._later(now, error)
        except ValueError as error:
            self._later(now, LineError("failed", str(error)))

    def _later(self, now: float, error: LineError) -> None:
        if error.kind != self._trouble:
            # One line for each change, not for each try.
            self.say(str(error))
            self._trouble = error.kind
        longest = LONGEST_LOOK_S if error.kind == "absent" else LONGEST_TRY_S
        self._pause = min(longest, self._pause * 2)
        self._look_at = now + self._pause
