"""The asyncio client against a real core: the same verbs, the same outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

import elastik

pytest.importorskip("aiohttp", reason="pip install 'elastik[aio]'")

from elastik.aio import Elastik

ROOT = Path(__file__).resolve().parents[2]


def awaited(work, *args, **kwargs):
    """Run one coroutine function to its end."""
    return asyncio.run(work(*args, **kwargs))


@pytest.fixture
def make(e, keeping_core):
    return lambda **options: Elastik(keeping_core.url, keeping_core.approve, **options)


def test_verbs(make):
    async def work():
        async with make() as e:
            first = await e.put("note", "hello", content_language="en", project="p")
            assert first["status"] == 201
            assert await e.get("note") == b"hello"
            assert await e.get("note", range=(1, 2)) == b"el"
            assert await e.get("note", if_none_match=first["etag"]) is None
            assert (await e.post("note", b" you", if_match=first["etag"]))["status"] == 200
            meta = await e.head("note")
            assert (meta["content-language"], meta["x-meta-project"]) == ("en", "p")
            assert await e.sizeof("note") == 9
            assert await e.checksum("note") == meta["etag"]
            assert await e.is_audited("note")
            assert await e.verify("note")
            assert "home/note" in await e.list()
            assert await e.exists("note")
            assert not await e.exists("nothing")
            assert await e.delete("note")
            assert not await e.delete("note")
            assert (await e.request("OPTIONS", "note")).status == 204

    awaited(work)


def test_formats_and_hierarchy(make):
    async def work():
        async with make() as e:
            await e.put_text("d/t", "grün", encoding="latin-1")
            assert await e.get_text("d/t", encoding="latin-1") == "grün"
            await e.put_json("d/j", {"a": 1})
            assert await e.get_json("d/j") == {"a": 1}
            await e.put_many({"d/1": b"1", "d/2": b"22"})
            assert await e.get_many(["d/1", "d/2"]) == {"d/1": b"1", "d/2": b"22"}
            assert (await e.du("d"))["home/d/2"] == 2
            await e.copy("d/1", "d/3")
            with pytest.raises(FileExistsError):
                await e.mv("d/1", "d/2")
            assert await e.mv("d/1", "d/9") == 1
            assert await e.ls("d") == [f"home/d/{n}" for n in ("2", "3", "9", "j", "t")]
            assert await e.ls("", depth=1) == ["home/", "var/"]
            assert (await e.tree("d")).splitlines()[0] == "home/d"

    awaited(work)


def test_bodies_are_streamed_both_ways(make):
    async def pieces():
        for n in range(100):
            yield bytes([n]) * 10_000

    async def work():
        async with make() as e:
            await e.put("big", pieces())
            size = 0
            async with e.stream("big") as body:
                async for piece in body:
                    size += len(piece)
            assert size == 1_000_000
            async with e.stream("big", range=(999_999, None)) as body:
                assert [piece async for piece in body] == [b"\x63"]
            with pytest.raises(elastik.NotFound):
                async with e.stream("nothing"):
                    pass

    awaited(work)


def test_a_stream_tells_what_it_is_before_its_bytes(make):
    async def work():
        async with make() as e:
            etag = (await e.put("s", b"0123456789", cache_control="no-store"))["etag"]
            async with e.stream("s", range=(2, None)) as body:
                assert (body.status, body.etag, body.size) == (206, etag, 8)
                assert body.headers["cache-control"] == "no-store"
                assert await body.read() == b"23456789"
            async with e.stream("s", if_none_match=etag) as body:
                assert body.status == 304
                assert [piece async for piece in body] == []

    awaited(work)


def test_stored_encodings_are_not_decoded(make):
    import gzip

    async def work():
        async with make() as e:
            packed = gzip.compress(b"text")
            await e.put("z", packed, content_encoding="gzip")
            assert await e.get("z") == packed

    awaited(work)


def test_listen(make):
    async def work():
        async with make() as e:
            heard = []

            async def follow():
                async for event in e.listen(["in/*", "tmp/x"], timeout=5):
                    heard.append((event["event"], event["path"]))
                    if len(heard) == 3:
                        return event["id"]
                return None

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.2)
            await e.put("in/1", b"")
            await e.put("other", b"")
            await e.put("tmp/x", b"")
            await e.delete("in/1")
            last = int(await task)
            assert heard == [("put", "/home/in/1"), ("put", "/tmp/x"), ("delete", "/home/in/1")]
            resumed = e.listen("*", last_event_id=last - 1, timeout=5)
            assert (await anext(resumed))["id"] == str(last)
            await resumed.aclose()
            with pytest.raises(elastik.TimedOut):
                await anext(e.listen("quiet/*", timeout=0.05))

    awaited(work)


def test_many_requests_at_once(make):
    async def work():
        async with make() as e:
            paths = [f"p/{n}" for n in range(100)]
            await asyncio.gather(*(e.put(path, path) for path in paths))
            bodies = await asyncio.gather(*(e.get(path) for path in paths))
            assert bodies == [path.encode() for path in paths]

    awaited(work)


def test_errors_are_the_same_classes(make):
    async def work():
        async with make() as e:
            with pytest.raises(elastik.NotFound):
                await e.get("nothing")
            await e.put("a", b"")
            with pytest.raises(elastik.PreconditionFailed):
                await e.put("a", b"", create_only=True)
            with pytest.raises(elastik.BadPath):
                await e.get("a/../b")
            with pytest.raises(TypeError):
                await e.put("a", 5)
            with pytest.raises(ValueError, match="Host"):
                await e.put("a", b"", headers={"Host": "x"})
        async with Elastik("http://127.0.0.1:1", "") as nowhere:
            with pytest.raises(elastik.Unreachable):
                await nowhere.get("a")

    awaited(work)


# What the other client has and this one cannot: the mapping (its methods cannot be awaited), paths,
# and request tracing.
ONLY_THERE = {
    "clear", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
    "debug_enabled", "debug_history", "debug_stats", "disable_debug", "enable_debug",
}  # fmt: skip


def test_the_same_names_as_the_other_client():
    from inspect import signature

    ours = {name for name in dir(Elastik) if not name.startswith("_")}
    theirs = {name for name in dir(elastik.Elastik) if not name.startswith("_")}
    assert theirs - ours == ONLY_THERE
    assert ours <= theirs, "a verb has one name"
    for name in ours:
        there = signature(getattr(elastik.Elastik, name)).parameters.values()
        here = signature(getattr(Elastik, name)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in here] == [
            (p.name, p.kind, p.default) for p in there
        ], name


def test_it_is_imported_only_when_used():
    heavy = "'aiohttp' in sys.modules, 'asyncio' in sys.modules"
    code = f"import sys, elastik; elastik.Elastik; print({heavy})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "False False\n"


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ImportError, match=r"elastik\[aio\]"):
        Elastik("http://x")


def test_closing_is_repeatable(make):
    async def work():
        e = make()
        await e.get("/proc/version")
        await e.close()
        await e.close()
        assert await e.get("/proc/version")
        with contextlib.suppress(Exception):
            await e.close()

    awaited(work)
