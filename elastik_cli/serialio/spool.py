"""Readings on disk while the core is away: appended, synced, delivered in order, then removed.

A directory of segments `NNNNNNNN.log`. A record is its length and CRC-32 (4 bytes each,
big-endian), one line of JSON, and the body. `done` names the first record that is not delivered.
A torn or damaged end, as a power cut leaves it, ends a segment.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from elastik_cli.quantities import rfc3339

SEGMENT_BYTES = 1 << 20
HEAD = 8
MARK_EVERY = 64
RECENT = 256


@dataclass(frozen=True)
class Reading:
    """One write that a board wants: where, what, when it was heard (Unix seconds), and its key."""

    method: str
    world: str
    body: bytes
    type: str
    observed_at: float
    key: str
    digest: str = ""

    def packed(self) -> bytes:
        head = {k: getattr(self, k) for k in ("method", "world", "type", "observed_at", "key")}
        body = json.dumps(head | {"digest": self.digest}).encode() + b"\n" + self.body
        return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def unpacked(body: bytes) -> Reading:
    head, _, rest = body.partition(b"\n")
    return Reading(body=rest, **json.loads(head))


class Full(Exception):
    """The spool has no room left."""


class Spool:
    """A queue of readings in `directory`, at most `largest` bytes; one process at a time."""

    def __init__(self, directory: Path, largest: int = 64 << 20) -> None:
        self.directory, self.largest = directory, largest
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._locked()
        self.waiting: Counter[str] = Counter()
        self.count = self.bytes = self.refused = 0
        self._writer: FileIO | None = None
        self._reader: FileIO | None = None
        self._dirty = False
        self._unmarked = 0
        self._segment, self._offset = self._mark()
        # The newest, by which a repeated request is known again after a restart.
        self.recent = deque((r for r in self._scan() if r.digest), maxlen=RECENT)
        self._head: Reading | None = None
        self._head_end = 0

    def __len__(self) -> int:
        return self.count

    # -- in ------------------------------------------------------------------------------------

    def append(self, reading: Reading) -> None:
        """Add a reading; it is safe only after `sync`. Raises Full."""
        record = reading.packed()
        if self.bytes + len(record) > self.largest:
            raise Full(f"{self.directory} holds {self.bytes} bytes")
        if self._writer is None:
            self._writer = self._new_segment()
        self._write(record)
        self.count += 1
        self.bytes += len(record)
        self.waiting[reading.world] += 1
        self._dirty = True
        if self._writer.tell() >= SEGMENT_BYTES:
            self.sync()
            self._writer.close()
            self._writer = None

    def sync(self) -> None:
        """Make what was appended survive a power cut."""
        if self._dirty and self._writer is not None:
            os.fsync(self._writer.fileno())
            self._dirty = False

    def _write(self, record: bytes) -> None:
        """All of the record or nothing: half of one would hide every later record."""
        assert self._writer is not None
        writer, start = self._writer, self._writer.tell()
        try:
            written = writer.write(record)
            if written != len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.directory))
        except OSError:
            writer.truncate(start)
            writer.seek(start)
            raise

    def _new_segment(self) -> FileIO:
        number = max([*self._segments(), self._segment]) + 1
        handle = FileIO(self._path(number), "x")
        _sync_directory(self.directory)
        return handle

    # -- out -----------------------------------------------------------------------------------

    def head(self) -> Reading | None:
        """The oldest reading that is not delivered."""
        if self._head is None and self.count:
            self.sync()
            self._head = self._read_next()
        return self._head

    def delivered(self) -> None:
        """The head is stored, or kept elsewhere: go on to the next."""
        assert self._head is not None
        self.count -= 1
        self.bytes -= len(self._head.packed())
        self.waiting[self._head.world] -= 1
        if not self.waiting[self._head.world]:
            del self.waiting[self._head.world]
        self._head, self._offset = None, self._head_end
        self._unmarked += 1
        if self._unmarked >= MARK_EVERY or not self.count:
            self.mark()

    def refuse_head(self, reason: str) -> None:
        """Move the head to `refused.jsonl`: the core will never take it."""
        import base64

        assert self._head is not None
        reading = self._head
        record = {"world": reading.world, "method": reading.method, "type": reading.type}
        record |= {"observed_at": rfc3339(reading.observed_at), "reason": reason}
        record["data_base64"] = base64.b64encode(reading.body).decode()
        with open(self.directory / "refused.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.refused += 1
        self.delivered()

    def mark(self) -> None:
        """Write down how far delivery has come, and remove the segments before it."""
        part = self.directory / ".done.part"
        with open(part, "w", encoding="ascii") as file:
            file.write(f"{self._segment} {self._offset}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.directory / "done")
        _sync_directory(self.directory)
        self._unmarked = 0
        for number in self._segments():
            if number < self._segment:
                self._path(number).unlink()

    def close(self) -> None:
        """Sync, mark, and let another process have the directory."""
        self.sync()
        self.mark()
        for file in (self._writer, self._reader):
            if file is not None:
                file.close()
        os.close(self._lock)

    # -- files ---------------------------------------------------------------------------------

    def _locked(self) -> int:
        import fcntl

        handle = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise BlockingIOError(f"{self.directory} is in use by another bridge") from None
        return handle

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:08d}.log"

    def _segments(self) -> list[int]:
        return sorted(int(p.stem) for p in self.directory.glob("[0-9]*.log"))

    def _mark(self) -> tuple[int, int]:
        try:
            segment, offset = (self.directory / "done").read_text("ascii").split()
            return int(segment), int(offset)
        except (FileNotFoundError, ValueError):
            return 0, 0

    def _scan(self) -> Iterator[Reading]:
        for number in self._segments():
            if number < self._segment:
                continue
            with open(self._path(number), "rb") as file:
                file.seek(self._offset if number == self._segment else 0)
                while reading := _read(file):
                    self.count += 1
                    self.bytes += len(reading.packed())
                    self.waiting[reading.world] += 1
                    yield reading

    def _read_next(self) -> Reading:
        while True:
            if self._reader is None and self._path(self._segment).exists():
                self._reader = FileIO(self._path(self._segment))
            if self._reader is not None:
                self._reader.seek(self._offset)
                if reading := _read(self._reader):
                    self._head_end = self._reader.tell()
                    return reading
                self._reader.close()
                self._reader = None
            later = [number for number in self._segments() if number > self._segment]
            self._segment, self._offset = later[0], 0


def _read(file: BinaryIO | FileIO) -> Reading | None:
    """The next whole record; None at the end, or where the file is damaged."""
    head = file.read(HEAD)
    if len(head) < HEAD:
        return None
    body = file.read(int.from_bytes(head[:4], "big"))
    if (
        len(body) < int.from_bytes(head[:4], "big")
        or zlib.crc32(body).to_bytes(4, "big") != head[4:]
    ):
        return None
    return unpacked(body)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
