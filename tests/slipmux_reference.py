"""A second slipmux codec, bit by bit and byte by byte, to hold the fast one against.

Written from draft-bormann-t2trg-slipmux-04, RFC 1055 and RFC 1662 appendix C.
"""

from __future__ import annotations

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD


def fcs16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
    crc ^= 0xFFFF
    return bytes((crc & 0xFF, crc >> 8))


def escape(data: bytes) -> bytes:
    out = bytearray()
    for byte in data:
        if byte == END:
            out += bytes((ESC, ESC_END))
        elif byte == ESC:
            out += bytes((ESC, ESC_ESC))
        else:
            out.append(byte)
    return bytes(out)


class Decoder:
    def __init__(self, max_frame: int = 2048) -> None:
        self.max, self.body, self.escaped, self.bad = max_frame, bytearray(), False, ""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        out = []
        for byte in data:
            if byte == END:
                if self.escaped:
                    self.bad = "err:abort"
                if self.bad:
                    out.append((self.bad, b""))
                elif self.body:
                    out.append(self.judged(bytes(self.body)))
                self.body, self.escaped, self.bad = bytearray(), False, ""
            elif self.bad:
                self.escaped = byte == ESC and not self.escaped
            elif self.escaped:
                self.escaped = False
                if byte in (ESC_END, ESC_ESC):
                    self.keep(END if byte == ESC_END else ESC)
                else:
                    self.bad = "err:escape"
            elif byte == ESC:
                self.escaped = True
            else:
                self.keep(byte)
        return out

    def keep(self, byte: int) -> None:
        if len(self.body) >= self.max:
            self.bad = "err:long"
        else:
            self.body.append(byte)

    @staticmethod
    def judged(body: bytes) -> tuple[str, bytes]:
        if body[0] == 0xA9:
            if len(body) < 3:
                return "err:short", b""
            good = fcs16(body[:-2]) == body[-2:]
            return ("coap", body[1:-2]) if good else ("err:fcs", b"")
        if body[0] == 0x0A:
            return "diag", body[1:]
        if 0x45 <= body[0] <= 0x4F or 0x60 <= body[0] <= 0x6F:
            return "ip", body
        return "err:type", b""
