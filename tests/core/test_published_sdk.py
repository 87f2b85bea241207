"""The published 8.3.0 SDK works against our core exactly as against its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("published_session.py")


def session(published, core):
    """What the published SDK found out about this core."""
    done = subprocess.run(
        [published.python, SCRIPT, core.url, core.approve, "not-a-token"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=core.data.parent,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def theirs(published, tmp_path):
    core = published.start(tmp_path / "published")
    yield core
    core.kill()


def test_a_whole_session_finds_the_same(published, theirs, core):
    expected = session(published, theirs)
    assert expected["events"], "the comparison would be empty"
    assert session(published, core) == expected


def test_both_cores_give_the_same_etags(published, theirs, core):
    # Same key, same path, same bytes: the chains agree byte for byte.
    for step, (method, path, body, kept) in enumerate(
        [
            ("PUT", "/home/a", b"one", {"Content-Type": "text/plain"}),
            ("PUT", "/home/a", b"two", {"Cache-Control": "max-age=1", "Content-Language": "en"}),
            ("POST", "/home/a", b", three", {}),
            ("POST", "/home/a", b"", {}),
            ("PUT", "/home/%E6%97%A5", b"\x00" * 70_000, {"Content-Type": "a/b; c=d"}),
            ("PUT", "/tmp/a", b"memory", {}),
            ("DELETE", "/tmp/a", None, {}),
            ("DELETE", "/home/a", None, {}),
            ("PUT", "/home/a", b"again", {}),
        ]
    ):
        ours, published_reply = (c.request(method, path, body, kept) for c in (core, theirs))
        assert (step, ours.status) == (step, published_reply.status)
        assert ours.headers.get("etag") == published_reply.headers.get("etag"), step
    for world in ("home/a", "home/%E6%97%A5", "var/log/deletes"):
        verdicts = [
            {k: v for k, v in c.verify(world).headers.items() if k.startswith("x-audit-")}
            for c in (core, theirs)
        ]
        assert verdicts[0] == verdicts[1]
    assert core.get("/proc/worlds").body == theirs.get("/proc/worlds").body
