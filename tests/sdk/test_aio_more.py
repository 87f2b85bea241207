"""The asyncio client beyond the plain verbs: formats, trees, commits, history, files, listening."""

from __future__ import annotations

import asyncio
import inspect
import io

import pytest

import elastik
import realcore
from scriptedserver import OK, VERSION_8, VERSION_9, Scripted

pytest.importorskip("aiohttp", reason="pip install 'elastik[aio]'")

from elastik import pinned
from elastik.aio import Elastik


@pytest.fixture(scope="module")
def core(core_binary, tmp_path_factory):
    core = realcore.launch(
        core_binary,
        tmp_path_factory.mktemp("aio") / "data",
        env={"ELASTIK_HISTORY": "home/kept/*=3", "ELASTIK_PERSIST_HEADERS": "x-meta-*"},
    )
    yield core
    core.kill()


@pytest.fixture
def against(core):
    """Run a coroutine function with a client of the built core."""

    def run(work, url=core.url, token=core.approve):
        async def main():
            async with Elastik(url, token) as e:
                return await work(e)

        return asyncio.run(main())

    return run


def test_formats(against):
    async def work(e):
        await e.put_gzip("f/z", "text" * 100)
        assert await e.sizeof("f/z") < 100
        assert await e.get_gzip("f/z") == b"text" * 100
        await e.put_csv("f/c", [["a", 'say "x"\n'], [1, 2.5]])
        assert await e.get_csv("f/c") == [["a", 'say "x"\n'], ["1", "2.5"]]
        await e.put_struct("f/s", ">hh", 1, -2)
        assert await e.get_struct("f/s", ">hh") == (1, -2)
        etag = (await e.put("f/t", "one\ntwo\n"))["etag"]
        assert await e.get_text("f/t", if_none_match=etag) is None
        assert "+three" in await e.diff("f/t", "one\nthree\n")
        assert await e.preview("f/t", max_lines=1) == "one"
        await e.put("f/empty", b"")
        assert await e.preview("f/empty") == ""

    against(work)


def test_cached_bodies_are_asked_for_by_their_etag():
    def script(_number, _turn, head):
        if "if-none-match" in head.lower():
            return b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'
        return b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "x"\r\n\r\nok'

    server = Scripted(script)

    async def work():
        async with Elastik(server.url, "") as e:
            assert [await e.get_cached("a") for _ in range(3)] == [b"ok"] * 3
            e.clear_cache("a")
            assert await e.get_cached("a") == b"ok"

    asyncio.run(work())
    conditional = ["if-none-match" in head.lower() for head in server.requests]
    assert conditional == [False, True, True, False]


def test_trees(against):
    async def work(e):
        await e.put_many({f"t/{n}/x": b"ab" for n in range(5)})
        await e.put("t", b"itself")
        assert await e.ls("t") == ["home/t", *(f"home/t/{n}/" for n in range(5))]
        assert [path async for path, _ in e.walk("t")] == await e.ls("t", depth=-1)
        assert (await e.du("t"))["home/t"] == 6
        assert await e.mv("t", "u", recursive=True) == 6
        await e.put("u/0/y", b"")
        await e.put("v/y", b"")
        with pytest.raises(FileExistsError):
            await e.mv("u/0", "v", recursive=True)
        with pytest.raises(ValueError, match="force"):
            await e.rm("home", recursive=True)
        assert await e.rm("u", recursive=True) == 7
        assert await e.rm("u", recursive=True) == 0
        await e.copy("v/y", "v/z", atomic=True)
        await e.copy("v/y", "v/m", project="p")
        assert (await e.head("v/m"))["x-meta-project"] == "p"
        with pytest.raises(elastik.Unsupported):
            await e.copy("v/y", "v/z", atomic=True, project="p")
        async with e.tmp() as path:
            await e.put(path, b"")
        assert not await e.exists(path)

    against(work)


def test_commits_and_history(against):
    async def work(e):
        await e.put_json("kept/j", {"a": 1})
        await e.patch("kept/j", {"b": 2})
        assert await e.get_json("kept/j") == {"a": 1, "b": 2}
        first = [version async for version in e.history("kept/j")][-1]
        assert await e.get_json("kept/j", at=first["event"]) == {"a": 1}
        await e.revert("kept/j", first["event"], if_match=await e.checksum("kept/j"))
        assert await e.get_cached("kept/j") == b'{"a": 1}'
        types = [row["type"] async for row in e.events("kept/j", after=0)]
        assert len(types) == 3
        assert [row["seq"] async for row in e.events("kept/j", limit=1)]
        assert await e.delete("kept/j", purge=True)
        assert [version async for version in e.history("kept/j")] == []
        done = await e.put_many({"m/1": "x", "m/2": io.BytesIO(b"y")}, atomic=True)
        assert done["m/2"] == {"status": 201, "etag": await e.checksum("m/2")}
        with pytest.raises(elastik.PreconditionFailed):
            await e.put_many({"m/3": "x", "m/2": "y"}, atomic=True, create_only=True)
        assert not await e.exists("m/3")
        await e.post("m/1", "y", offset=1)
        with pytest.raises(elastik.PreconditionFailed):
            await e.post("m/1", "z", offset=1)
        await e.put("tmp/short", "x", delete_after=3600)
        assert (await e.head("tmp/short"))["x-elastik-ttl"] == "3600"

    against(work)


def test_files_are_one_version(against, monkeypatch, tmp_path):
    monkeypatch.setattr(pinned, "READ_AHEAD", 10)

    async def work(e):
        async with e.open("kept/f", "wb", content_type="x/y") as f:
            await f.write(b"0123456789" * 10)
        assert f.written["status"] == 201
        assert (await e.head("kept/f"))["content-type"] == "x/y"
        async with e.open("kept/f") as f:
            assert await f.read(3) == b"012"
            async with e.open("kept/f", "ab") as more:
                await more.write(b"more")
            f.seek(20)
            assert await f.read(3) == b"012"
            await e.put("kept/f", b"x")
            f.seek(-5, io.SEEK_END)
            assert await f.read() == b"56789"
        with pytest.raises(ValueError, match="closed"):
            await f.read()
        f = e.open("kept/f", "wb")
        await f.write(b"half")
        await f.__aexit__(KeyError, KeyError(), None)
        assert await e.get("kept/f") == b"x"
        await e.put("other", b"0" * 100)
        async with e.open("other") as f:
            await e.put("other", b"1" * 100)
            with pytest.raises(elastik.PreconditionFailed, match="changed after"):
                await f.read(1)
        with pytest.raises(ValueError, match="mode"):
            e.open("other", "r")

    against(work)


def test_bodies_from_files_and_iterables(against, tmp_path):
    local = tmp_path / "file"
    local.write_bytes(b"x" * 300_000)

    async def work(e):
        with local.open("rb") as file:
            await e.put("from/file", file)
            assert not file.closed
        await e.put("from/pieces", (b"%d\n" % n for n in range(1000)))
        assert await e.sizeof("from/file") == 300_000
        assert await e.sizeof("from/pieces") == 3890
        target = tmp_path / "target"
        assert await e.download("from/file", target) == 300_000
        assert target.read_bytes() == local.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "target"]

    against(work)


def test_a_broken_download_goes_on_where_it_stopped(tmp_path):
    def script(_number, _turn, head):
        if "range: bytes=5-" in head.lower():
            assert 'if-range: "x"' in head.lower()
            return b'HTTP/1.1 206 Partial\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n56789'
        return (
            b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: "x"\r\nConnection: close\r\n\r\n01234'
        )

    async def work():
        async with Elastik(Scripted(script).url, "") as e:
            assert await e.download("a", tmp_path / "a") == 10

    asyncio.run(work())
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_full_disk_is_not_an_unreachable_core(against):
    async def work(e):
        await e.put("a", b"x")
        with pytest.raises(OSError, match="full") as caught:
            async with e.stream("a"):
                raise OSError(28, "disk full")
        assert not isinstance(caught.value, elastik.ElastikError)

    against(work)


def test_events_with_their_own_bodies(against):
    async def work(e):
        start = (await e.page("HEAD", "/listen/*")).headers["x-last-event-id"]
        await e.put("in/a", b"1")
        await e.put("in/a", b"22")
        await e.put("in/b", b"x" * 11)
        await e.delete("in/b")
        found = []
        async for event in e.listen(
            "in/*", last_event_id=start, timeout=10, inline=True, max_inline=10
        ):
            found.append((event["body"], event["body-state"]))
            if len(found) == 4:
                break
        assert found == [
            (None, "superseded"),
            (b"22", "inline"),
            (None, "too-large"),
            (None, "none"),
        ]

    against(work)


def test_a_stream_is_connected_before_its_block(against):
    async def work(e):
        async with e.listen("in/*", timeout=10) as events:
            start = events.last_event_id
            assert (events.status, start.isdecimal()) == (200, True)
            await e.put("in/1", b"")
            await e.put("in/2", b"")
            first = await anext(events)
            assert events.last_event_id == first["id"] != start
        # Closed: no more events, and no exception.
        assert [event async for event in events] == []
        async with e.listen("in/*", last_event_id=events.last_event_id, timeout=10) as events:
            assert (await anext(events))["path"] == "/home/in/2"

    against(work)


def test_closing_ends_a_task_that_waits(against):
    async def work(e):
        events = e.listen("quiet/*")
        await events.__aenter__()

        async def follow():
            return [event async for event in events]

        task = asyncio.create_task(follow())
        await asyncio.sleep(0.1)
        events.close()
        assert await asyncio.wait_for(task, 10) == []

    against(work)


def test_a_stream_that_timed_out_has_ended(against):
    async def work(e):
        events = e.listen("quiet/*", timeout=0.05)
        with pytest.raises(elastik.TimedOut, match="no event within"):
            await anext(events)
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    against(work)


def test_an_older_core_is_served_in_the_old_way(against, old):
    async def work(e):
        await e.put("a", "1", cache_control="no-store")
        assert (await e.copy("a", "b"))["status"] == 201
        assert (await e.head("b"))["cache-control"] == "no-store"
        assert await e.mv("b", "c") == 1
        await e.put_many({"d/1": b"x", "d/2/3": b"yy"})
        assert await e.ls("d") == ["home/d/1", "home/d/2/"]
        assert await e.du("d") == {"home/d/1": 1, "home/d/2/3": 2}
        assert await e.mv("d", "f", recursive=True) == 2
        assert await e.rm("f", recursive=True) == 2
        calls = [
            e.copy("a", "x", atomic=True),
            e.mv("a", "x", atomic=True),
            e.patch("a", {}),
            e.batch([]),
            e.get("a", at=1),
            e.delete("a", purge=True),
            e.put("a", "", delete_after=1),
            e.revert("a", 1),
            anext(e.events("a")),
            anext(e.history("a")),
        ]
        for call in calls:
            with pytest.raises(elastik.Unsupported):
                await call
        heard = []

        async def follow():
            async for event in e.listen(["in/*", "tmp/x"], timeout=10, inline=True):
                heard.append((event["path"], event["body"], event["body-state"]))
                if len(heard) == 2:
                    return

        task = asyncio.create_task(follow())
        await asyncio.sleep(0.3)
        await e.put("elsewhere", b"no")
        await e.put("in/1", b"one")
        while not heard:
            await asyncio.sleep(0.01)
        await e.put("tmp/x", b"two")
        await task
        assert heard == [("/home/in/1", b"one", "fetched"), ("/tmp/x", b"two", "fetched")]

    against(work, old.url, old.bearer_token)


def test_nothing_that_waits_is_left_synchronous():
    for name, method in inspect.getmembers(Elastik, inspect.isfunction):
        if name.startswith("_") or name in ("open", "clear_cache"):
            continue
        waits = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        assert waits or name in ("stream", "tmp", "listen"), name


def test_the_version_is_asked_once():
    server = Scripted(lambda *_: VERSION_8)

    async def work():
        async with Elastik(server.url, "") as e:
            for _ in range(3):
                with pytest.raises(elastik.Unsupported):
                    await e.patch("a", {})

    asyncio.run(work())
    assert len(server.requests) == 1


# -- connections -----------------------------------------------------------------------------------


def dying(version):
    """The first connection serves one request; whatever comes after it there is not answered."""

    def script(connection, turn, head):
        if "/proc/version" in head:
            return version
        return OK if connection > 1 or turn == 1 else None

    return script


WRITES = {
    "POST": lambda e: e.post("a", b"x"),
    "PUT": lambda e: e.put("a", b"x", if_match="y"),
    "DELETE": lambda e: e.delete("a"),
    "MOVE": lambda e: e.mv("a", "b", atomic=True),
}


def after_one_get(server, verb):
    async def work():
        async with Elastik(server.url, "") as e:
            await e.get("a")
            await WRITES[verb](e)

    asyncio.run(work())
    return [head for head in server.requests if head.startswith(verb)]


@pytest.mark.parametrize("verb", WRITES)
def test_a_write_on_a_dead_connection_goes_again_with_its_key(verb):
    # One connection: the GET, and then nothing. The version is asked on the same one.
    def script(connection, turn, head):
        if "/proc/version" in head:
            return VERSION_9
        return OK if connection > 1 or turn == 1 else None

    first, second = after_one_get(Scripted(script), verb)
    keys = [head.partition("Idempotency-Key: ")[2].partition("\r")[0] for head in (first, second)]
    assert keys[0] == keys[1] != ""


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE"])
def test_a_write_to_an_older_core_goes_once_on_a_new_connection(verb):
    assert len(after_one_get(Scripted(dying(VERSION_8)), verb)) == 1


def test_a_streamed_body_is_never_half_of_itself():
    """A generator that is used up would be sent again as nothing."""
    server = Scripted(dying(VERSION_9))

    async def work():
        async with Elastik(server.url, "") as e:
            await e.get("a")
            await e.put("a", iter([b"once"]))

    asyncio.run(work())
    assert server.bodies == [b"", b"once"]


@pytest.mark.parametrize(("keep_alive", "connections"), [(True, 1), (False, 3)])
def test_connections_are_kept_or_not(keep_alive, connections):
    server = Scripted(lambda *_: OK)

    async def work():
        async with Elastik(server.url, "", keep_alive=keep_alive) as e:
            for _ in range(3):
                await e.get("a")

    asyncio.run(work())
    assert server.connections == connections


def test_a_restart_between_two_requests_is_not_noticed(start_core):
    first = start_core()

    async def work():
        core = first
        async with Elastik(core.url, core.approve) as e:
            await e.put("log", b"")
            for n in range(3):
                core.kill()
                core = start_core(core.data, port=core.address[1])
                assert (await e.post("log", b"%d" % n))["status"] == 200
            assert await e.get("log") == b"012"

    asyncio.run(work())
