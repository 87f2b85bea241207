"""A line's bytes and frames as JSON Lines: recorded for a bug report, replayed on another desk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple


class Piece(NamedTuple):
    """Bytes that went by: seconds since the recording began, `<` from the board or `>` to it."""

    at: float
    way: str
    data: bytes
    device: str = ""


class Recorder:
    """Writes pieces to `file`, each at once. The first line says what this is."""

    def __init__(
        self, file: IO[str], device: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.file, self.clock, self.began, self.device = file, clock, clock(), device
        self.pieces = 0
        self._line({"elastik": "serial recording 1", "device": device})

    def bytes(self, way: str, data: bytes) -> None:
        self.pieces += 1
        at = round(self.clock() - self.began, 6)
        self._line({"t": at, "way": way, "device": self.device, "hex": data.hex()})

    def _line(self, record: dict[str, object]) -> None:
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()


def read_recording(file: IO[str]) -> Iterator[Piece]:
    """The pieces of a recording; ValueError, with the line's number, for what is none."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if isinstance(record, dict) and "elastik" in record:
                continue
            data = bytes.fromhex(record["hex"])
            device = str(record.get("device", ""))
            piece = Piece(float(record["t"]), record["way"], data, device)
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"line {number} is no piece of a recording") from None
        if piece.way not in ("<", ">"):
            raise ValueError(f"line {number}: way must be < or >")
        yield piece
