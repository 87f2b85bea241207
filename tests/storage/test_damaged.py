"""A page that does not hold: durable writes stop, reads go on, the program says so (design §2)."""

from __future__ import annotations

import os
import subprocess

import pytest

from realcore import wait_for

SMALL = [f"/home/small/{n:03}" for n in range(200)]
LARGE = [f"/home/large/{n}" for n in range(4)]


def body_of(path: str) -> bytes:
    return path.encode() * 40


@pytest.fixture
def stocked(start_core, tmp_path):
    """The directory of a core that was stopped, with worlds on some dozens of pages."""
    core = start_core(data=tmp_path / "data")
    for path in SMALL:
        assert core.put(path, body_of(path)).status == 201
    for path in LARGE:
        assert core.put(path, path[-1:].encode() * 300_000).status == 201
    assert core.stop() == 0
    return tmp_path / "data"


def spoil(data, marker: bytes) -> None:
    """Overwrite the page that holds these bytes, as a bad disk would."""
    with (data / "elastik.db").open("r+b") as file:
        at = file.read().index(marker) // 4096 * 4096
        assert at > 0
        file.seek(at)
        file.write(os.urandom(4096))


@pytest.mark.parametrize("verb", ["PUT", "POST", "DELETE"])
def test_a_write_that_meets_the_page_stops_writes_and_not_reads(verb, stocked, start_core, offline):
    spoil(stocked, body_of(SMALL[50]))
    core = start_core(
        data=stocked, env={"ELASTIK_SCRUB_PAUSE": "0", "ELASTIK_SHUTDOWN_DEADLINE": "0.3"}
    )
    assert core.put("/home/elsewhere", b"first").status == 201, "nobody has met the page yet"
    assert (core.get("/proc/health").body, core.get("/proc/ready").status) == (b"ok\n", 200)
    reply = core.request(verb, SMALL[50], None if verb == "DELETE" else b"x")
    assert reply.status == 503, reply
    assert b"a page of the store's file does not hold" in reply.body
    assert b"elastik data recover" in reply.body
    refused = core.put("/home/elsewhere", b"second")
    assert (refused.status, refused.body) == (503, reply.body)
    assert core.get("/home/elsewhere").body == b"first", "reads go on"
    assert core.get(LARGE[0]).body == b"0" * 300_000
    assert core.put("/tmp/free", b"memory needs no disk").status == 201
    ready = core.get("/proc/ready")
    assert ready.status == 503 and b"a page of the store's file" in ready.body
    assert core.get("/proc/health").body == b"ok, but durable writes stopped\n"
    metrics = core.get("/proc/metrics").body.decode().splitlines()
    assert "elastik_writable 0" in metrics and "elastik_damaged 1" in metrics
    # Another start would find the same page, so this one goes on for those who read.
    with pytest.raises(subprocess.TimeoutExpired):
        core.process.wait(1.5)
    assert core.get("/home/elsewhere").status == 200
    assert core.stop() == 1
    assert "a page of the store's file does not hold" in core.stderr()
    recovers(stocked, start_core, offline)


def recovers(data, start_core, offline) -> None:
    said = offline("data", "recover", "--data-dir", data)
    assert said.code == 8, said.stderr
    core = start_core(data=data)
    assert core.get("/home/elsewhere").body == b"first"
    assert core.put("/home/elsewhere", b"goes on").status == 200
    kept = [path for path in SMALL if core.get(path).status == 200]
    assert len(kept) > len(SMALL) / 2
    for path in LARGE:
        assert core.get(path).body == path[-1:].encode() * 300_000
    assert core.stop() == 0


def test_a_read_that_meets_the_page_stops_writes_too(stocked, start_core):
    spoil(stocked, body_of(SMALL[50]))
    core = start_core(data=stocked, env={"ELASTIK_SCRUB_PAUSE": "0"})
    assert core.put("/home/elsewhere", b"first").status == 201
    assert core.get(SMALL[50]).status == 500
    assert core.put("/home/elsewhere", b"second").status == 503
    assert core.get(LARGE[1]).body == b"1" * 300_000
    assert core.get("/proc/ready").status == 503
    assert core.stop() == 1


def test_the_scrub_meets_it_where_nobody_else_does(stocked, start_core):
    spoil(stocked, body_of(SMALL[50]))
    core = start_core(data=stocked, env={"ELASTIK_SCRUB_PAUSE": "0.1"})
    assert wait_for(lambda: core.get("/proc/ready").status == 503)
    assert b"a page of the store's file does not hold" in core.put("/home/x", b"").body
    assert core.stop() == 1
