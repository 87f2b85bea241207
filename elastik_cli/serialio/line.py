"""An open serial port: exclusive, its control lines untouched, unplugging told as such."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from dataclasses import dataclass
from typing import Any

# USB adapters lose bytes of longer writes when their buffer is small.
PIECE = 64
MOST_PENDING = 16 * 1024
STUCK_S = 1.0
NEVER = float("inf")


class LineError(Exception):
    """The port cannot be used. `kind`: absent, busy, denied, unplugged or failed."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class LineSettings:
    """How to open a port. `dtr` and `rts` None: leave the line as it is."""

    baud: int = 115200
    dtr: bool | None = None
    rts: bool | None = None
    rtscts: bool = False
    gap: float = 0.0


def line_settings(wish: dict[str, Any]) -> LineSettings:
    """Settings from the values of options or of a table; levels are `on`, `off` or None."""
    level = {"on": True, "off": False, None: None}
    return LineSettings(
        baud=int(wish.get("baud") or 115200),
        dtr=level[wish.get("dtr")],
        rts=level[wish.get("rts")],
        rtscts=bool(wish.get("rtscts")),
        gap=float(wish.get("gap") or 0.0),
    )


class Line:
    """Bytes in and out without blocking. Writes are queued frame by frame and bounded."""

    def __init__(self, device: str, settings: LineSettings) -> None:
        self.device, self.settings = device, settings
        self.dropped = 0
        self._frames: deque[bytes] = deque()
        self._pending = 0
        self._part = b""
        self._stuck_since = NEVER
        self._not_before = 0.0
        self._port = _opened(device, settings)
        self.fd: int = self._port.fileno()

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        if self._port is not None:
            with contextlib.suppress(OSError):
                import fcntl
                import termios

                fcntl.ioctl(self.fd, termios.TIOCNXCL)
            # Closing waits for output that nobody takes any more, unless it is thrown away.
            with contextlib.suppress(Exception):
                self._port.reset_output_buffer()
            with contextlib.suppress(OSError):
                self._port.close()
            self._port = None

    def read(self) -> bytes:
        """What has arrived, perhaps nothing; LineError `unplugged` when the port is gone."""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LineError("unplugged", os.strerror(error.errno or 0)) from None
        if not data:
            raise LineError("unplugged", "the port was closed from its other side")
        return data

    def write(self, frame: bytes) -> bool:
        """Queue a frame; False, and nothing of it, when too much is waiting already."""
        if self._pending + len(frame) > MOST_PENDING:
            self.dropped += 1
            return False
        self._frames.append(frame)
        self._pending += len(frame)
        return True

    @property
    def pending(self) -> int:
        """Bytes that the port has not taken yet."""
        return self._pending

    def deadline(self) -> float:
        """When a frame that waits for the gap may go."""
        return self._not_before if self._frames and not self._part else NEVER

    def flush(self, now: float) -> None:
        """Write as much as the port takes; LineError `unplugged` when it is gone."""
        while self._pending:
            if not self._part:
                if now < self._not_before:
                    return
                self._part = self._frames.popleft()
            try:
                taken = os.write(self.fd, self._part[:PIECE])
            except BlockingIOError:
                self._stuck(now)
                return
            except OSError as error:
                raise LineError("unplugged", os.strerror(error.errno or 0)) from None
            self._stuck_since = NEVER
            self._part = self._part[taken:]
            self._pending -= taken
            if not self._part:
                self._not_before = now + self.settings.gap

    def _stuck(self, now: float) -> None:
        """Nobody reads: old requests are no use to a board that comes back later."""
        if self._stuck_since == NEVER:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S and self._frames:
            self.dropped += len(self._frames)
            self._pending -= sum(map(len, self._frames))
            self._frames.clear()


def _opened(device: str, settings: LineSettings) -> Any:
    import serial

    class Port(serial.Serial):  # type: ignore[misc]
        """pyserial sets DTR and RTS when it opens a port, and that resets many boards."""

        def _update_dtr_state(self) -> None:
            if settings.dtr is not None:
                super()._update_dtr_state()

        def _update_rts_state(self) -> None:
            if settings.rts is not None:
                super()._update_rts_state()

    port = Port()
    port.port, port.baudrate, port.timeout = device, settings.baud, 0
    port.exclusive, port.rtscts = True, settings.rtscts
    port.dtr = True if settings.dtr is None else settings.dtr
    port.rts = True if settings.rts is None else settings.rts
    try:
        port.open()
    except (serial.SerialException, OSError, ValueError) as error:
        raise _explained(device, error) from None
    _settle(port)
    return port


def _settle(port: Any) -> None:
    """Keep others out, do not drop DTR at the end, do not wait to fill USB packets."""
    import fcntl
    import termios

    with contextlib.suppress(OSError):
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    with contextlib.suppress(OSError, termios.error):
        modes = termios.tcgetattr(port.fileno())
        modes[2] &= ~termios.HUPCL
        termios.tcsetattr(port.fileno(), termios.TCSANOW, modes)
    with contextlib.suppress(Exception):
        port.set_low_latency_mode(True)


def _explained(device: str, error: Exception) -> LineError:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return LineError("absent", f"{device}: no such device")
    if number in (errno.EAGAIN, errno.EBUSY):
        return LineError("busy", f"{device}: busy: another program has it")
    if number in (errno.EACCES, errno.EPERM):
        return LineError("denied", f"{device}: no permission")
    return LineError("failed", f"{device}: {error}")
