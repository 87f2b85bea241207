"""Which headers may be sent, and which a core keeps with a world (core.md §3.5)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

# The transport computes these; a wrong one would corrupt the connection.
WIRE_HEADERS = frozenset(
    "content-length transfer-encoding host connection keep-alive te trailer upgrade"
    " http2-settings".split()
)

_NEVER_PREFIXES = (
    ":", "sec-", "want-", "access-control-request-", "x-b3-", "x-amzn-", "cf-",
)  # fmt: skip
_NEVER = frozenset(
    """
    accept accept-ch accept-charset accept-encoding accept-language accept-ranges age allow alt-svc
    alt-used attribution-reporting-eligible authorization available-dictionary b3 baggage
    clear-site-data client-ip connection content-length content-range content-type cookie
    critical-ch date device-memory dictionary-id dnt downlink dpr early-data ect etag expect
    forwarded from host http2-settings http3-settings idempotency-key if-match if-modified-since
    if-none-match if-range if-unmodified-since keep-alive link location max-forwards origin pragma
    prefer preference-applied priority proxy-authenticate proxy-authorization proxy-connection
    range referer referrer retry-after rtt save-data server server-timing service-worker
    service-worker-navigation-preload set-cookie te traceparent tracestate trailer
    transfer-encoding true-client-ip upgrade upgrade-insecure-requests user-agent vary via
    viewport-width width www-authenticate x-content-type-options x-elapsed-ms x-elapsed-us
    x-forwarded-for x-forwarded-host x-forwarded-proto x-powered-by x-real-ip x-request-id
    """.split()
)
_DEFAULT = frozenset(
    """
    access-control-allow-credentials access-control-allow-headers access-control-allow-methods
    access-control-allow-origin access-control-expose-headers access-control-max-age cache-control
    content-disposition content-encoding content-language content-md5 content-security-policy
    content-security-policy-report-only cross-origin-embedder-policy cross-origin-opener-policy
    cross-origin-resource-policy expires permissions-policy referrer-policy x-frame-options
    x-observed-at x-robots-tag
    """.split()
)


class HeaderAllowlist:
    """A comma list of header names; a trailing ``*`` makes a prefix (``x-meta-*``).

    A bare ``*`` and a ``*`` inside a name match nothing, as in the core.
    """

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, exact: Iterable[str], prefixes: Iterable[str]) -> None:
        self._exact = frozenset(exact)
        self._prefixes = tuple(prefixes)

    @classmethod
    def empty(cls) -> HeaderAllowlist:
        """Matches nothing."""
        return cls((), ())

    @classmethod
    def parse(cls, raw: str) -> HeaderAllowlist:
        """From the text of ELASTIK_PERSIST_HEADERS or ELASTIK_DENY_HEADERS."""
        entries = [entry.strip().lower() for entry in raw.split(",")]
        return cls(
            (entry for entry in entries if entry and not entry.endswith("*")),
            (entry[:-1] for entry in entries if entry.endswith("*") and entry != "*"),
        )

    @classmethod
    def from_env(cls, env_var: str = "ELASTIK_PERSIST_HEADERS") -> HeaderAllowlist:
        """From an environment variable; unset is empty."""
        return cls.parse(os.environ.get(env_var, ""))

    def matches(self, name_lower: str) -> bool:
        """True when the lower-case name is listed."""
        return name_lower in self._exact or name_lower.startswith(self._prefixes)

    def is_empty(self) -> bool:
        """True when nothing can match."""
        return not self._exact and not self._prefixes


def is_never_kept(name: str) -> bool:
    """Headers that belong to a request or a connection and not to what is stored."""
    return name in _NEVER or name.startswith(_NEVER_PREFIXES)


def is_kept(
    name: str, allow: HeaderAllowlist | None = None, deny: HeaderAllowlist | None = None
) -> bool:
    """The core's decision for one header name: hard deny, deny list, default, allow list."""
    lower = name.strip().lower()
    if not lower or is_never_kept(lower) or (deny is not None and deny.matches(lower)):
        return False
    return lower in _DEFAULT or (allow is not None and allow.matches(lower))


def stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of an answer's headers those that came from the world itself."""
    return {name: value for name, value in headers.items() if not is_never_kept(name.lower())}


def reject_wire_headers(headers: Mapping[str, str]) -> None:
    """ValueError for headers that only the transport may set."""
    bad = sorted(name for name in headers if name.strip().lower() in WIRE_HEADERS)
    if bad:
        raise ValueError(f"the transport sets these headers itself: {', '.join(bad)}")
