"""Show what goes over a line: diagnostics with their time, frames in hex, or the bare bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elastik.coap import messages
from elastik.coap.messages import Message
from elastik_cli.output import Output
from elastik_cli.quantities import rfc3339
from elastik_cli.serialio.diagnostics import harmless
from elastik_cli.serialio.slipmux import Frame

TYPES = ("CON", "NON", "ACK", "RST")
NAMES = {1: "GET", 2: "POST", 3: "PUT", 4: "DELETE", 5: "FETCH", 6: "PATCH", 7: "iPATCH"}
DIM, YELLOW, CYAN, RED = 2, 33, 36, 31


def summary(message: Message) -> str:
    """A message in one line: `CON GET 1a2b /temp 12 bytes`."""
    name = "EMPTY" if not message.code else NAMES.get(message.code)
    words = [TYPES[message.type], name or messages.code_text(message.code), f"{message.mid:04x}"]
    if message.token:
        words.append(f"token {message.token.hex()}")
    if message.is_request:
        path = b"/".join(messages.path_of(message)).decode("utf-8", "replace")
        words.append(f"/{path}")
    if message.value(messages.OBSERVE) is not None:
        words.append(f"observe {message.uint(messages.OBSERVE)}")
    if message.payload:
        words.append(f"{len(message.payload)} bytes")
    return " ".join(words)


class Screen:
    """Writes frames as lines. `hexed` shows every frame, otherwise only what the board prints."""

    def __init__(self, out: Output, hexed: bool, wall: Callable[[], float]) -> None:
        self.out, self.hexed, self.wall = out, hexed, wall
        self.shown = 0
        self._open = b""

    def frame(self, way: str, frame: Frame, at: str | None = None) -> None:
        when = at or rfc3339(self.wall())
        if self.out.json:
            self._record(way, frame, when)
        elif self.hexed:
            text = f"{frame.kind} {frame.data.hex()}"
            self._line(when, way, f"{text}  {_told(frame)}".rstrip(), _colour(frame))
        elif frame.kind == "diag":
            self._diagnostic(way, frame.data, when)
        elif frame.kind.startswith("err:"):
            self._line(when, way, f"({frame.kind.removeprefix('err:')} error)", RED)

    def _diagnostic(self, way: str, data: bytes, when: str) -> None:
        *lines, self._open = (self._open + data).split(b"\n")
        for line in [*lines, self._open[:1024]] if len(self._open) > 1024 else lines:
            text = harmless(line.decode("utf-8", "replace"))
            if text:
                self._line(when, way, text, 0)

    def _line(self, when: str, way: str, text: str, colour: int) -> None:
        self.shown += 1
        stamp = self.out.style(when, DIM)
        body = self.out.style(text, colour) if colour else text
        self.out.text(f"{stamp} {way} {body}\n" if self.hexed else f"{stamp} {body}\n")
        self.out.flush()

    def _record(self, way: str, frame: Frame, when: str) -> None:
        self.shown += 1
        record: dict[str, Any] = {"time": when, "way": way, "kind": frame.kind}
        if frame.kind == "diag":
            record["text"] = frame.data.decode("utf-8", "replace")
        else:
            record["hex"] = frame.data.hex()
        if told := _told(frame):
            record["message"] = told
        self.out.record(record)


def _told(frame: Frame) -> str:
    if frame.kind != "coap":
        return ""
    try:
        return summary(messages.decode(frame.data))
    except messages.BadMessage as bad:
        return f"no message: {bad}"


def _colour(frame: Frame) -> int:
    if frame.kind.startswith("err:"):
        return RED
    return {"coap": CYAN, "diag": 0}.get(frame.kind, YELLOW)
