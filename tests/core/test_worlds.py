"""Worlds over HTTP: status, headers and bytes of every verb on both kinds of store."""

from __future__ import annotations

import hashlib
import re
import socket

import pytest

KINDS = pytest.mark.parametrize("namespace", ["home", "tmp"])
ALLOWED = "GET, HEAD, PUT, POST, DELETE, OPTIONS, PATCH, COPY, MOVE"


@KINDS
def test_a_new_world_is_created_where_location_says(wire, fresh, namespace):
    path = fresh(namespace)
    reply = wire.put(path, b"hello")
    assert (reply.status, reply.body) == (201, b"")
    assert reply.headers["location"] == path
    assert wire.get(path).body == b"hello"


@KINDS
def test_a_replaced_world_is_200_without_location(wire, fresh, namespace):
    path = fresh(namespace)
    wire.put(path, b"one")
    reply = wire.put(path, b"two")
    assert (reply.status, "location" in reply.headers) == (200, False)
    assert wire.get(path).body == b"two"


@KINDS
def test_post_appends(wire, fresh, namespace):
    path = fresh(namespace)
    wire.put(path, b"one,")
    reply = wire.request("POST", path, b"two")
    assert (reply.status, reply.etag) == (200, wire.get(path).etag)
    assert wire.get(path).body == b"one,two"


@KINDS
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_missing_world_is_404(wire, fresh, namespace, method):
    reply = wire.request(method, fresh(namespace), b"" if method == "POST" else None)
    assert reply.status == 404
    assert reply.body == (b"" if method == "HEAD" else b"world not found\n")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@KINDS
def test_delete_then_gone_then_a_fresh_chain(wire, fresh, namespace):
    path = fresh(namespace)
    first = wire.put(path, b"x").etag
    wire.put(path, b"y")
    reply = wire.request("DELETE", path)
    assert (reply.status, reply.body, "content-length" in reply.headers) == (204, b"", False)
    assert wire.get(path).status == 404
    again = wire.put(path, b"x")
    assert (again.status, again.etag) == (201, first)


@KINDS
def test_head_is_get_without_the_body(wire, fresh, namespace):
    path = fresh(namespace)
    wire.put(path, b"12345", content_type="text/plain", cache_control="max-age=1")
    got, head = wire.get(path), wire.request("HEAD", path)
    own = {"date", "x-request-id", "x-elapsed-us"}
    assert head.body == b""
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in got.headers.items() if k not in own
    }
    assert head.headers["content-length"] == "5"


def test_the_etag_of_a_durable_world_is_the_hmac_of_its_newest_event(core):
    # The worked vector of the chain: key, name, type and body fix every byte.
    first = core.put("/home/zz", b"1")
    second = core.put("/home/zz", b"1", content_type="text/plain")
    expected = "1933fb4ef5af8f7e6059220b23ec037976c8e70300947db4d9b5db3d93c1bf91"
    assert first.etag == f'"hmac-{expected}"'
    replaced = "bd13fdc9eafa75940ee455ecc0cc9925ee418aa0604eecc7efb960d58baf27b0"
    assert second.etag == f'"hmac-{replaced}"'


def test_the_etag_of_a_memory_world_is_the_hash_of_its_body(wire, fresh):
    path = fresh("tmp")
    tag = f'"sha256-{hashlib.sha256(b"body").hexdigest()}"'
    assert wire.put(path, b"body").etag == tag
    assert wire.put(path, b"body", content_type="text/html").etag == tag


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("text/plain", "text/plain"),
        ("Text/HTML; Charset=UTF-8", "Text/HTML; Charset=UTF-8"),
        ("garbage", "garbage"),
        ("", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_the_content_type_is_kept_as_it_was_sent(wire, fresh, sent, kept):
    path = fresh()
    wire.request("PUT", path, b"x", {} if sent is None else {"Content-Type": sent})
    assert wire.get(path).headers["content-type"] == kept


def test_post_changes_neither_type_nor_headers(wire, fresh):
    path = fresh()
    wire.put(path, b"a", content_type="text/css", content_language="en")
    wire.request("POST", path, b"b", {"Content-Type": "image/png", "Content-Language": "de"})
    got = wire.get(path)
    assert (got.headers["content-type"], got.headers["content-language"]) == ("text/css", "en")


def test_put_without_headers_clears_the_old_ones(wire, fresh):
    path = fresh()
    wire.put(path, b"a", content_language="en")
    wire.put(path, b"a")
    assert "content-language" not in wire.get(path).headers


@KINDS
def test_every_answer_carries_the_common_headers(wire, fresh, namespace):
    path = fresh(namespace)
    wire.put(path, b"x")
    for reply in (wire.get(path), wire.get(fresh(namespace)), wire.put(path, b"y")):
        assert reply.headers["x-request-id"].isdecimal()
        assert reply.headers["x-elapsed-us"].isdecimal()
        assert reply.headers["vary"] == "Authorization"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["date"].endswith("GMT")


def test_a_world_links_to_its_events_and_its_collection(wire, fresh):
    path = fresh()
    wire.put(path, b"x")
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    request += f"Authorization: Bearer {wire.read}\r\n\r\n"
    head = wire.exchange(request.encode()).partition(b"\r\n\r\n")[0].decode()
    links = [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("link: ")]
    assert links == [f'</listen{path}>; rel="monitor"', '</proc/worlds>; rel="collection"']


@pytest.mark.parametrize(
    ("target", "allow"),
    [
        ("/home/x", ALLOWED),
        ("/home", ALLOWED),
        ("/proc/version", "GET, HEAD, OPTIONS"),
        ("/proc/worlds", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_tells_the_methods_without_a_token(wire, target, allow):
    reply = wire.request("OPTIONS", target, token=None)
    assert (reply.status, reply.headers["allow"]) == (204, allow)


@pytest.mark.parametrize(
    ("method", "target"),
    [("TRACE", "/home/x"), ("get", "/home/x"), ("PUT", "/proc/version"), ("POST", "/listen/*")],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(wire, method, target):
    reply = wire.request(method, target, token=None)
    assert (reply.status, reply.body) == (405, b"method not allowed\n")
    assert "GET" in reply.headers["allow"]


@KINDS
def test_bodies_of_every_size_come_back_exactly(wire, fresh, namespace):
    # Around each border of the store: inline or object, one piece or several.
    for size in (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 1_000_001, 5_000_000):
        path, body = fresh(namespace), bytes(i * 31 % 251 for i in range(997)) * (size // 997 + 1)
        body = body[:size]
        assert wire.put(path, body).status == 201
        got = wire.get(path)
        assert got.body == body
        assert got.headers["content-length"] == str(size)


@KINDS
def test_many_appends_make_one_body(wire, fresh, namespace):
    path, expected = fresh(namespace), b""
    wire.put(path, b"")
    for size in (0, 1, 100, 4096, 70_000, 3, 65536, 200_000, 7):
        piece = bytes([size % 256]) * size
        assert wire.request("POST", path, piece).status == 200
        expected += piece
    assert wire.get(path).body == expected


def test_a_chunked_body_is_stored_whole(wire, fresh):
    path = fresh()
    request = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.write}\r\n"
    request += (
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n3\r\n of\r\n0\r\n\r\n"
    )
    assert wire.exchange(request.encode()).startswith(b"HTTP/1.1 201 ")
    assert wire.get(path).body == b"hello of"


def test_a_body_that_breaks_off_stores_nothing(wire, fresh):
    path = fresh()
    request = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.write}\r\n"
    wire.exchange(f"{request}Content-Length: 1000000\r\n\r\nonly this".encode(), hang_up=True)
    assert wire.get(path).status == 404


def test_pipelined_requests_are_answered_in_order(wire, fresh):
    path = fresh()
    line = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.write}\r\n"
    requests = f"PUT {path} {line}Content-Length: 3\r\n\r\none"
    requests += f"GET {path} {line}\r\n"
    requests += f"GET {path}-missing {line}Connection: close\r\n\r\n"
    answer = wire.exchange(requests.encode())
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"201", b"200", b"404"]


def test_expect_100_continue_is_answered_before_the_body(wire, fresh):
    path = fresh()
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.write}\r\n"
    head += "Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    with socket.create_connection(wire.address, timeout=5) as line:
        line.sendall(head.encode())
        assert line.recv(1024).startswith(b"HTTP/1.1 100 ")
        line.sendall(b"ok")
        assert line.recv(1024).startswith(b"HTTP/1.1 201 ")


def test_the_core_names_itself(wire):
    reply = wire.request("GET", "/proc/version", token=None)
    assert reply.status == 200
    assert reply.body.startswith(b"elastik-core ")
    assert wire.request("GET", "/", token=None).body.startswith(reply.body.rstrip())


def test_all_worlds_are_listed_sorted_as_bytes(core):
    for path in ("/home/b", "/tmp/a", "/home/a", "/home/B", "/home/%C3%A9", "/etc/conf"):
        core.put(path, b"x")
    listed = core.get("/proc/worlds").body
    assert listed.decode() == "etc/conf\nhome/B\nhome/a\nhome/b\nhome/é\ntmp/a\n"


def test_an_empty_store_lists_nothing(core):
    reply = core.get("/proc/worlds")
    assert (reply.status, reply.body) == (200, b"")
