"""Slipmux frames: CoAP, diagnostics and IP on one serial line.

draft-bormann-t2trg-slipmux-04 on top of RFC 1055 (SLIP) and the FCS of RFC 1662 appendix C.
Nothing here knows a device, a clock or a CoAP message.
"""

from __future__ import annotations

import re
from typing import NamedTuple

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
DIAGNOSTIC, COAP = 0x0A, 0xA9
MAX_FRAME = 2048

_END, _ESC = bytes([END]), bytes([ESC])
_PAIR_END, _PAIR_ESC = bytes([ESC, ESC_END]), bytes([ESC, ESC_ESC])
# The longest beginning of a frame whose escapes are all well formed.
_SOUND = re.compile(rb"(?:[^\xdb]+|\xdb[\xdc\xdd])*", re.DOTALL)


class Frame(NamedTuple):
    """What one frame was: `coap`, `diag` or `ip` with its bytes, or `err:` and the reason.

    Reasons: fcs, short (a CoAP frame without room for its FCS), type, escape, long, abort.
    """

    kind: str
    data: bytes = b""


def _fcs_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ 0x8408 if byte & 1 else byte >> 1
        table.append(byte)
    return table


_TABLE = _fcs_table()


def fcs16(data: bytes) -> bytes:
    """The frame check sequence of `data`, low byte first (RFC 1662 appendix C.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def escape(data: bytes) -> bytes:
    """`data` without END; two bytes for each END and ESC in it."""
    return data.replace(_ESC, _PAIR_ESC).replace(_END, _PAIR_END)


def framed(data: bytes) -> bytes:
    """One frame. It begins with END too, which ends any noise before it."""
    return _END + escape(data) + _END


def encode_coap(message: bytes) -> bytes:
    """A CoAP message as a frame; the type byte is covered by the FCS."""
    body = bytes([COAP]) + message
    return framed(body + fcs16(body))


def encode_diagnostic(text: bytes) -> bytes:
    """A diagnostic text as a frame."""
    return framed(bytes([DIAGNOSTIC]) + text)


def encode(kind: str, data: bytes) -> bytes:
    """A frame of `kind` coap, diag or ip; ValueError when `data` cannot be of that kind."""
    if kind == "coap":
        return encode_coap(data)
    if kind == "diag":
        return encode_diagnostic(data)
    if kind == "ip" and data and is_ip(data[0]):
        return framed(data)
    raise ValueError(f"not a frame of kind {kind!r}")


def is_ip(first: int) -> bool:
    """Whether a frame that begins so is an IPv4 or IPv6 packet."""
    return 0x45 <= first <= 0x4F or 0x60 <= first <= 0x6F


class Decoder:
    """Bytes in, frames out; holds at most one frame.

    A frame is judged at its END and nowhere else: one bad escape, an abort or an oversize
    poisons it up to there, and what follows in it is never taken for a frame of its own.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self.max_frame = max_frame
        self._raw = bytearray()
        self._poison = ""
        self._escapes = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order."""
        frames = []
        *ended, rest = data.split(_END)
        for piece in ended:
            self._take(piece)
            if frame := self._end():
                frames.append(frame)
        self._take(rest)
        return frames

    def reset(self) -> None:
        """Forget a frame that has begun: the line was interrupted."""
        self._raw.clear()
        self._poison, self._escapes = "", 0

    @property
    def pending(self) -> int:
        """Bytes held of a frame that has not ended."""
        return len(self._raw)

    def _take(self, piece: bytes) -> None:
        if not piece:
            return
        tail = len(piece) - len(piece.rstrip(_ESC))
        # An odd run of ESC before END is an abort, also across pieces.
        self._escapes = self._escapes + tail if tail == len(piece) else tail
        if self._poison:
            return
        room = 2 * self.max_frame + 2 - len(self._raw)
        self._raw += piece[: max(0, room)]
        if len(piece) > room:
            self._poison = _judged(bytes(self._raw), self.max_frame)[0] or "err:long"
            self._raw.clear()

    def _end(self) -> Frame | None:
        raw, poison, aborted = bytes(self._raw), self._poison, self._escapes % 2 == 1
        self.reset()
        if aborted:
            return Frame("err:abort")
        if poison:
            return Frame(poison)
        if not raw:
            return None
        error, body = _judged(raw, self.max_frame)
        return Frame(error) if error else _frame(body)


def _judged(raw: bytes, limit: int) -> tuple[str, bytes]:
    """The first error in the escaped bytes of a frame, or "" and the bytes it stands for."""
    if ESC not in raw:
        return ("err:long", b"") if len(raw) > limit else ("", raw)
    found = _SOUND.match(raw)
    sound = found.group() if found else b""
    if len(sound) - sound.count(_ESC) > limit:
        return "err:long", b""
    if len(sound) < len(raw):
        return "err:escape", b""
    return "", raw.replace(_PAIR_END, _END).replace(_PAIR_ESC, _ESC)


def _frame(body: bytes) -> Frame:
    if body[0] == COAP:
        if len(body) < 3:
            return Frame("err:short")
        return Frame("coap", body[1:-2]) if fcs16(body[:-2]) == body[-2:] else Frame("err:fcs")
    if body[0] == DIAGNOSTIC:
        return Frame("diag", body[1:])
    if is_ip(body[0]):
        return Frame("ip", body)
    return Frame("err:type", body)
