"""`FakeElastik`: a client whose core is a dict in this process."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from elastik.client import Elastik
from elastik.fakecore import FakeCore
from elastik.headers import HeaderAllowlist
from elastik.transport import Answer, Body, body_size, pieces

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FakeElastik", "HeaderAllowlist"]


class FakeElastik(Elastik):
    """For unit tests without a core: every method of Elastik, on worlds in memory.

    It answers as a core with approve rights does: preconditions, ranges, statuses, chained ETags,
    events. What it does not imitate (tokens, quotas, CoAP, the counters of /proc/pool and
    /proc/df) raises NotImplementedError. Headers are kept by the core's rules; the lists come
    from ELASTIK_PERSIST_HEADERS and ELASTIK_DENY_HEADERS unless given.
    """

    def __init__(
        self,
        *,
        persist_allow: HeaderAllowlist | None = None,
        persist_deny: HeaderAllowlist | None = None,
    ) -> None:
        super().__init__("fake://elastik", bearer_token="fake", retries=0)
        allow = persist_allow or HeaderAllowlist.from_env("ELASTIK_PERSIST_HEADERS")
        deny = persist_deny or HeaderAllowlist.from_env("ELASTIK_DENY_HEADERS")
        wire: Any = _FakeTransport(FakeCore(allow, deny))
        self._transport_made = wire

    def __repr__(self) -> str:
        return f"<FakeElastik {len(self)} paths>"


class _FakeTransport:
    """Stands where connections would be."""

    def __init__(self, core: FakeCore) -> None:
        self._core = core

    def has_idle(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = None,
        **_: Any,
    ) -> Answer:
        for line in (f"{name}: {value}" for name, value in headers.items()):
            if "\r" in line or "\n" in line or "\0" in line:
                raise ValueError(f"line breaks are not allowed in a header: {line!r}")
        whole = body if isinstance(body, bytes) else b"" if body is None else _gathered(body)
        lower = {name.lower(): str(value).strip() for name, value in headers.items()}
        status, answered, content = self._core.handle(method, target, lower, whole)
        if not isinstance(content, bytes):
            return Answer(status, answered, content, wire=content)
        return Answer(status, answered, io.BytesIO(b"" if method == "HEAD" else content))


def _gathered(body: Any) -> bytes:
    size = body_size(body)
    data = b"".join(pieces(body))
    return data if size is None else data[:size]
