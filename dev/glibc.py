"""The newest glibc that a compiled core asks for, read from its ELF file; no tools needed."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

# What wheels for Linux promise (PEP 600: manylinux_2_17, CentOS 7 and all that came after).
PROMISED = (2, 17)
VERNEED = 0x6FFFFFFE  # SHT_GNU_verneed: the versions of foreign symbols that are needed

Version = tuple[int, int]


def needed(binary: bytes) -> set[str]:
    """Every symbol version that `binary` (ELF, 64 bits, little-endian) asks its libraries for.

    Raises:
        ValueError: when it is not such a file, or broken.
    """
    if binary[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    try:
        return set(_versions(binary))
    except (struct.error, IndexError) as error:
        raise ValueError(f"a broken ELF file: {error}") from None


def _versions(binary: bytes) -> Iterator[str]:
    table = struct.unpack_from("<Q", binary, 0x28)[0]
    entry, count = struct.unpack_from("<HH", binary, 0x3A)
    # sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size, sh_link, sh_info
    headers = [struct.unpack_from("<IIQQQQII", binary, table + i * entry) for i in range(count)]
    for header in headers:
        if header[1] == VERNEED:
            names = headers[header[6]][4]
            yield from _of_libraries(binary, header[4], names, libraries=header[7])


def _of_libraries(binary: bytes, at: int, names: int, libraries: int) -> Iterator[str]:
    for _ in range(libraries):
        _, count, _, first, following = struct.unpack_from("<HHIII", binary, at)
        version = at + first
        for _ in range(count):
            _, _, _, name, step = struct.unpack_from("<IHHII", binary, version)
            start = names + name
            yield binary[start : binary.index(b"\0", start)].decode("ascii", "replace")
            version += step
        at += following


def newest(binary: bytes) -> Version | None:
    """The newest glibc asked for; None when it asks for none, as a static one does."""
    found = [re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", name) for name in needed(binary)]
    return max(((int(m[1]), int(m[2])) for m in found if m), default=None)


def promise_of(platform: str) -> Version | None:
    """The glibc that a wheel's platform tag promises to be enough; None for other systems."""
    match = re.match(r"manylinux_(\d+)_(\d+)_", platform)
    return (int(match[1]), int(match[2])) if match else None


def main() -> int:
    """`python dev/glibc.py CORE`: print what it asks for; 1 when that is beyond PROMISED."""
    found = newest(Path(sys.argv[1]).read_bytes())
    print("none" if found is None else "glibc {}.{}".format(*found))
    return int(found is not None and found > PROMISED)


if __name__ == "__main__":
    sys.exit(main())
