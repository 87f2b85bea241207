"""Code of a user, for the type checker: it must pass mypy --strict as it stands."""

from __future__ import annotations

from pathlib import Path

import elastik
import elastik.aio
from elastik import Archive, Elastik, FakeElastik, NotFound, WorldReader, WorldWriter


def bytes_or_nothing(e: Elastik, etag: str) -> bytes:
    whole: bytes = e.get("note")
    maybe: bytes | None = e.get("note", if_none_match=etag)
    text: str = e.get_text("note")
    later: str | None = e.get_text("note", if_none_match=etag)
    return whole + (maybe or b"") + (text + (later or "")).encode()


def files(e: Elastik) -> int:
    reader: WorldReader = e.open("a")
    writer: WorldWriter = e.open("a", "wb", content_type="x/y")
    with e.open("b", "ab") as log, open("local", "rb") as local:
        log.write(b"line")
        e.put("c", local)
    e.put("d", (b"piece" for _ in range(3)))
    return len(reader.read(5)) + writer.write(b"")


def module_functions() -> list[str]:
    receipt = elastik.put("a", "x", if_match="tag")
    status: int = receipt["status"]
    plain: bytes = elastik.get("a")
    if status == 201 and plain:
        return elastik.list_paths()
    sizes: dict[str, int] = elastik.du("home")
    return [*sizes]


def listening(e: Elastik) -> str:
    with e.listen(["a/*", "b"], timeout=1.5, inline=True) as events:
        for event in events:
            return str(event["path"])
    return ""


@elastik.listen("/home/in/*")
def handler(body: bytes, path: str, e: Elastik) -> Archive | None:
    return Archive() if body else None


def mapping(e: Elastik) -> bytes:
    e["a"] = b"x"
    e["b"] = "text"
    try:
        ref = e / "home" / "a"
        return ref.read() + e["a"]
    except (NotFound, KeyError):
        return b""


def starting(data: Path) -> Elastik:
    client = elastik.start(port=0, key="k" * 32, data_dir=data)
    elastik.run(client, state=data / "state", max_events=1, workers=2)
    return FakeElastik() if elastik.is_running() else client


async def awaited(e: elastik.aio.Elastik, etag: str) -> bytes:
    whole: bytes = await e.get("note")
    maybe: bytes | None = await e.get("note", if_none_match=etag)
    text: str = await e.get_text("note", at=5)
    later: str | None = await e.get_text("note", if_none_match=etag)
    async with e.open("a") as reader, e.open("b", "wb") as writer, e.stream("c") as pieces:
        await writer.write(await reader.read(5))
        async for piece in pieces:
            whole += piece
    async for event in e.listen("in/*"):
        return str(event["path"]).encode()
    sizes: dict[str, int] = await e.du("home", max_workers=2)
    return whole + (maybe or b"") + (text + (later or "")).encode() + bytes(len(sizes))


def paths(e: Elastik) -> int:
    ref = e / "home" / "a"
    reader: WorldReader = ref.open()
    writer: WorldWriter = ref.open("ab")
    later: str = e.get_text("a", at="2030-01-01T00:00:00Z")
    return len(reader.read()) + writer.write(later.encode())
