"""Kept headers: which request headers come back with the world, in four layers."""

from __future__ import annotations

import pytest

KEPT = {
    "Cache-Control": "max-age=60",
    "Content-Disposition": 'attachment; filename="a b.html"',
    "Content-Encoding": "gzip",
    "Content-Language": "en",
    "Content-Security-Policy": "default-src 'self'",
    "Expires": "Thu, 01 Jan 2026 00:00:00 GMT",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Access-Control-Allow-Origin": "*",
}
DROPPED = ["Cookie", "Set-Cookie", "Referer", "User-Agent", "X-Forwarded-For", "Sec-Fetch-Mode"]
DROPPED += ["Server", "Via", "Link", "Location", "Traceparent", "X-Unknown", "X-Meta-Author"]


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_headers_of_the_representation_are_kept(wire, fresh, namespace, name):
    path = fresh(namespace)
    wire.request("PUT", path, b"x", {name: KEPT[name]})
    assert wire.get(path).headers[name.lower()] == KEPT[name]


@pytest.mark.parametrize("name", DROPPED)
def test_headers_of_the_request_are_not(wire, fresh, name):
    path = fresh()
    wire.request("PUT", path, b"x", {name: "mark-of-the-test"})
    assert "mark-of-the-test" not in wire.get(path).headers.values()


def test_the_allow_list_adds_by_name_and_by_prefix(start_core):
    core = start_core(env={"ELASTIK_PERSIST_HEADERS": " X-Meta-* , x-one"})
    sent = {"X-Meta-Author": "me", "X-One": "1", "X-Two": "2"}
    core.request("PUT", "/home/a", b"x", sent)
    headers = core.get("/home/a").headers
    assert (headers["x-meta-author"], headers["x-one"], "x-two" in headers) == ("me", "1", False)


def test_nothing_allows_what_is_denied_for_ever(start_core):
    core = start_core(env={"ELASTIK_PERSIST_HEADERS": "cookie,sec-*,authorization,c*,s*,a*"})
    core.request("PUT", "/home/a", b"x", {"Cookie": "k=v", "Sec-Fetch-Mode": "cors"})
    headers = core.get("/home/a").headers
    assert not {"cookie", "sec-fetch-mode", "authorization"} & set(headers)


def test_the_deny_list_beats_the_allow_lists(start_core):
    lists = {"ELASTIK_PERSIST_HEADERS": "x-*", "ELASTIK_DENY_HEADERS": "x-secret,cache-control"}
    core = start_core(env=lists)
    sent = {"X-Secret": "s", "X-Open": "o", "Cache-Control": "no-store", "Content-Type": "a/b"}
    core.request("PUT", "/home/a", b"x", sent)
    headers = core.get("/home/a").headers
    assert (headers["x-open"], headers["content-type"]) == ("o", "a/b")
    assert not {"x-secret", "cache-control"} & set(headers)


def test_the_last_of_a_repeated_header_wins(wire, fresh):
    path = fresh()
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.write}\r\n"
    head += "Content-Language: en\r\nContent-Language: de\r\nContent-Length: 0\r\n"
    wire.exchange(f"{head}Connection: close\r\n\r\n".encode())
    assert wire.get(path).headers["content-language"] == "de"


def test_kept_headers_take_part_in_the_chain(core):
    core.put("/home/a", b"x", content_language="en")
    with_header = core.get("/home/a").etag
    core.request("DELETE", "/home/a")
    assert core.put("/home/a", b"x").etag != with_header
    assert core.verify("home/a").status == 200
