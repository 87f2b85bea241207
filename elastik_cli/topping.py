"""What the server does, look by look: from its metrics and its events."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from elastik.errors import ElastikError
from elastik_cli import pages
from elastik_cli.quantities import human_size
from elastik_cli.session import Session

Row = dict[str, Any]
HOT = "events/s"
FACT_WIDTH, BAR = 30, 16
# Metric -> what it is called here, and its unit.
SHOWN = {
    "elastik_worlds": ("paths", ""),
    "elastik_storage_bytes": ("storage", "bytes"),
    "elastik_memory_bytes": ("memory", "bytes"),
    "elastik_listeners": ("listeners", ""),
    "elastik_connections": ("connections", ""),
    "elastik_writer_queue_ops": ("writes waiting", ""),
    "elastik_writable": ("writable", "yes or no"),
    "elastik_scrub_problems": ("audit problems", ""),
    "elastik_worlds_set_aside": ("set aside", "paths"),
}


class Watch:
    """Takes two looks and tells what happened between them."""

    def __init__(self, session: Session, every: float, paths: int) -> None:
        self.client, self.every, self.paths = session.client("read"), every, paths
        self.hot: Counter[str] = Counter()
        self._lock = threading.Lock()

    def looks(self, count: int | None) -> Iterator[list[Row]]:
        """A list of rows after each interval."""
        before, since = pages.metrics(self.client), time.monotonic()
        threading.Thread(target=self._count_events, daemon=True).start()
        done = 0
        while count is None or done < count:
            time.sleep(self.every)
            now, moment = pages.metrics(self.client), time.monotonic()
            yield self._rows(before, now, moment - since)
            before, since, done = now, moment, done + 1

    def _count_events(self) -> None:
        try:
            with self.client.listen("*") as stream:
                for event in stream:
                    with self._lock:
                        self.hot[str(event.get("path", "")).lstrip("/")] += 1
        except ElastikError:
            return  # the rates stay; only the hottest paths are not known

    def _rows(self, before: dict[str, float], now: dict[str, float], seconds: float) -> list[Row]:
        def rate(prefix: str) -> float:
            total = sum(v - before.get(k, 0) for k, v in now.items() if k.startswith(prefix))
            return total / seconds

        rows = [
            {"name": "requests", "value": rate("elastik_requests_total"), "unit": "/s"},
            {"name": "events", "value": rate("elastik_newest_event_total"), "unit": "/s"},
        ]
        if answered := rate("elastik_request_seconds_count"):
            mean = rate("elastik_request_seconds_sum") / answered * 1000
            rows.append({"name": "mean answer", "value": mean, "unit": "ms"})
        rows += [
            {"name": name, "value": now[key], "unit": unit}
            for key, (name, unit) in SHOWN.items()
            if key in now
        ]
        with self._lock:
            hottest = self.hot.most_common(self.paths)
            self.hot.clear()
        rows += [{"name": path, "value": n / seconds, "unit": HOT} for path, n in hottest]
        return rows


def live(session: Session, watch: Watch, count: int | None) -> None:
    """Draw each look over the one before, until Ctrl-C."""
    from rich.live import Live

    console = session.out.console()
    about = f"{session.server.url}, every {watch.every:g}s; Ctrl-C ends"
    with Live(console=console, auto_refresh=False, screen=False) as picture:
        for look in watch.looks(count):
            picture.update(_picture(look, about, console.width), refresh=True)


def _picture(look: list[Row], about: str, width: int) -> Any:
    """The numbers side by side, as many as fit, and below them the hottest paths with bars."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    hot = [row for row in look if row["unit"] == HOT]
    facts = [row for row in look if row["unit"] != HOT]
    beside = max(1, min(3, width // FACT_WIDTH))
    table = Table.grid(padding=(0, 2))
    for start in range(0, len(facts), beside):
        row = facts[start : start + beside]
        cells = [(Text(f["name"], "dim"), Text(_value(f), "bold", justify="right")) for f in row]
        table.add_row(*[cell for pair in cells for cell in pair])
    parts: list[Any] = [Text(about, "reverse", no_wrap=True, overflow="crop"), table]
    if hot:
        parts += [Text(""), Text("hottest paths", "dim"), _bars(hot)]
    return Group(*parts)


def _value(row: Row) -> str:
    if row["unit"] == "bytes":
        return human_size(int(row["value"]))
    if row["unit"] == "yes or no":
        return "yes" if row["value"] else "no"
    unit = row["unit"] if row["unit"].startswith("/") else f" {row['unit']}".rstrip()
    return f"{row['value']:.3g}{unit}" if row["value"] < 1000 else f"{row['value']:,.0f}{unit}"


def _bars(hot: list[Row]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from elastik_cli.terminal import draws, escape

    block, most = "█" if draws() else "#", max(row["value"] for row in hot)
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column(width=BAR)
    table.add_column(overflow="fold")
    for row in hot:
        bar = block * max(1, round(BAR * row["value"] / most))
        table.add_row(f"{row['value']:.3g}/s", Text(bar, "green"), Text(escape(row["name"])))
    return table
