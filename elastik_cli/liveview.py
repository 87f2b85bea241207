"""`listen` on a terminal: events scroll by, and a last line says how things stand."""

from __future__ import annotations

import os
import sys
import time
from codecs import getincrementaldecoder
from collections import deque
from typing import TYPE_CHECKING, Any

from elastik_cli.feed import Event, Gap
from elastik_cli.handlers import COLOURS, FOREVER, Handler
from elastik_cli.quantities import human_size
from elastik_cli.terminal import escape, is_terminal

if TYPE_CHECKING:
    from elastik_cli.session import Session

REDRAW_S = 0.25
# The rate is that of the last so many seconds.
RATE_OVER_S = 10.0
SHORTEST_PREVIEW = 12


def preview(body: bytes | None, room: int) -> str:
    """The first line of a text in `room` columns; empty for bytes, or where there is no room."""
    if not body or room < SHORTEST_PREVIEW:
        return ""
    start = body[: room * 4]
    try:
        # A letter may be cut at the end, but nothing else may be wrong.
        text = getincrementaldecoder("utf-8")().decode(start, final=len(start) == len(body))
    except UnicodeDecodeError:
        return ""
    lines = text.strip().splitlines()
    if not lines or not lines[0].replace("\t", " ").isprintable():
        return ""
    whole = len(lines) == 1 and len(start) == len(body)
    line = escape(lines[0])
    return line if whole and len(line) <= room else line[: room - 4] + " ..."


class Live(Handler):
    """Prints each event above a status line that is drawn anew, and gone at the end."""

    def __init__(self, session: Session, patterns: list[str]) -> None:
        from rich.live import Live as Picture

        self.console = session.out.console()
        self.colour = session.out.coloured
        self.about = f"{' '.join(patterns)} at {session.server.url}"
        self.count, self.state = 0, "connecting"
        self._times: deque[float] = deque()
        self._drawn = 0.0
        # What is said on stderr goes above the line too, but only if it is shown here at all.
        self._picture = Picture(
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=is_terminal(sys.stderr),
        )

    def event(self, event: Event) -> bool:
        self._begin()
        self.count += 1
        self._times.append(time.monotonic())
        self.console.print(self._line(event), soft_wrap=True)
        return True

    def gap(self, gap: Gap) -> None:
        self.state = "listening, some events were missed"

    def connected(self, yes: bool) -> None:
        self._begin()
        self.state = "listening" if yes else "waiting for the server"
        self._draw(time.monotonic())

    def patience(self, now: float) -> float:
        return REDRAW_S if self._times else FOREVER

    def look(self, now: float) -> None:
        if now - self._drawn >= REDRAW_S:
            self._draw(now)

    def close(self) -> None:
        self._picture.stop()

    def _begin(self) -> None:
        """Only now: whatever fails before must not leave a terminal without its cursor."""
        if not self._picture.is_started:
            self._picture.start()

    def _line(self, event: Event) -> Any:
        from rich.text import Text

        size = human_size(int(event.size)) if event.size.isdigit() else "-"
        path = escape(event.path)
        left = f"{time.strftime('%H:%M:%S')}  {event.kind:<6}  {size:>6}  {path}"
        line = Text(left)
        if self.colour:
            colour = {32: "green", 33: "yellow", 31: "red"}.get(COLOURS.get(event.kind, 0), "")
            line.stylize("dim", 0, 8)
            line.stylize(colour, 10, 16)
            line.stylize("bold", len(left) - len(path))
        if shown := preview(event.body, self.console.width - line.cell_len - 2):
            line.append(f"  {shown}", "dim" if self.colour else "")
        return line

    def _draw(self, now: float) -> None:
        from rich.text import Text

        self._drawn = now
        while self._times and now - self._times[0] > RATE_OVER_S:
            self._times.popleft()
        rate = len(self._times) / RATE_OVER_S
        facts = f"{self.state}: {self.count} events, {rate:.3g}/s"
        line = Text(f"{facts}  {escape(self.about)}", no_wrap=True, overflow="crop")
        if self.colour:
            good = self.state.startswith("listening")
            line.stylize("reverse green" if good else "reverse yellow", 0, len(facts))
        self._picture.update(line, refresh=True)


def fits(session: Session) -> bool:
    """Whether the view can be drawn: a person looks, at a terminal that can move its cursor."""
    return session.out.human and os.environ.get("TERM", "dumb") != "dumb"
