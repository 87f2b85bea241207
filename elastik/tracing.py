"""Opt-in request tracing of a client: hook, history, JSON lines in a world, a panel."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from elastik import paths
from elastik.errors import NotFound
from elastik.responses import Response, header_int
from elastik.verbs import Verbs

_log = logging.getLogger("elastik")

# (method, path, status, elapsed milliseconds, request id)
DebugHook = Callable[[str, str, int, float, str], None]
Record = dict[str, Any]

LEVELS = ("all", "slow", "errors")
SINK = "/tmp/debug/requests"
_SECRET = ("authorization", "proxy-authorization", "cookie", "set-cookie")
_SECRET_ENDS = ("-token", "-key", "-secret")
_HISTORY = 10_000
_UNSET: Any = object()


class Tracing(Verbs):
    """enable_debug, disable_debug, debug_stats."""

    _trace: _Trace | None = None

    @property
    def debug_enabled(self) -> bool:
        """True between enable_debug() and disable_debug()."""
        return self._trace is not None

    @property
    def debug_history(self) -> list[Record]:
        """Records gathered by ``enable_debug(record=True)``, the newest last, 10,000 at most."""
        return self.__dict__.setdefault("_debug_history", [])  # type: ignore[no-any-return]

    @debug_history.setter
    def debug_history(self, records: list[Record]) -> None:
        self.__dict__["_debug_history"] = records

    def enable_debug(
        self,
        *,
        level: str | None = None,
        slow_ms: float = 100,
        hook: DebugHook | None = None,
        record: bool = False,
        verbose: int | None = None,
        break_on: int | Iterable[int] | None = None,
        sink: str | None = _UNSET,
        panel: bool = False,
        panel_path: str = "/tmp/debug-panel.html",
    ) -> Any:
        """Trace this client's requests; returns the client.

        `level`: ``all``, ``slow`` (and errors), ``errors``; or `verbose` 0, 1, 2, 3 for errors,
        slow, all, all with redacted headers. Records go to `hook` (every request), to
        `debug_history` (`record`), and as JSON lines to the world `sink`, by default
        ``/tmp/debug/requests`` unless recording. `break_on` opens the debugger on these statuses.
        A failing hook or sink never breaks the request. `panel` stores a page that shows the sink.
        """
        if verbose is not None and level is not None:
            raise ValueError("use either level= or verbose=, not both")
        if verbose is not None:
            level = "errors" if verbose <= 0 else "slow" if verbose == 1 else "all"
        level = (level or "all").lower()
        if level not in LEVELS:
            raise ValueError(f"debug level must be one of {sorted(LEVELS)}, got {level!r}")
        if sink is _UNSET:
            sink = None if record else SINK
        if record:
            self.debug_history = []
        stops = {break_on} if isinstance(break_on, int) else {int(s) for s in break_on or ()}
        self._trace = _Trace(level, float(slow_ms), hook, record, verbose or 1, stops, sink)
        if panel:
            self._install_panel(panel_path)
        return self

    def disable_debug(self) -> Any:
        """Stop tracing; returns the client."""
        self._trace = None
        return self

    def debug_stats(self) -> dict[str, Any]:
        """Counts and times (milliseconds) of `debug_history`."""
        rows = list(self.debug_history)
        times = sorted(float(row["client_ms"]) for row in rows)
        total = sum(times)
        return {
            "total_requests": len(rows),
            "total_ms": round(total, 3) if rows else 0,
            "avg_ms": round(total / len(rows), 3) if rows else 0,
            "p99_ms": times[min(len(times) - 1, int(len(times) * 0.99))] if rows else 0,
            "by_method": _counts(row["method"] for row in rows),
            "by_status": _counts(row["status"] for row in rows),
            "slowest": max(rows, key=lambda row: float(row["client_ms"])) if rows else None,
        }

    def _observe(
        self, method: str, path: str, sent: dict[str, str], response: Response, elapsed_ms: float
    ) -> None:
        trace = self._trace
        if trace is None or trace.busy or paths.with_namespace(path).startswith("tmp/debug/"):
            return
        record = trace.record_of(method, path, sent, response, elapsed_ms)
        if trace.hook is not None:
            try:
                trace.hook(record["method"], path, response.status, elapsed_ms, record["rid"])
            except Exception:
                _log.exception("elastik debug hook failed")
        if trace.wants(response.status, elapsed_ms):
            if trace.record:
                self.debug_history.append(record)
                del self.debug_history[:-_HISTORY]
            self._write_record(trace, record)
        if response.status in trace.stops:
            breakpoint()

    def _write_record(self, trace: _Trace, record: Record) -> None:
        if not trace.sink:
            return
        import json

        line = json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n"
        sinks = [trace.sink]
        if record["status"] >= 400:
            sinks.append("/tmp/debug/errors")
        if record["client_ms"] >= trace.slow_ms:
            sinks.append("/tmp/debug/slow")
        with trace:
            for sink in sinks:
                try:
                    try:
                        self.post(sink, line)
                    except NotFound:
                        self.put(sink, line, content_type="application/x-ndjson")
                except Exception:
                    _log.debug("failed to append elastik debug record", exc_info=True)

    def _install_panel(self, path: str) -> None:
        import sys

        from elastik.panel import PANEL

        trace = self._trace
        assert trace is not None
        with trace:
            try:
                self.put(path, PANEL, content_type="text/html; charset=utf-8")
                print(f"\n  debug panel: {self.url}{paths.target(path)}\n", file=sys.stderr)
            except Exception:
                _log.debug("failed to install elastik debug panel", exc_info=True)


class _Trace:
    """The settings of one enable_debug(); as a context it marks its own requests."""

    def __init__(
        self,
        level: str,
        slow_ms: float,
        hook: DebugHook | None,
        record: bool,
        verbose: int,
        stops: set[int],
        sink: str | None,
    ) -> None:
        self.level = level
        self.slow_ms = slow_ms
        self.hook = hook
        self.record = record
        self.verbose = verbose
        self.stops = stops
        self.sink = sink
        self._local = threading.local()

    @property
    def busy(self) -> bool:
        return getattr(self._local, "busy", False)

    def __enter__(self) -> None:
        self._local.busy = True

    def __exit__(self, *_: object) -> None:
        self._local.busy = False

    def wants(self, status: int, elapsed_ms: float) -> bool:
        slow = self.level == "slow" and elapsed_ms >= self.slow_ms
        return self.level == "all" or status >= 400 or slow

    def record_of(
        self, method: str, path: str, sent: dict[str, str], response: Response, elapsed_ms: float
    ) -> Record:
        record: Record = {
            "rid": response.headers.get("x-request-id", "?"),
            "method": method.upper(),
            "path": path,
            "status": response.status,
            "client_ms": round(elapsed_ms, 3),
            "core_us": header_int(response.headers, "x-elapsed-us"),
            "bytes": len(response.body),
            "ts": time.time(),
        }
        if self.verbose >= 3:
            record["request_headers"] = _redacted(sent)
            record["response_headers"] = _redacted(response.headers)
        return record


def _redacted(headers: dict[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    secret = {name for name in lower if name in _SECRET or name.endswith(_SECRET_ENDS)}
    return {name: "<redacted>" if name in secret else value for name, value in lower.items()}


def _counts(values: Iterable[Any]) -> dict[Any, int]:
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts
