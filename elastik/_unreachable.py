"""The errors of a server that does not answer, as kin of urllib's URLError."""

from __future__ import annotations

from urllib.error import URLError

from elastik.errors import ElastikError, NoAnswer


class Unreachable(NoAnswer, URLError):
    """No answer: refused, unresolved, reset or silent. 8.3 let urllib's URLError through."""

    def __init__(self, reason: object, *, method: str = "", path: str = "") -> None:
        ElastikError.__init__(self, 0, str(reason).encode(), method=method, path=path)
        self.reason = reason  # type: ignore[assignment]
        self.errno = getattr(reason, "errno", None)

    def __str__(self) -> str:
        where = f"{self.method} {self.path}: " if self.method or self.path else ""
        return f"{where}no answer: {self.reason}"


class TimedOut(Unreachable, TimeoutError):
    """The server was silent for longer than the timeout."""
