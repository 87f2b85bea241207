"""The cases of the wire's contract, section by section: what is asked of both cores.

A case is a name and its requests, one after the other; each is `METHOD TARGET | Header: value |
body=… | token=…`, with the approve token when none is named. `TAG` and `MTAG` are the ETags of
`/home/w` and `/tmp/w` without quotes. Before each case there are `/home/w` and `/tmp/w` with
`0123456789` as `text/x`, `/home/j` with `{"a":1}`, and nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "http.md"
DOCUMENTED = "page: "

Case = tuple[str, tuple[str, ...]]


def each(section: str, lines: str, after: str = "") -> list[Case]:
    """One case for each line; `after` is asked behind each of them."""
    found = [line.strip() for line in lines.strip().splitlines()]
    return [(f"{section} {line}", (line, after) if after else (line,)) for line in found]


def told(section: str, name: str, *requests: str) -> Case:
    """Several requests that belong together."""
    return (f"{section} {name}", requests)


def documented() -> list[Case]:
    """The rows of docs/http.md."""
    section = PAGE.read_text().split("\n## Requests and their answers\n")[1].split("\n## ")[0]
    cases = []
    for line in section.splitlines():
        if line.startswith("| `"):
            cells = re.split(r"(?<!\\)\|", line)[1:3]
            target, *more = re.findall(r"`([^`]*)`", cells[0] + cells[1])
            if target.startswith(("PUT ", "PATCH ")) and not any(
                m.startswith("body=") for m in more
            ):
                more.append("body=")
            request = " | ".join([target, *more])
            cases.append((DOCUMENTED + request, (request,)))
    return cases


TOKENS = ("none", "wrong", "read", "write", "approve")
GUARDED = """GET /home/w
HEAD /home/w
GET /home/none
GET /proc/worlds
GET /proc/du
GET /proc/df
GET /proc/audit/home/w/verify
GET /proc/version
GET /
PUT /home/n | body=x
PUT /tmp/n | body=x
PUT /dev/n | body=x
PUT /sys/n | body=x
PUT /var/n | body=x
PUT /var/log/n | body=x
PUT /etc/n | body=x
PUT /lib/n | body=x
PUT /boot/n | body=x
PUT /usr/n | body=x
POST /home/w | body=x
POST /home/none | body=x
POST /var/log/deletes | body=x
DELETE /home/w
DELETE /tmp/w
DELETE /home/none
DELETE /var/log/deletes
DELETE /var/log/deletes/y
PUT /home | body=x
PUT /home/a//b | body=x""".splitlines()

ROUTES = """/ /home/w /home/none /proc/version /proc/worlds /proc/du /proc/df
/proc/audit/home/w/verify /proc/none /proc/x/y /proc/ /proc""".split()

# What a Location and a Link hold as it is, and what they escape.
ODD_NAMES = """a%20b a%22b a%23b a%25b a%3Cb a%3Eb a%3Fb a%5Bb a%5Db a%5Eb a%60b a%7Bb a%7Cb a%7Db
a!b a$b a&b a'b a(b a)b a*b a+b a,b a-b a.b a:b a;b a=b a@b a_b a~b ... ..a a. %E6%97%A5
%E2%80%A8 %E2%80%AE e%CC%81 %C3%A9 A%zzb a%2 %25zz""".split()

DENIED = """accept accept-ch accept-charset accept-encoding accept-language accept-ranges age allow
alt-svc alt-used attribution-reporting-eligible available-dictionary b3 baggage clear-site-data
client-ip content-range cookie critical-ch date device-memory dictionary-id dnt downlink dpr
early-data ect etag forwarded from if-modified-since if-range keep-alive link location max-forwards
origin pragma prefer preference-applied priority proxy-authenticate proxy-authorization
proxy-connection range referer referrer retry-after rtt save-data server server-timing
service-worker service-worker-navigation-preload set-cookie te traceparent tracestate trailer
true-client-ip upgrade-insecure-requests user-agent vary via viewport-width width www-authenticate
x-content-type-options x-elapsed-ms x-elapsed-us x-forwarded-for x-forwarded-host x-forwarded-proto
x-powered-by x-real-ip x-request-id sec-x want-x access-control-request-x x-b3-x x-amzn-x
cf-x""".split()
KEPT = """access-control-allow-credentials access-control-allow-headers access-control-allow-methods
access-control-allow-origin access-control-expose-headers access-control-max-age cache-control
content-disposition content-encoding content-language content-md5 content-security-policy
content-security-policy-report-only cross-origin-embedder-policy cross-origin-opener-policy
cross-origin-resource-policy expires permissions-policy referrer-policy x-frame-options
x-robots-tag x-meta-a x-meta- x-meta-denied x-other""".split()

CONDITIONS = [
    f"{name}: {value}"
    for name in ("If-Match", "If-None-Match")
    for value in (
        "*",
        '"TAG"',
        'W/"TAG"',
        "TAG",
        '"other"',
        '"other", "TAG"',
        'W/"other", W/"TAG"',
        '"MTAG"',
        "",
        "garbage",
        '"',
    )
]
RANGES = """bytes=0-3
bytes=2-
bytes=-3
bytes=-99
bytes=5-99
bytes=9-9
bytes=0-0
bytes=0-99999999999999999999
bytes=10-
bytes=10-11
bytes=-0
bytes=99999999999999999999-
bytes=5-2
bytes=+1-2
bytes=1
bytes=-
bytes=
bytes
Bytes=0-3
bytes= 0-3
items=0-3
bytes=0-1,3-4
bytes=0-1,20-
bytes=a-b""".splitlines()

CASES: list[Case] = [
    *(
        (f"2.2 {method} {route}{who}", (f"{method} {route}{who}",))
        for route in ROUTES
        for method in ("GET", "HEAD")
        for who in ("", " | token=none")
    ),
    *each(
        "2.2",
        """GET /?x=1
        GET /proc/version?x=1
        GET /proc/worlds?x=1
        GET /proc/worlds/
        GET /proc/audit/home/w
        GET /proc/audit/home/w/verify/
        GET /proc/audit//verify
        GET /proc/audit//verify | token=none
        GET /proc/audit/home/verify | token=none
        GET /proc/audit/home/a//b/verify
        GET /proc/audit/w/verify
        GET /proc%2Fworlds
        GET /listen
        GET /listen/
        HEAD /listen/*
        OPTIONS *""",
    ),
    *(
        (f"2.3 {method} {route}", (f"{method} {route} | token=none",))
        for route in [*ROUTES, "/listen/*", "/home", "/home/../x"]
        for method in ("OPTIONS", "PUT", "DELETE", "BREW", "get")
    ),
    *(
        (f"2.4 {request} | token={token}", (f"{request} | token={token}",))
        for request in GUARDED
        for token in TOKENS
    ),
    *each(
        "2.4",
        """GET /home/w | token=none | Authorization: bearer r-token-for-tests
        GET /home/w | token=none | Authorization: BEARER    r-token-for-tests
        GET /home/w | token=none | Authorization: Bearer
        GET /home/w | token=none | Authorization: Bearerr-token-for-tests
        GET /home/w | token=none | Authorization: r-token-for-tests
        GET /home/w | token=none | Authorization: Token r-token-for-tests
        GET /home/w | token=none | Authorization: Basic OnItdG9rZW4tZm9yLXRlc3Rz
        GET /home/w | token=none | Authorization: basic dTpyLXRva2VuLWZvci10ZXN0cw==
        GET /home/w | token=none | Authorization: Basic ci10b2tlbi1mb3ItdGVzdHM=
        GET /home/w | token=none | Authorization: Basic ???
        GET /home/w?token=r-token-for-tests | token=none
        GET /home/w | Authorization: Bearer wrong
        GET /home/w | token=wrong | Authorization: Bearer r-token-for-tests""",
    ),
    told("2.4", "a weak token and a condition", 'DELETE /home/w | token=write | If-Match: "other"'),
    told("2.4", "the ledger is not deleted", "DELETE /tmp/w", "DELETE /var/log/deletes"),
    told("2.4", "what lies below the ledger is", "PUT /var/log/deletes/y | body=x",
         "DELETE /var/log/deletes/y"),
    *(
        (f"2.5 {method} {target}", (f"{method} {target}{body}",))
        for method, body in (("GET", ""), ("PUT", " | body=x"))
        for target in """/home /tmp /dev /sys /etc /lib /boot /usr /var /proc/x /var/log /home/
        /home/a/ /home/a//b /home/./a /home/../a /home/%2e/a /home/.%2e/a /home/%2E%2e /home/%252e/a
        /home/a%00 /home/a%1F /home/a%7F /home/a%C2%85 /home/a%5Cb /home/%FF //home/w /%2Fhome/w
        /home%2Fw /w /foo/bar /mnt/x /Home/x /home/w?query /home/w?a#b http://any.example/home/w
        """.split()
    ),
    told("2.5", "names that are their own", *(f"PUT /tmp/{name} | body=x" for name in ODD_NAMES),
         "GET /proc/worlds", *(f"GET /tmp/{name}" for name in ODD_NAMES)),
    told("2.5", "such a name on the disk", f"PUT /home/{ODD_NAMES[0]} | body=x", "GET /proc/du"),
    told("2.5", "the longest durable name", f"PUT /home/{'a' * 248} | body=x"),
    told("2.5", "a durable name beyond it", f"PUT /home/{'a' * 249} | body=x"),
    told("2.5", "reading such a name", f"GET /home/{'a' * 249}"),
    told("2.5", "a long name in memory", f"PUT /tmp/{'a' * 2000} | body=x"),
    told("2.6", "new, replaced, appended, gone", "PUT /home/n | body=a", "PUT /home/n | body=b",
         "POST /home/n | body=c", "GET /home/n", "DELETE /home/n", "DELETE /home/n", "GET /home/n"),
    told("2.6", "the same in memory", "PUT /tmp/n | body=a", "PUT /tmp/n | body=b",
         "POST /tmp/n | body=c", "GET /tmp/n", "DELETE /tmp/n", "DELETE /tmp/n", "GET /tmp/n"),
    told("2.6", "an empty body", "PUT /home/n | body=", "GET /home/n", "HEAD /home/n",
         "POST /home/n | body=", "GET /home/n"),
    told("2.6", "deleted and made again", "PUT /home/n | body=a", "DELETE /home/n",
         "PUT /home/n | body=a"),
    told("3.1", "no type", "PUT /home/n | body=a", "HEAD /home/n"),
    *(
        told("3.1", f"type {given!r}", f"PUT /home/n | body=a | Content-Type: {given}",
             "HEAD /home/n", "GET /home/n")
        for given in ("text/plain", "TEXT/Plain; a=B", "garbage", "", "  text/x  ", "é", "a/b, c/d",
                      "application/json")
    ),
    told("3.1", "of two types the first",
         "PUT /home/n | body=a | Content-Type: a/b | Content-Type: c/d", "HEAD /home/n"),
    told("3.1", "an HTML page", "PUT /home/n | body=a | Content-Type: text/html", "GET /home/n"),
    told("3.1", "PUT replaces type and headers", "PUT /home/w | body=a | X-Meta-A: 1",
         "HEAD /home/w", "PUT /home/w | body=b", "HEAD /home/w"),
    told("3.1", "POST changes neither", "PUT /home/w | body=a | X-Meta-A: 1 | Content-Type: a/b",
         "POST /home/w | body=b | X-Meta-A: 2 | Content-Type: c/d | Cache-Control: no-store",
         "GET /home/w"),
    told("3.2", "the same body again", "PUT /home/n | body=a", "PUT /home/n | body=a",
         "PUT /tmp/n | body=a", "PUT /tmp/n | body=a | Content-Type: a/b"),
    *(
        (f"3.3 {method} {target} {given}", (f"{method} {target} | Range: {given}",))
        for method, target in (("GET", "/home/w"), ("GET", "/tmp/w"), ("HEAD", "/home/w"))
        for given in RANGES
    ),
    *each(
        "3.3",
        """GET /home/w | Range: bytes=0-1 | Range: bytes=2-3
        GET /home/none | Range: bytes=0-1
        GET /home/w | Range: bytes=0-1 | If-Range: "TAG"
        GET /home/w | Range: bytes=0-1 | If-Range: W/"TAG"
        GET /home/w | Range: bytes=0-1 | If-Range: TAG
        GET /home/w | Range: bytes=0-1 | If-Range: "other"
        GET /home/w | Range: bytes=0-1 | If-Range: Sat, 01 Jan 2000 00:00:00 GMT
        GET /home/w | Range: bytes=99- | If-Range: "other"
        GET /home/w | If-Range: "TAG"
        GET /home/w | Range: bytes=0-1 | If-None-Match: "TAG\"""",
    ),
    told("3.3", "an empty body", "PUT /home/n | body=", "GET /home/n | Range: bytes=0-",
         "GET /home/n | Range: bytes=-1"),
    *(
        (f"3.4 {method} {target} {given}", (f"{method} {target} | {given}" + body,))
        for target, verbs in (
            ("/home/w", ("GET", "HEAD")),
            ("/tmp/w", ("GET", "PUT", "POST", "DELETE")),
            ("/home/none", ("GET", "PUT", "POST", "DELETE")),
        )
        for method in verbs
        for body in (" | body=x" if method in ("PUT", "POST") else "",)
        for given in CONDITIONS
    ),
    *(
        (f"3.4 {method} /home/w {name} {date}", (f"{method} /home/w | {name}: {date}" + body,))
        for method, body in (("GET", ""), ("PUT", " | body=x"), ("DELETE", ""))
        for name in ("If-Modified-Since", "If-Unmodified-Since")
        for date in ("Fri, 01 Jan 2100 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", "yesterday")
    ),
    told("3.4", "on the disk", 'PUT /home/w | body=x | If-Match: "TAG"',
         'POST /home/w | body=x | If-Match: "TAG"',
         'DELETE /home/w | If-Match: "TAG"', "DELETE /home/w | If-Match: *"),
    told("3.4", "both", 'PUT /home/w | body=x | If-Match: "TAG" | If-None-Match: *',
         'GET /home/w | If-Match: "TAG" | If-None-Match: "other"'),
    told("3.5", "never kept", "PUT /home/n | body=x" + "".join(f" | {n}: 1" for n in DENIED),
         "HEAD /home/n"),
    told("3.5", "by the lists", "PUT /home/n | body=x" + "".join(f" | {n}: 1" for n in KEPT),
         "HEAD /home/n"),
    told("3.5", "an observation's time", "PUT /home/n | body=x | X-Observed-At: 1",
         "HEAD /home/n?observed"),
    told("3.5", "the last value of a name", "PUT /home/n | body=x | X-Meta-A: 1 | X-Meta-A: 2",
         "HEAD /home/n"),
    told("3.5", "an empty value", "PUT /home/n | body=x | X-Meta-A: ", "HEAD /home/n"),
    told("3.5", "a value that is no ASCII", "PUT /home/n | body=x | X-Meta-A: é", "HEAD /home/n"),
    told("3.5", "a tab", "PUT /home/n | body=x | X-Meta-A: a\tb", "HEAD /home/n"),
    told("3.5", "headers stand in order",
         "PUT /home/n | body=x | X-Meta-B: 1 | Expires: 0 | X-Meta-A: 2", "GET /home/n"),
    told("5", "a chain that grows", "GET /proc/audit/home/n/verify", "PUT /home/n | body=1",
         "GET /proc/audit/home/n/verify", "POST /home/n | body=2", "PUT /home/n | body=3",
         "GET /proc/audit/home/n/verify", "HEAD /proc/audit/home/n/verify"),
    told("5", "a world in memory", "GET /proc/audit/tmp/w/verify", "HEAD /proc/audit/tmp/w/verify"),
    told("5", "a world that went", "DELETE /home/w", "GET /proc/audit/home/w/verify",
         "HEAD /proc/audit/home/w/verify"),
    # Last: from here on the ledgers of both cores differ, since one of them has a MOVE.
    *documented(),
]  # fmt: skip

# On a core with 100 bytes for a world, 200 in memory and 200 on disk.
SMALL: list[Case] = [
    told("2.6", "a world that is too large", f"PUT /home/n | body={'x' * 101}",
         f"PUT /home/n | body={'x' * 100}", "POST /home/n | body=x"),
    told("2.6", "too large, and no token", f"PUT /home/n | body={'x' * 101} | token=none"),
    told("2.6", "memory is full", f"PUT /tmp/a | body={'x' * 100}", f"PUT /tmp/b | body={'x' * 91}",
         f"PUT /tmp/b | body={'x' * 90}", "PUT /tmp/c | body=x", "PUT /tmp/c | body=",
         "PUT /tmp/a | body=x", "GET /proc/df"),
    told("2.6", "storage is full", f"PUT /home/a | body={'x' * 100}",
         f"PUT /home/b | body={'x' * 84}",
         f"PUT /home/b | body={'x' * 83}", "PUT /home/c | body=x", "POST /home/b | body=x",
         "PUT /home/c | body=", "PUT /home/a | body=x", "GET /proc/df", "PUT /tmp/c | body=x"),
    told("4.7", "what is counted", "PUT /home/n | body=12345", "PUT /tmp/n | body=123",
         "POST /home/n | body=6", "PUT /var/log/deletes | body=1234", "GET /proc/df",
         "GET /proc/du", "GET /proc/worlds", "DELETE /home/n", "GET /proc/df"),
    told("2.6", "a condition comes before the quota", f"PUT /home/a | body={'x' * 100}",
         f"PUT /home/b | body={'x' * 100} | If-Match: *"),
]  # fmt: skip

# On a core without tokens.
OPEN: list[Case] = each(
    "2.4 no tokens:",
    """GET /home/w | token=none
    GET /home/w | token=wrong
    PUT /home/n | body=x | token=none
    PUT /etc/n | body=x | token=none
    POST /home/n | body=x | token=none
    DELETE /home/n | token=none
    GET /proc/worlds | token=none
    GET /proc/pool | token=none
    HEAD /home/n | token=none""",
)

# Bytes as they go over the line; the core closes, or the request asks it to.
RAW = {
    "2.1 HTTP/1.0 without Host": b"GET /proc/version HTTP/1.0\r\n\r\n",
    "2.1 HTTP/1.1 without Host": b"GET /proc/version HTTP/1.1\r\nConnection: close\r\n\r\n",
    "2.1 two requests at once": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    b"GET /proc/none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "2.1 a body in chunks": b"PUT /home/n HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer APPROVE\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "2.1 a request id of the client": b"GET / HTTP/1.0\r\nX-Request-Id: 99\r\n\r\n",
    "2.6 a space in the target": b"GET /home/a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "2.6 no HTTP": b"nonsense\r\n\r\n",
    "2.6 a target without a slash": b"GET home/w HTTP/1.1\r\nHost: h\r\n\r\n",
    "2.6 more than a hundred headers": b"GET / HTTP/1.1\r\nHost: h\r\n"
    + b"x: y\r\n" * 101
    + b"\r\n",
    "2.6 a target beyond 64 KiB": b"GET /tmp/" + b"a" * 66000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
}
