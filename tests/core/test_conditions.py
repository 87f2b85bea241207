"""Preconditions and ranges: RFC 9110 sections 13 and 14, as 8.3 has them and without its faults."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

BODY = b"0123456789"


@pytest.fixture(params=["home", "tmp"])
def path(wire, fresh, request):
    name = fresh(request.param)
    wire.put(name, BODY, content_type="text/plain")
    return name


def tagged(wire, path, header):
    """Fill the world's own ETag into a header written with {tag} (quoted) or {bare}."""
    tag = wire.get(path).etag
    return header.format(tag=tag, bare=tag.strip('"'))


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [
        ("{tag}", 304),
        ("*", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('"other"', 200),
        ("{bare}", 200),
        ("", 200),
    ],
)
def test_a_cached_copy_is_confirmed(wire, path, if_none_match, status):
    sent = {"If-None-Match": tagged(wire, path, if_none_match)}
    for method in ("GET", "HEAD"):
        reply = wire.request(method, path, headers=sent)
        assert reply.status == status
        if status == 304:
            assert reply.body == b""
            assert reply.etag == wire.get(path).etag


def test_a_confirmed_copy_wins_over_a_range(wire, path):
    reply = wire.get(path, if_none_match=wire.get(path).etag, range="bytes=0-1")
    assert reply.status == 304


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("header", "value", "holds"),
    [
        ("If-Match", "{tag}", True),
        ("If-Match", "*", True),
        ("If-Match", '"other", {tag}', True),
        ("If-Match", '"other"', False),
        ("If-Match", "W/{tag}", False),
        ("If-Match", "{bare}", False),
        ("If-None-Match", "*", False),
        ("If-None-Match", "{tag}", False),
        ("If-None-Match", '"other"', True),
    ],
)
def test_a_write_is_judged_against_the_current_etag(wire, path, method, header, value, holds):
    body = None if method == "DELETE" else b"new"
    reply = wire.request(method, path, body, {header: tagged(wire, path, value)})
    if holds:
        assert reply.status in (200, 204)
    else:
        why = "did not match" if header == "If-Match" else "matched"
        expected = f"precondition failed: {header} {why} current ETag\n"
        assert (reply.status, reply.body.decode()) == (412, expected)
        assert wire.get(path).body == BODY


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_if_match_needs_a_world(wire, fresh, namespace, method):
    path = fresh(namespace)
    reply = wire.request(method, path, b"x", {"If-Match": "*"})
    assert reply.status == 412
    assert reply.body == b"precondition failed: If-Match requires an existing world\n"
    assert wire.get(path).status == 404


@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_of_many_creators_exactly_one_succeeds(wire, fresh, namespace):
    path = fresh(namespace)

    def create(number):
        return wire.put(path, b"%d" % number, if_none_match="*").status

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(create, range(8)))
    assert statuses == [201] + [412] * 7


@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_read_modify_write_loses_no_update(wire, fresh, namespace):
    path = fresh(namespace)
    wire.put(path, b"0")

    def increment(_):
        while True:
            seen = wire.get(path)
            written = wire.put(path, b"%d" % (int(seen.body) + 1), if_match=seen.etag)
            if written.status == 200:
                return
            assert written.status == 412

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))
    assert wire.get(path).body == b"40"


@pytest.mark.parametrize(
    ("spec", "body", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=0-99", BODY, "bytes 0-9/10"),
        ("bytes=-99", BODY, "bytes 0-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
    ],
)
def test_a_range_is_a_part(wire, path, spec, body, content_range):
    reply = wire.get(path, range=spec)
    assert (reply.status, reply.body) == (206, body)
    assert reply.headers["content-range"] == content_range
    assert reply.headers["content-length"] == str(len(body))
    assert reply.etag == wire.get(path).etag


@pytest.mark.parametrize("spec", ["bytes=0-3", "bytes=99-", "bytes=0-1,4-5"])
def test_a_range_is_for_get_alone(wire, path, spec):
    """RFC 9110 section 14.2: HEAD tells of the whole, whatever range it names."""
    reply = wire.request("HEAD", path, headers={"Range": spec})
    assert (reply.status, reply.headers["content-length"]) == (200, str(len(BODY)))
    assert "content-range" not in reply.headers


@pytest.mark.parametrize("spec", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_outside_the_body_is_416(wire, path, spec):
    reply = wire.get(path, range=spec)
    assert (reply.status, reply.body) == (416, b"range not satisfiable\n")
    assert reply.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("spec", ["bytes=", "bytes=5-2", "items=0-1", "bytes=a-b", "nonsense"])
def test_a_range_that_means_nothing_is_ignored(wire, path, spec):
    reply = wire.get(path, range=spec)
    assert (reply.status, reply.body) == (200, BODY)


def test_any_range_of_an_empty_world_is_416(wire, fresh):
    path = fresh()
    wire.put(path, b"")
    assert wire.get(path, range="bytes=0-0").status == 416


@pytest.mark.parametrize(
    ("if_range", "status"),
    [("{tag}", 206), ("W/{tag}", 200), ("{bare}", 200), ('"other"', 200)],
)
def test_if_range_needs_the_strong_tag(wire, path, if_range, status):
    sent = {"Range": "bytes=0-1", "If-Range": tagged(wire, path, if_range)}
    assert wire.request("GET", path, headers=sent).status == status


def test_ranges_across_the_pieces_of_a_large_body(wire, fresh):
    path, body = fresh(), bytes(range(256)) * 1024
    wire.put(path, body)
    for start, end in [(0, 0), (65530, 65545), (65535, 65536), (100, 200_000), (262_143, 262_143)]:
        reply = wire.get(path, range=f"bytes={start}-{end}")
        assert reply.body == body[start : end + 1]
