"""Standard output: exact bytes, rows as plain text or JSON Lines, tables on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elastik_cli.terminal import escape, is_terminal, styled, wants_colour

if TYPE_CHECKING:
    from rich.console import Console

Record = Mapping[str, Any]


class Output:
    """The answer's way out. Plain text and JSON are UTF-8 whatever the locale says."""

    def __init__(self, *, json: bool = False, color: str = "auto") -> None:
        self.json = json
        self.color = color

    @property
    def human(self) -> bool:
        """Whether a person looks: stdout is a terminal and no machine form was asked for."""
        return not self.json and is_terminal(sys.stdout)

    @property
    def coloured(self) -> bool:
        return not self.json and wants_colour(sys.stdout, self.color)

    def bytes(self, piece: bytes) -> None:
        """Write exactly these bytes."""
        sys.stdout.buffer.write(piece)

    def text(self, text: str) -> None:
        """Write `text`; on a terminal what could move its cursor is shown as an escape."""
        if is_terminal(sys.stdout):
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.buffer.write(text.encode(encoding, "backslashreplace"))
        else:
            sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))

    def line(self, text: str) -> None:
        """Write one line of an answer that may hold what other people wrote."""
        self.text((escape(text) if is_terminal(sys.stdout) else text) + "\n")

    def record(self, record: Record) -> None:
        """Write one JSON line and send it on its way."""
        import json

        self.text(json.dumps(record, ensure_ascii=False, default=str) + "\n")
        self.flush()

    def flush(self) -> None:
        sys.stdout.flush()

    def style(self, text: str, *codes: int) -> str:
        return styled(text, *codes) if self.coloured else text

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

    def console(self) -> Console:
        """rich's console on stdout; for terminals only, because it cuts long cells."""
        from rich.console import Console

        return Console(no_color=not self.coloured, highlight=False, markup=False, emoji=False)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table for a person: a column named with a leading `>` is set to the right."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
        for name in columns:
            justify = "right" if name.startswith(">") else "left"
            table.add_column(name.lstrip(">"), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(Text(escape(cell)) for cell in row))
        self.console().print(table)
