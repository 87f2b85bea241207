"""The exceptions of the SDK: one tree, one class for each way a request can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elastik._unreachable import TimedOut as TimedOut
    from elastik._unreachable import Unreachable as Unreachable
    from elastik.responses import Response

__all__ = [
    "BadPath",
    "Conflict",
    "Corrupt",
    "ElastikError",
    "Forbidden",
    "InsufficientStorage",
    "NoAnswer",
    "NotFound",
    "NotOverCoap",
    "PayloadTooLarge",
    "PreconditionFailed",
    "ServerError",
    "TimedOut",
    "Unauthorized",
    "Unreachable",
    "Unsupported",
    "error_for",
    "error_of",
]


class ElastikError(Exception):
    """Catch this to catch any failure of this library.

    ``status`` is the HTTP status (0 when there was no answer), ``body`` the raw answer,
    ``headers`` its lower-case headers, ``request_id`` and ``core_elapsed_us`` two of them as text.
    """

    def __init__(
        self,
        status: int,
        body: bytes,
        *,
        method: str = "",
        path: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.method = method
        self.path = path
        self.headers = dict(headers or {})
        self.request_id = self.headers.get("x-request-id", "")
        self.core_elapsed_us = self.headers.get("x-elapsed-us", "")
        super().__init__(status, body)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process pools: keep everything, not only the positional part.
        return _rebuild, (type(self), self.__dict__.copy(), self.args)

    def __str__(self) -> str:
        where = f" {self.method} {self.path}" if self.method or self.path else ""
        notes = []
        if self.request_id:
            notes.append(f"request-id={self.request_id}")
        if self.core_elapsed_us:
            notes.append(f"core-elapsed={self.core_elapsed_us}us")
        tail = f" ({', '.join(notes)})" if notes else ""
        return f"elastik {self.status}{where}: {self.body[:200]!r}{tail}"


def _rebuild(cls: type[ElastikError], state: dict[str, Any], args: tuple[Any, ...]) -> ElastikError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class Unauthorized(ElastikError):
    """401: no token, or one that the core does not know."""


class Forbidden(Unauthorized):
    """403: a known token that may not do this. 8.3 said 401, so it is also an Unauthorized."""


class NotFound(ElastikError):
    """404: there is no such world."""


class Conflict(ElastikError):
    """409: the world or its audit chain is in a state that forbids the request."""


class PreconditionFailed(ElastikError):
    """412: If-Match or If-None-Match did not hold; somebody else wrote first."""


class PayloadTooLarge(ElastikError):
    """413: beyond the size of one world, or the memory quota."""


class ServerError(ElastikError):
    """5xx: the core could not do it now."""


class InsufficientStorage(ServerError):
    """507: the disk or the storage quota is full."""


class NoAnswer(ElastikError, OSError):
    """Light base of Unreachable and TimedOut, for tables that must import nothing else."""


class BadPath(ElastikError, ValueError):
    """Not a path that a core could hold; refused before anything is sent."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(400, reason.encode("utf-8", "backslashreplace"), path=path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}: {self.path!r}" if self.path else self.reason


class Corrupt(ElastikError):
    """An audit chain or a checksum does not hold."""


class Unsupported(ElastikError, NotImplementedError):
    """The core at the other end cannot do this, and an imitation was not wanted."""

    def __init__(self, reason: str) -> None:
        super().__init__(501, reason.encode())
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotOverCoap(Unsupported):
    """What a ``coap://`` server cannot be asked for; `what` names a part of the request."""

    def __init__(self, url: str, what: str = "") -> None:
        super().__init__(
            f"{what}: not over {url}: use http" if what else f"not over {url}: use http"
        )


_BY_STATUS: dict[int, type[ElastikError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: PayloadTooLarge,
    507: InsufficientStorage,
}


def error_for(
    status: int,
    body: bytes,
    *,
    method: str = "",
    path: str = "",
    headers: Mapping[str, str] | None = None,
) -> ElastikError:
    """The exception that stands for an answer of 400 or more (made, not raised)."""
    fallback = ServerError if status >= 500 else ElastikError
    cls = _BY_STATUS.get(status, fallback)
    return cls(status, body, method=method, path=path, headers=headers)


def error_of(answer: Response, method: str, path: str) -> ElastikError:
    """The exception that stands for this answer to a request."""
    return error_for(answer.status, answer.body, method=method, path=path, headers=answer.headers)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # These two derive from urllib's URLError, whose import most programs can spare.
        if name in ("Unreachable", "TimedOut"):
            from elastik import _unreachable

            return getattr(_unreachable, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
