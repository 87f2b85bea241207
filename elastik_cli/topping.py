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
# Metric -> what it is called here, and its unit.
SHOWN = {
    "elastik_worlds": ("paths", ""),
    "elastik_storage_bytes": ("storage", "bytes"),
    "elastik_memory_bytes": ("memory", "bytes"),
    "elastik_listeners": ("listeners", ""),
    "elastik_connections": ("connections", ""),
    "elastik_writer_queue_ops": ("writes waiting", ""),
    "elastik_writable": ("writable", "1 or 0"),
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
        rows += [
            {"name": name, "value": now[key], "unit": unit}
            for key, (name, unit) in SHOWN.items()
            if key in now
        ]
        with self._lock:
            hottest = self.hot.most_common(self.paths)
            self.hot.clear()
        rows += [{"name": path, "value": n / seconds, "unit": "events/s"} for path, n in hottest]
        return rows


def live(session: Session, watch: Watch, count: int | None) -> None:
    """Draw each look over the one before, until Ctrl-C."""
    from rich.live import Live

    with Live(console=session.out.console(), auto_refresh=False, screen=False) as picture:
        for look in watch.looks(count):
            picture.update(_table(look), refresh=True)


def _table(look: list[Row]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from elastik_cli.terminal import escape

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    for row in look:
        bytes_ = row["unit"] == "bytes"
        value = human_size(int(row["value"])) if bytes_ else f"{row['value']:.4g}"
        table.add_row(value, "" if bytes_ else row["unit"], Text(escape(row["name"])))
    return table
