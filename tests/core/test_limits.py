"""Limits: what is too large, too many or malformed is refused, and what was there stays."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def small(start_core):
    return start_core(
        env={
            "ELASTIK_MAX_WORLD_BYTES": "100",
            "ELASTIK_MAX_MEMORY_BYTES": "200",
            "ELASTIK_MAX_STORAGE_BYTES": "200",
            "ELASTIK_MAX_LISTEN_CONNECTIONS": "2",
        }
    )


@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_a_body_beyond_the_limit_is_413(small, namespace):
    path = f"/{namespace}/a"
    assert small.put(path, b"x" * 101).status == 413
    assert small.get(path).status == 404
    assert small.put(path, b"x" * 100).status == 201
    assert small.request("POST", path, b"y").status == 413
    assert small.get(path).body == b"x" * 100


def test_a_chunked_body_beyond_the_limit_is_413(small):
    head = f"PUT /home/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.write}\r\n"
    head += "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    body = "32\r\n" + "x" * 50 + "\r\n"
    answer = small.exchange((head + body * 3 + "0\r\n\r\n").encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert small.get("/home/a").status == 404


def test_full_memory_is_413_and_a_delete_makes_room(small):
    small.put("/tmp/a", b"x" * 100)
    small.put("/tmp/b", b"x" * 100)
    reply = small.put("/tmp/c", b"x")
    assert (reply.status, reply.body) == (413, b"payload too large: max bytes 200\n")
    assert small.put("/tmp/a", b"y" * 100).status == 200
    assert small.request("DELETE", "/tmp/b").status == 204
    assert small.put("/tmp/c", b"x").status == 201


def test_full_storage_is_507_with_its_figures(small):
    small.put("/home/a", b"x" * 100)
    small.put("/home/b", b"x" * 100)
    reply = small.put("/home/c", b"x")
    assert reply.status == 507
    expected = "storage quota exceeded: current 200 bytes, quota 200 bytes, need 1 more bytes\n"
    assert reply.body.decode() == expected
    figures = {k: v for k, v in reply.headers.items() if k.startswith("x-storage-")}
    assert figures == {"x-storage-usage": "200", "x-storage-quota": "200", "x-storage-needed": "1"}
    assert small.put("/home/empty", b"").status == 201
    assert small.put("/home/a", b"y" * 100).status == 200
    assert small.request("DELETE", "/home/b").status == 204
    assert small.put("/home/c", b"x").status == 201


def test_the_storage_quota_is_known_again_after_a_restart(start_core):
    quota = {"ELASTIK_MAX_STORAGE_BYTES": "100"}
    core = start_core(env=quota)
    core.put("/home/a", b"x" * 90)
    core.kill()
    core = start_core(env=quota)
    assert core.put("/home/b", b"x" * 11).status == 507
    assert core.put("/home/b", b"x" * 10).status == 201


def test_one_listener_too_many_is_503_and_a_place_is_given_back(small):
    with small.listen() as one:
        with small.listen():
            reply = small.get("/listen/*")
            assert (reply.status, reply.body) == (503, b"too many listen connections\n")
            assert reply.headers["retry-after"] == "1"
        # The core learns of the hang-up when it next writes to it, or at once: try a few times.
        for _ in range(50):
            small.put("/tmp/poke", b"x")
            again = small.listen()
            again.__exit__()
            if again.status == 200:
                break
        assert again.status == 200
        assert one.event()["path"] == "/tmp/poke"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /home/a b HTTP/1.1\r\n\r\n",
        b"GET home/a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /home/a HTTP/9.9\r\n\r\n",
        b"GET /home/a HTTP/1.1\r\nHost: x\r\n: nothing\r\n\r\n",
        b"PUT /home/a HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request_is_refused_and_hurts_nobody(wire, request_bytes):
    assert re.match(rb"HTTP/1\.[01] 4\d\d ", wire.exchange(request_bytes))
    assert wire.get("/proc/version").status == 200


def test_a_broken_chunk_is_400_and_stores_nothing(wire, fresh):
    path = fresh()
    line = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.write}\r\n"
    answer = wire.exchange(f"{line}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert wire.get(path).status == 404


@pytest.mark.parametrize("length", [70_000, 140_000])
def test_a_target_beyond_all_limits_is_414(wire, length):
    line = f"GET /tmp/{'a' * length} HTTP/1.1\r\nHost: x\r\n\r\n"
    assert re.match(rb"HTTP/1.1 4(14|31) ", wire.exchange(line.encode()))


def test_too_many_headers_are_431(wire):
    lines = "".join(f"X-N-{n}: v\r\n" for n in range(300))
    answer = wire.exchange(f"GET /home/a HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_http_1_0_without_host_is_served(wire, fresh):
    path = fresh()
    wire.put(path, b"old")
    line = f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {wire.read}\r\n\r\n"
    head, _, body = wire.exchange(line.encode()).partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0]
    assert body == b"old"


def test_an_absolute_target_is_served(wire, fresh):
    path = fresh()
    wire.put(path, b"proxied")
    line = f"GET http://anything{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    answer = wire.exchange(f"{line}Authorization: Bearer {wire.read}\r\n\r\n".encode())
    assert answer.endswith(b"proxied")
