"""Worlds in the layout of elastik 8.x, written with Python alone; and how they are compared."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from realcore import KEY, Core

FIXTURES = Path(__file__).resolve().parent / "fixtures"
GOLDEN = FIXTURES / "elastik-8.3.0-data"
EXPECTED: dict[str, Any] = json.loads((FIXTURES / "elastik-8.3.0-expected.json").read_text())

SCHEMA = """
CREATE TABLE stage_meta(id INTEGER PRIMARY KEY CHECK(id=1), body BLOB DEFAULT x'',
  content_type TEXT DEFAULT 'application/octet-stream');
CREATE TABLE meta_headers(name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(name));
CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL,
  event_type TEXT NOT NULL, target TEXT DEFAULT '', body_sha256 TEXT DEFAULT '',
  size INTEGER DEFAULT 0, content_type TEXT DEFAULT '', meta_sha256 TEXT DEFAULT '',
  hmac TEXT NOT NULL, prev_hmac TEXT DEFAULT '');
CREATE TABLE event_headers(event_id INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);
"""
Events = list[tuple[str, str, str, str, Any, str]]


def golden(to: Path) -> Path:
    """A copy of the golden directory that may be changed."""
    shutil.copytree(GOLDEN, to)
    for path in [to, *to.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return to


def snapshot(data: Path) -> dict[str, bytes]:
    """Every world's database by its directory's name, wherever in `data` it lies now."""
    return {p.parent.name: p.read_bytes() for p in data.rglob("universe.db")}


def sign(key: str, prev: str, fields: tuple[str, str, str, Any, str, str]) -> str:
    """The HMAC of an event (core.md §4.4)."""
    names = ("type", "target", "body-sha256", "size", "content-type", "meta-sha256")
    message = b""
    for name, value in zip(("prev", *names), (prev, *fields), strict=True):
        raw = str(value).encode()
        message += name.encode() + b"\0%d\0" % len(raw) + raw + b"\0"
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def write_world(data: Path, name: str, body: bytes, events: Events, key: str = KEY) -> Path:
    """One world; an event is (timestamp, type, target, body hash, size, content type)."""
    directory = data / name
    directory.mkdir(parents=True)
    with sqlite3.connect(directory / "universe.db") as db:
        db.executescript(SCHEMA)
        kind = events[-1][5] if events else "application/octet-stream"
        db.execute("INSERT INTO stage_meta VALUES(1, ?, ?)", (body, kind))
        prev = ""
        for timestamp, event_type, target, sha, size, content_type in events:
            meta = hashlib.sha256(b"content-type\0" + content_type.encode() + b"\0").hexdigest()
            mac = sign(key, prev, (event_type, target, sha, size, content_type, meta))
            db.execute(
                "INSERT INTO events(timestamp, event_type, target, body_sha256, size,"
                " content_type, meta_sha256, hmac, prev_hmac) VALUES(?,?,?,?,?,?,?,?,?)",
                (timestamp, event_type, target, sha, size, content_type, meta, mac, prev),
            )
            prev = mac
    db.close()
    return directory


def put(target: str, body: bytes, timestamp: str = "2026-01-02 03:04:05") -> Events:
    sha = hashlib.sha256(body).hexdigest()
    return [(timestamp, "put", target, sha, len(body), "application/octet-stream")]


def same_as_expected(core: Core) -> None:
    """The core serves exactly what the real 8.3.0 served of the golden directory."""
    for path, world in EXPECTED["worlds"].items():
        target = "/" + "/".join(quoted(part) for part in path.split("/"))
        reply = core.get(target)
        assert (reply.status, reply.body) == (200, base64.b64decode(world["body_b64"])), path
        assert reply.etag == world["etag"], path
        assert reply.headers["content-type"] == world["content_type"], path
        kept = {k: v for k, v in reply.headers.items() if k in world["headers"]}
        assert kept == world["headers"], path
        audit = core.request("GET", f"/proc/audit{target}/verify")
        assert audit.status == world["verify"]["status"] == 200, path
        for name in ("events", "genesis", "latest"):
            assert audit.headers[f"x-audit-{name}"] == str(world["verify"][name]), path
    for path in EXPECTED["absent"]:
        assert core.get(f"/{path}").status == 404
    for page in ("worlds", "du", "df"):
        said, want = core.get(f"/proc/{page}").body.decode(), EXPECTED[f"proc_{page}"]
        # What is kept beside the worlds comes after the three lines of 8.3.
        assert (said[: len(want)] if page == "df" else said) == want, page


def quoted(part: str) -> str:
    return "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02X}" for b in part.encode())
