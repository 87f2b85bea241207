"""Which requests go again, and how often: dead connections, operation keys, Retry-After."""

from __future__ import annotations

import asyncio
import io

import pytest

from elastik import Elastik, ServerError, Unreachable, Unsupported
from scriptedserver import OK, VERSION_8, VERSION_9


def dying(version):
    """The first connection serves one request; whatever comes after it there is not answered."""

    def script(connection, turn, head):
        if "/proc/version" in head:
            return version
        return OK if connection > 1 or turn == 1 else None

    return script


CONDITIONAL = {
    "PUT": lambda e: e.put("a", b"x", if_match="y"),
    "PUT, new": lambda e: e.put("a", b"x", create_only=True),
    "DELETE": lambda e: e.delete("a"),
    "DELETE, if": lambda e: e.delete("a", if_match="y"),
    "POST": lambda e: e.post("a", b"x"),
    "PATCH": lambda e: e.patch("a", {}),
}


@pytest.mark.parametrize("verb", CONDITIONAL)
def test_a_write_that_may_have_happened_goes_again_with_its_key(serve, verb):
    """Its own effect would make a bare repetition say 412, or that there was nothing."""
    server = serve(dying(VERSION_9))
    e = Elastik(server.url)
    e.get("a")
    CONDITIONAL[verb](e)
    first, second = [h for h in server.requests if h.startswith(verb.partition(",")[0])]
    assert key_of(first) == key_of(second) != ""


@pytest.mark.parametrize("verb", [v for v in CONDITIONAL if v != "PATCH"])
def test_to_an_older_core_such_a_write_goes_once_on_a_new_connection(serve, verb):
    server = serve(dying(VERSION_8))
    e = Elastik(server.url)
    e.get("a")
    CONDITIONAL[verb](e)
    assert len([h for h in server.requests if h.startswith(verb.partition(",")[0])]) == 1


def test_a_conditional_read_is_only_a_read(serve):
    server = serve(dying(VERSION_8))
    e = Elastik(server.url)
    e.get("a")
    assert e.get("a", if_none_match="y") == b"ok"
    assert server.connections == 2
    assert not any("/proc/version" in head for head in server.requests)


def test_a_core_that_could_not_tell_its_version_once_is_asked_again(serve):
    answers = iter([b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"])
    server = serve(lambda c, t, h: next(answers, VERSION_9) if "/proc/version" in h else OK)
    e = Elastik(server.url)
    with pytest.raises(Unsupported):
        e.patch("a", {})
    for _ in range(3):
        e.patch("a", {})
    assert sum("/proc/version" in head for head in server.requests) == 2


# -- POST ------------------------------------------------------------------------------------------


def posts(server):
    return [head for head in server.requests if head.startswith("POST")]


def key_of(head):
    return head.partition("Idempotency-Key: ")[2].partition("\r")[0]


def test_a_post_goes_again_with_the_same_key_when_the_core_knows_keys(serve):
    def script(connection, turn, head):
        if "/proc/version" in head:
            return VERSION_9
        return None if head.startswith("POST") and connection == 1 else OK

    server = serve(script)
    e = Elastik(server.url)
    e.get("a")
    e.post("a", b"x")
    first, second = posts(server)
    assert key_of(first) == key_of(second) != ""
    e.post("a", b"x")
    assert key_of(posts(server)[-1]) != key_of(first)


def test_a_post_to_an_older_core_never_uses_an_old_connection(serve):
    server = serve(lambda c, t, head: VERSION_8 if "/proc/version" in head else OK)
    e = Elastik(server.url)
    e.get("a")
    e.post("a", b"x")
    assert server.connections == 2
    assert len(posts(server)) == 1


def test_a_post_that_died_on_a_fresh_connection_is_not_sent_again(serve):
    server = serve(lambda c, t, head: None if head.startswith("POST") else VERSION_8)
    e = Elastik(server.url)
    with pytest.raises(Unreachable):
        e.post("a", b"x")
    assert len(posts(server)) == 1


# -- what a server says in between -----------------------------------------------------------------


def busy(after: int, wait: bytes = b"0"):
    answers = iter(
        [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: " + wait + b"\r\n\r\n"] * after
    )
    return lambda *_: next(answers, OK)


def test_503_with_retry_after_is_tried_again(serve):
    server = serve(busy(2))
    assert Elastik(server.url).get("a") == b"ok"
    assert len(server.requests) == 3


def test_a_file_is_sent_again_from_its_start_after_a_503(serve, tmp_path):
    server = serve(busy(2))
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    assert Elastik(server.url).put("a", file)["status"] == 200
    assert server.bodies == [b"sent"] * 3


def test_what_a_writer_holds_outlives_a_503(serve):
    server = serve(busy(1))
    with Elastik(server.url).open("a", "wb") as file:
        file.write(b"all of it")
    assert server.bodies == [b"all of it"] * 2


def test_asyncio_waits_and_repeats_alike(serve):
    aio = pytest.importorskip("elastik.aio")
    pytest.importorskip("aiohttp")

    async def work(url, data):
        async with aio.Elastik(url, "") as e:
            return (await e.put("a", data))["status"]

    for data in (b"x", io.BytesIO(b"x")):
        server = serve(busy(2))
        assert asyncio.run(work(server.url, data)) == 200
        assert server.bodies == [b"x"] * 3
    with pytest.raises(ServerError):
        asyncio.run(work(serve(busy(1)).url, iter([b"once"])))


@pytest.mark.parametrize(
    "wait", [b"Wed, 21 Oct 2015 07:28:00 GMT", b"Wed, 21 Oct 2015 07:28:00 -0000"]
)
def test_retry_after_may_be_a_date(serve, wait):
    server = serve(busy(1, wait))
    assert Elastik(server.url).get("a") == b"ok"
    assert len(server.requests) == 2


def test_retry_after_that_means_nothing_is_no_promise(serve):
    with pytest.raises(ServerError):
        Elastik(serve(busy(1, b"soon")).url).get("a")


def test_retries_are_bounded_and_can_be_off(serve):
    with pytest.raises(ServerError):
        Elastik(serve(busy(9)).url, retries=2).get("a")
    server = serve(busy(1))
    with pytest.raises(ServerError):
        Elastik(server.url, retries=0).get("a")
    assert len(server.requests) == 1


def test_503_without_retry_after_may_have_happened_and_is_not_repeated(serve):
    server = serve(lambda *_: b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(ServerError):
        Elastik(server.url).put("a", b"x")
    assert len(server.requests) == 1
