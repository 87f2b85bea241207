"""gzip for who asks for it: off by default, and with tags, conditions and ranges that stay true."""

from __future__ import annotations

import gzip
import os
import socket
import threading

import pytest

from realcore import APPROVE, launch

TEXT = b"".join(b"%06d a line of text\n" % n for n in range(20_000))
ENDS = "-gzip"


@pytest.fixture(scope="module")
def zipping(core_binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zipping")
    core = launch(core_binary, folder / "data", env={"ELASTIK_COMPRESS": "1"})
    yield core
    core.kill()


def ask(core, path, accept="gzip", method="GET", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return core.request(method, path, headers={"Accept-Encoding": accept, **named})


def vary(reply):
    return reply.headers["vary"]


def is_gzip(reply):
    return reply.headers.get("content-encoding") == "gzip"


@pytest.fixture(params=["home", "tmp"])
def text(zipping, fresh, request):
    path = fresh(request.param)
    zipping.put(path, TEXT, Content_Type="text/plain")
    return path


def test_it_is_off_by_default(wire, fresh):
    path = fresh()
    wire.put(path, TEXT, Content_Type="text/plain")
    reply = ask(wire, path)
    assert reply.body == TEXT and not is_gzip(reply)
    assert vary(reply) == "Authorization"


@pytest.mark.parametrize("size", [256, 60_000, len(TEXT)])
def test_it_is_the_same_text(zipping, fresh, size):
    path = fresh()
    zipping.put(path, TEXT[:size], Content_Type="text/plain")
    reply = ask(zipping, path)
    assert is_gzip(reply) and gzip.decompress(reply.body) == TEXT[:size]
    assert len(reply.body) < size
    assert "accept-ranges" not in reply.headers
    assert ask(zipping, path).body == reply.body


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("gzip", True),
        ("br, *", True),
        ("identity;q=0, *;q=0.1", True),
        ("identity", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.1, identity;q=0.2", False),
        ("identity;q=0", False),
    ],
)
def test_the_client_chooses(zipping, text, accept, chosen):
    reply = ask(zipping, text, accept)
    assert (reply.status, is_gzip(reply)) == (200, chosen)
    assert vary(reply) == "Accept-Encoding"
    assert (gzip.decompress(reply.body) if chosen else reply.body) == TEXT


def test_two_codings_never_share_a_tag(zipping, text):
    packed, plain = ask(zipping, text).etag, ask(zipping, text, "identity").etag
    assert packed == plain[:-1] + ENDS + '"'
    # Each is up to date for who gets that coding, and for nobody else.
    for accept, own, other in (("gzip", packed, plain), ("identity", plain, packed)):
        kept = ask(zipping, text, accept, If_None_Match=own)
        assert (kept.status, kept.body, kept.etag) == (304, b"", own)
        assert vary(kept) == "Accept-Encoding"
        assert not is_gzip(kept) and "content-length" not in kept.headers
        assert ask(zipping, text, accept, If_None_Match=f"W/{own}").status == 304
        assert ask(zipping, text, accept, If_None_Match=other).status == 200
        assert ask(zipping, text, accept, If_None_Match=f"{other}, {own}").status == 304
        assert ask(zipping, text, accept, If_None_Match="*").status == 304


def test_a_tag_of_either_coding_guards_a_write(zipping, text):
    for verb, status in (("PUT", 200), ("POST", 200), ("DELETE", 204)):
        packed = ask(zipping, text).etag
        body = None if verb == "DELETE" else TEXT
        stale = packed.replace(packed[8:20], "0" * 12)
        refused = zipping.request(verb, text, body, {"If-Match": stale})
        assert refused.status == 412
        guarded = {"If-Match": packed, "Content-Type": "text/plain"}
        assert zipping.request(verb, text, body, guarded).status == status
    zipping.put(text, TEXT, Content_Type="text/plain")
    again = {"If-None-Match": ask(zipping, text).etag}
    assert zipping.request("PUT", text, b"x", again).status == 412
    assert ask(zipping, text, "identity", If_Match=ask(zipping, text).etag).status == 200


def test_a_range_is_of_the_bytes_as_they_are(zipping, text):
    whole = ask(zipping, text, "identity")
    part = ask(zipping, text, Range="bytes=7-20")
    assert (part.status, part.body, part.etag) == (206, TEXT[7:21], whole.etag)
    assert not is_gzip(part)
    # A download that began with gzip cannot be gone on with in the middle of the text.
    packed = ask(zipping, text).etag
    again = ask(zipping, text, Range="bytes=7-20", If_Range=packed)
    assert (again.status, again.body) == (200, TEXT)
    assert ask(zipping, text, Range="bytes=7-20", If_Range=whole.etag).status == 206


def test_head_is_the_head_of_get(zipping, text):
    head, get = ask(zipping, text, method="HEAD"), ask(zipping, text)
    assert (head.etag, is_gzip(head), vary(head)) == (get.etag, True, vary(get))
    assert head.body == b"" and "content-length" not in head.headers
    plain = ask(zipping, text, "identity", method="HEAD")
    assert plain.headers["content-length"] == str(len(TEXT))


@pytest.mark.parametrize(
    ("size", "headers"),
    [
        (255, {"Content-Type": "text/plain"}),
        (9999, {"Content-Type": "image/png"}),
        (9999, {}),
        (9999, {"Content-Type": "text/plain", "Content-Encoding": "br"}),
        (9999, {"Content-Type": "text/plain", "Cache-Control": "no-transform"}),
        (9999, {"Content-Type": "text/plain", "Content-MD5": "x"}),
    ],
)
def test_what_is_never_gzipped(zipping, fresh, size, headers):
    path = fresh()
    zipping.request("PUT", path, TEXT[:size], headers)
    for accept in ("gzip", "identity;q=0, gzip"):
        reply = ask(zipping, path, accept)
        assert reply.body == TEXT[:size]
        assert vary(reply) == "Authorization" and not reply.etag.endswith(ENDS + '"')
        assert reply.headers.get("content-encoding") == headers.get("Content-Encoding")


def test_other_answers(zipping, text):
    for number in range(40):
        zipping.put(f"/tmp/list/{number}", b"x")
    listed = ask(zipping, "/proc/list/tmp")
    assert gzip.decompress(listed.body) == ask(zipping, "/proc/list/tmp", "identity").body
    assert vary(ask(zipping, "/proc/list/tmp", "identity")) == vary(listed)
    for path, method in (("/proc/version", "GET"), (text, "OPTIONS"), ("/home/none", "GET")):
        assert not is_gzip(ask(zipping, path, method=method))
    assert not is_gzip(zipping.request("PUT", text, TEXT, {"Accept-Encoding": "gzip"}))


def test_events_are_not_gzipped(zipping, text):
    with zipping.listen(text[1:]) as ears:
        assert ears.response.getheader("content-encoding") is None
        zipping.put(text, b"x")
        assert ears.event()["path"] == text
    reply = ask(zipping, "/listen/*", method="HEAD")
    assert not is_gzip(reply)


def test_a_large_body_of_noise_goes_through_and_a_reader_may_leave(zipping, fresh):
    path, noise = fresh(), os.urandom(3_000_000)
    zipping.put(path, noise, Content_Type="text/plain")
    assert gzip.decompress(ask(zipping, path).body) == noise
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {APPROVE}\r\n"
    # More readers that stop than there are places: the places come back.
    for _ in range(100):
        with socket.create_connection(zipping.address) as line:
            line.sendall(head.encode() + b"Accept-Encoding: gzip\r\n\r\n")
            assert line.recv(100)
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask(zipping, path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for reply in found:
        assert (gzip.decompress(reply.body) if is_gzip(reply) else reply.body) == noise
