"""What a board prints: made safe, cut into lines, limited in rate, kept as a ring."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

LONGEST_LINE = 1024
LINES_PER_SECOND = 50
RING_BYTES = 64 * 1024
# A line without an end is shown after this many seconds.
PATIENCE_S = 1.0


def harmless(text: str) -> str:
    """`text` without C0 and C1 controls but tab: it can neither move a cursor nor forge a line."""
    return "".join(c for c in text if c == "\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))


class Lines:
    """Bytes in, whole lines of harmless text out; the same for `show` at a bounded rate."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.show = show
        self.lines = self.hidden = 0
        self.ring: deque[str] = deque()
        self.changed = False
        self._ring_bytes = 0
        self._open = b""
        self._open_since = 0.0
        self._second, self._count, self._said = 0, 0, 0

    def feed(self, data: bytes, now: float) -> None:
        """Take more bytes, a line's end or not."""
        if not self._open:
            self._open_since = now
        *ended, self._open = (self._open + data).split(b"\n")
        for line in ended:
            self._line(line, now)
        while len(self._open) > LONGEST_LINE:
            self._line(self._open[:LONGEST_LINE], now)
            self._open = self._open[LONGEST_LINE:]

    def tick(self, now: float) -> None:
        """Show what has waited for the end of its line too long; tell what was hidden."""
        if self._open and now - self._open_since >= PATIENCE_S:
            line, self._open = self._open, b""
            self._line(line, now)
        if self._said < self.hidden and int(now) != self._second:
            self.show(f"... {self.hidden - self._said} lines not shown")
            self._said = self.hidden

    @property
    def deadline(self) -> float:
        if self._said < self.hidden:
            return self._second + 1.0
        return self._open_since + PATIENCE_S if self._open else float("inf")

    def text(self) -> str:
        """The newest lines, at most 64 KiB."""
        return "".join(f"{line}\n" for line in self.ring)

    def _line(self, raw: bytes, now: float) -> None:
        line = harmless(raw.decode("utf-8", "replace"))
        if not line:
            return
        self.lines += 1
        self._keep(line[:LONGEST_LINE])
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        if self._count <= LINES_PER_SECOND:
            self.show(line[:LONGEST_LINE])
        else:
            self.hidden += 1

    def _keep(self, line: str) -> None:
        self.changed = True
        self.ring.append(line)
        self._ring_bytes += len(line.encode()) + 1
        while self._ring_bytes > RING_BYTES:
            self._ring_bytes -= len(self.ring.popleft().encode()) + 1
