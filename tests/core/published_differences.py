"""The one list of what the wire deliberately does otherwise than 8.3.0, with its reasons.

Every entry is an anchor of docs/migrating.md, which explains it. `expected` makes of a request and
of 8.3's answer what ours has to be, to the byte; what it does not name must be the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple


class Seen(NamedTuple):
    """One answer: status, headers by their names (repeated ones joined by "; "), body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def with_headers(self, **changed: str | None) -> Seen:
        headers = dict(self.headers)
        for name, value in changed.items():
            headers.pop(name.replace("_", "-"), None)
            if value is not None:
                headers[name.replace("_", "-")] = value
        return self._replace(headers=headers)

    def with_text(self, status: int, body: bytes) -> Seen:
        return self._replace(status=status, body=body).with_headers(content_length=str(len(body)))


WORLD = "GET, HEAD, PUT, POST, DELETE, OPTIONS"
BASIC = 'Basic realm="elastik", charset="UTF-8"'
DATE = "<date>"

# Tags that name no version: a weak one is never the same (RFC 9110 section 13.1.1).
FAILS = r"(?:\"other\"|W/.*|TAG|garbage|\")"

# Entry -> what a request means to us: it is answered as 8.3 answers the other one.
MEANS: dict[str, list[tuple[str, str]]] = {
    # RFC 9110 sections 14.1 and 14.2: units are case-insensitive, numbers are digits of any length,
    # what is malformed or of another unit is ignored, and ranges are for GET.
    "ranges": [
        (r"^(HEAD .*) \| Range: .*", r"\1"),
        (r" \| Range: (items|lines)=.*", ""),
        (r" \| Range: bytes=(5-2|\+1-2|1|-|a-b|)$", ""),
        (r" \| Range: bytes$", ""),
        (r"Range: Bytes=", "Range: bytes="),
        (r"Range: bytes= ", "Range: bytes="),
        (r"Range: bytes=0-9{20}$", "Range: bytes=0-"),
        (r"Range: bytes=9{20}-$", "Range: bytes=10-"),
        (r"Range: bytes=0-1,20-$", "Range: bytes=0-1"),
    ],
    # RFC 9110 section 13: reads have conditions too.
    "conditions": [
        (rf"^GET (/home/w|/tmp/w) \| (If-Match: {FAILS})$", r"PUT \1 | body=x | \2"),
        (rf"^HEAD (/home/w|/tmp/w) \| (If-Match: {FAILS})$", r"PUT \1 | body=x | \2 | bodiless"),
        (r"^GET (/home/w) \| (If-Match: \"MTAG\")$", r"PUT \1 | body=x | \2"),
        (r"^HEAD (/home/w) \| (If-Match: \"MTAG\")$", r"PUT \1 | body=x | \2 | bodiless"),
        (r"^GET (/tmp/w) \| (If-Match: (?:\"other\", )?\"TAG\")$", r"PUT \1 | body=x | \2"),
        (r"^GET (\S+) \| If-Modified-Since: Fri, 01 Jan 2100.*", r"GET \1 | If-None-Match: *"),
    ],
}

# Entry -> requests whose whole answer is another one; tests of ours say what it is.
OTHER: dict[str, list[str]] = {
    "ranges": [r"GET \S+ \| Range: bytes=0-1,3-4"],
    "conditions": [
        r"(GET|PUT|DELETE) \S+ .*If-Unmodified-Since: Sat, 01 Jan 2000.*",
    ],
    "headers-with-a-meaning": [
        r"PUT .* \| X-Elastik-TTL: soon",
        r"POST .* \| X-Append-Offset: [9x]",
        r"DELETE .* \| X-Elastik-Purge: maybe",
        r"DELETE .* \| Depth: 1",
    ],
    "new-methods": [r"(PATCH|COPY|MOVE) .*"],
    "new-pages": [
        r"(GET|POST) /proc/(batch|list|history)\b.*",
        r"GET /proc/audit/\S+/events.*",
        r"GET /listen/\*\?body=raw",
        r"GET /proc/pool.*",
    ],
    "head-and-options": [r"HEAD /listen/\*", r"OPTIONS \*"],
    "observed-at": [r"PUT /home/n \| body=x \| X-Observed-At: 1", r"HEAD /home/n\?observed"],
    "refused-before-the-body": [r"PUT /home/n \| body=x{101} \| token=none"],
}

Rule = Callable[[str, Seen], Seen]


def known_but_weak(request: str, theirs: Seen) -> Seen:
    known = not re.search(r"token=(none|wrong)|Authorization", request)
    if theirs.status != 401 or not known:
        return theirs
    body = theirs.body.replace(b"auth required:", b"forbidden:")
    length = len(b"forbidden:") - len(b"auth required:") + int(theirs.headers["content-length"])
    weak = theirs._replace(status=403, body=body)
    return weak.with_headers(www_authenticate=None, content_length=str(length))


def basic_is_offered(_: str, theirs: Seen) -> Seen:
    if theirs.status != 401:
        return theirs
    return theirs.with_headers(www_authenticate=f"{theirs.headers['www-authenticate']}; {BASIC}")


def more_methods(_: str, theirs: Seen) -> Seen:
    more = {WORLD: f"{WORLD}, PATCH, COPY, MOVE", "GET, OPTIONS": "GET, HEAD, OPTIONS"}
    allow = theirs.headers.get("allow")
    return theirs if allow is None else theirs.with_headers(allow=more.get(allow, allow))


def any_method_is_checked_first(request: str, theirs: Seen) -> Seen:
    if theirs.status == 400 and request.startswith(("BREW ", "get ")):
        refused = theirs.with_text(405, b"method not allowed\n")
        return refused.with_headers(allow=f"{WORLD}, PATCH, COPY, MOVE")
    return theirs


def worlds_have_times(_: str, theirs: Seen) -> Seen:
    is_world = "accept-ranges" in theirs.headers and "etag" in theirs.headers
    return theirs.with_headers(last_modified=DATE) if is_world else theirs


def pages_have_a_policy(_: str, theirs: Seen) -> Seen:
    if theirs.headers.get("content-type") != "text/html" or "etag" not in theirs.headers:
        return theirs
    return theirs.with_headers(
        content_security_policy="default-src 'self' 'unsafe-inline' data: blob:; "
        "form-action 'self'; frame-ancestors 'self'"
    )


def no_length_without_a_body(_: str, theirs: Seen) -> Seen:
    bodiless = theirs.status in (204, 304)
    return theirs.with_headers(content_length=None) if bodiless else theirs


def a_long_name_is_told(_: str, theirs: Seen) -> Seen:
    if theirs.body != b"internal error: storage failure\n":
        return theirs
    return theirs.with_text(
        414, b"uri too long: durable world name is longer than 255 encoded bytes\n"
    )


def one_form_of_errors(request: str, theirs: Seen) -> Seen:
    if theirs.body.startswith(b"Failed to buffer the request body"):
        return theirs.with_text(413, b"payload too large: max bytes 100\n")
    if theirs.body.startswith(b"Invalid URL: Invalid UTF-8"):
        return theirs.with_text(400, b"bad request: world path is not UTF-8\n")
    return theirs


def its_own_version(_: str, theirs: Seen) -> Seen:
    from elastik import __version__

    if "content-length" not in theirs.headers or theirs.headers["content-length"] not in "49 26":
        return theirs
    if theirs.body and not theirs.body.startswith(b"elastik-core 8.3.0"):
        return theirs
    length = int(theirs.headers["content-length"]) - len("8.3.0") + len(__version__)
    body = theirs.body.replace(b"8.3.0", __version__.encode())
    return theirs._replace(body=body).with_headers(content_length=str(length))


def quotas_have_more_lines(request: str, theirs: Seen) -> Seen:
    is_page = re.match(r"(GET|HEAD) /proc/df\b", request) and theirs.status == 200
    return theirs.with_headers(content_length=None) if is_page else theirs


def without_more_lines(request: str, ours: Seen) -> Seen:
    """What 8.3's page of quotas has too: its three lines."""
    cut = quotas_have_more_lines(request, ours)
    return ours if cut is ours else cut._replace(body=b"".join(cut.body.splitlines(True)[:3]))


# Entry -> what its reason changes in any answer.
RULES: list[tuple[str, Rule]] = [
    ("403-for-a-known-token", known_but_weak),
    ("basic", basic_is_offered),
    ("new-methods", more_methods),
    ("methods-first", any_method_is_checked_first),
    ("conditions", worlds_have_times),
    ("pages", pages_have_a_policy),
    ("no-length", no_length_without_a_body),
    ("long-names", a_long_name_is_told),
    ("errors", one_form_of_errors),
    ("version", its_own_version),
    ("quotas", quotas_have_more_lines),
]

# Lines of an event's `data:` that 8.3 does not send, and its clients skip.
MORE_LINES = {"size", "type", "time", "created", "from", "to", "writer", "reason"}


def entries() -> set[str]:
    return {*MEANS, *OTHER, *(entry for entry, _ in RULES), "events", "patterns", "numbers"}


def means(request: str) -> str:
    """The request whose answer by 8.3 is ours to this one."""
    for pairs in MEANS.values():
        for pattern, other in pairs:
            changed = re.sub(pattern, other, request)
            if changed != request:
                return changed
    return request


def is_other(request: str) -> bool:
    return any(re.fullmatch(pattern, request) for found in OTHER.values() for pattern in found)


def expected(request: str, theirs: Seen) -> Seen:
    for _, rule in RULES:
        theirs = rule(request, theirs)
    return theirs
