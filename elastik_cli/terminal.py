"""What each stream can show: is it a terminal, in colour, how wide, what must be escaped."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal; a closed or missing stream is not."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def wants_colour(stream: TextIO, choice: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour `stream`: --color, NO_COLOR, FORCE_COLOR, TERM=dumb, then the stream."""
    if choice in ("always", "never"):
        return choice == "always"
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR") or env.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return env.get("TERM") != "dumb" and env.get("CLICOLOR") != "0" and is_terminal(stream)


def draws(env: Mapping[str, str] = os.environ) -> bool:
    """Whether letters that only draw (lines, blocks) are shown: not in the locales C and POSIX.

    Python itself sets LC_CTYPE to C.UTF-8 in those, so that value tells nothing.
    """
    ctype = env.get("LC_CTYPE", "")
    locale = env.get("LC_ALL") or ("" if ctype == "C.UTF-8" else ctype) or env.get("LANG") or "C"
    own = sys.__stdout__  # rich puts something else in its place while it draws
    encoding = own.encoding if own else ""
    return locale not in ("C", "POSIX") and encoding.lower().startswith("utf")


def escape(text: str) -> str:
    """`text` with everything that could move a cursor or hide a letter shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else _visible(c) for c in text)


def _visible(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, kept by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def width(default: int = 80) -> int:
    """Columns of the terminal, or COLUMNS, or `default`."""
    import shutil

    return shutil.get_terminal_size((default, 24)).columns


def styled(text: str, *codes: int) -> str:
    """`text` in ANSI style `codes` (SGR, ECMA-48 section 8.3.117)."""
    return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m"


def needs_care(body: bytes) -> bool:
    """Whether a terminal might obey `body` instead of showing it: it holds NUL or ESC."""
    return b"\0" in body or b"\x1b" in body


def stdout_is_terminal() -> bool:
    return is_terminal(sys.stdout)
