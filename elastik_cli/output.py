"""Standard output: exact bytes, rows as plain text or JSON Lines, tables on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from elastik_cli.terminal import escape, is_terminal, styled, wants_colour

if TYPE_CHECKING:
    from rich.console import Console

Record = Mapping[str, Any]


class Shown(str):
    """Text that a terminal may be given as it is."""


class Output:
    """The answer's way out. Plain text and JSON are UTF-8 whatever the locale says."""

    def __init__(self, *, json: bool = False, color: str = "auto") -> None:
        self.json = json
        self.color = color
        # A pager's input, while one stands between us and the terminal.
        self.sink: IO[bytes] | None = None

    @property
    def human(self) -> bool:
        """Whether a person looks: stdout is a terminal and no machine form was asked for."""
        return not self.json and is_terminal(sys.stdout)

    @property
    def coloured(self) -> bool:
        return not self.json and wants_colour(sys.stdout, self.color)

    def bytes(self, piece: bytes) -> None:
        """Write exactly these bytes."""
        (self.sink or sys.stdout.buffer).write(piece)

    def text(self, text: str) -> None:
        """Write `text`; on a terminal what could move its cursor is shown as an escape."""
        if is_terminal(sys.stdout):
            encoding = sys.stdout.encoding or "utf-8"
            self.bytes(text.encode(encoding, "backslashreplace"))
        else:
            self.bytes(text.encode("utf-8", "surrogateescape"))

    def line(self, *parts: str) -> None:
        """Write one line; what `style` has not yet made safe for a terminal is made so here."""
        self.text("".join(p if isinstance(p, Shown) else self.style(p) for p in parts) + "\n")

    def record(self, record: Record) -> None:
        """Write one JSON line and send it on its way."""
        import json

        self.text(json.dumps(record, ensure_ascii=False, default=str) + "\n")
        self.flush()

    def flush(self) -> None:
        (self.sink or sys.stdout).flush()

    def style(self, text: str, *codes: int) -> Shown:
        """`text` without what could move a terminal's cursor, in ANSI style `codes`."""
        safe = escape(text) if is_terminal(sys.stdout) else text
        return Shown(styled(safe, *codes) if codes and self.coloured else safe)

    def rows(
        self,
        records: Iterable[Record],
        plain: Callable[[Record], str],
        *,
        nul: bool = False,
        human: Callable[[list[Record]], None] | None = None,
    ) -> int:
        """Write `records` in the form asked for; the number of them.

        `plain` makes one line of a record, `human` shows all of them on a terminal, `nul` writes
        their paths, each ended by NUL.
        """
        if human and self.human and not nul:
            kept = list(records)
            human(kept)
            return len(kept)
        count = 0
        for record in records:
            count += 1
            if self.json:
                self.record(record)
            elif nul:
                self.text(f"{record['path']}\0")
            else:
                self.line(plain(record))
        return count

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns for a person: one named with a leading `>` is set to the right.

        The last one is never cut, padded or folded, so that a path can be copied from it.
        """
        from rich.cells import cell_len  # a wide letter takes two cells

        cells = [[escape(cell) for cell in row] for row in rows]
        heads = [name.lstrip("> ") for name in columns]
        widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
        for number, row in enumerate([heads, *cells]):
            padded = []
            for cell, width, name in zip(row[:-1], widths, columns, strict=False):
                gap = " " * (width - cell_len(cell))
                padded.append(gap + cell if name.startswith(">") else cell + gap)
            text = "  ".join([*padded, row[-1]])
            self.line(self.style(text, 2) if number == 0 else text)

    def aligned(self, plain: Callable[[Record], str]) -> Callable[[list[Record]], None]:
        """For `rows`: the fields of the plain form under each other, as a person reads them."""

        def show(kept: list[Record]) -> None:
            from rich.cells import cell_len

            lines = [[escape(cell) for cell in plain(record).split("\t")] for record in kept]
            widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
            for cells in lines:
                gaps = [" " * (w - cell_len(c)) for c, w in zip(cells[:-1], widths, strict=False)]
                padded = [c + gap for c, gap in zip(cells[:-1], gaps, strict=True)]
                self.line("  ".join([*padded, cells[-1]]))

        return show

    def console(self) -> Console:
        """rich's console on stdout; for terminals only, because it cuts long cells."""
        from rich.console import Console

        return Console(no_color=not self.coloured, highlight=False, markup=False, emoji=False)
