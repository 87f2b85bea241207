"""Quotas per prefix: on disk and in memory, while uploads stream, and as /proc/df shows them."""

from __future__ import annotations

import contextlib
import http.client

import pytest

from realcore import APPROVE, refuse, wait_for

MIB = 1 << 20
RULES = "home/cam/*=4MiB, home/cam/front*=1000B, tmp/*=2000B"


@pytest.fixture
def limited(start_core):
    return start_core(env={"ELASTIK_QUOTA": RULES})


def free(core, name: str) -> list[str]:
    lines = [line.split("\t") for line in core.get("/proc/df").body.decode().splitlines()]
    assert [line[0] for line in lines[:3]] == ["storage", "memory", "worlds"], "as in 8.3"
    return next(line[1:] for line in lines if line[0] == name)


def test_what_would_not_fit_is_refused_and_says_how_much(limited):
    assert limited.put("/home/cam/front1", b"x" * 600).status == 201
    refused = limited.put("/home/cam/front2", b"x" * 401)
    assert refused.status == 507
    assert refused.body == (
        b"storage quota exceeded: current 600 bytes, quota 1000 bytes, need 1 more bytes\n"
    )
    assert refused.headers["x-storage-quota"] == "1000"
    assert limited.get("/home/cam/front2").status == 404
    assert limited.request("POST", "/home/cam/front1", b"y" * 401).status == 507
    assert limited.put("/home/cam/front2", b"x" * 400).status == 201
    assert limited.put("/home/cam/back", b"x" * 2000).status == 201, "another prefix"
    assert limited.put("/home/elsewhere", b"x" * 2000).status == 201
    assert free(limited, "home/cam/front*") == ["1000", "1000", "0"]
    assert free(limited, "home/cam/*") == ["3000", str(4 * MIB), str(4 * MIB - 3000)]


def test_what_does_not_grow_always_fits_and_deletes_give_back(limited):
    limited.put("/home/cam/front1", b"x" * 1000)
    assert limited.put("/home/cam/front1", b"y" * 1000).status == 200
    assert limited.put("/home/cam/front1", b"z" * 10).status == 200
    assert limited.put("/home/cam/front2", b"z" * 990).status == 201
    assert limited.request("DELETE", "/home/cam/front1").status == 204
    assert free(limited, "home/cam/front*") == ["990", "1000", "10"]


def test_memory_says_413_as_its_own_quota_does(limited):
    assert limited.put("/tmp/a", b"x" * 1500).status == 201
    assert limited.put("/tmp/b", b"x" * 501).status == 413
    assert limited.put("/tmp/b", b"x" * 500).status == 201
    assert limited.put("/dev/b", b"x" * 5000).status == 201
    assert free(limited, "tmp/*") == ["2000", "2000", "0"]


def test_a_copy_and_a_group_are_held_to_it(limited):
    limited.put("/home/source", b"x" * 600)
    copy = {"Destination": "/home/cam/front1"}
    assert limited.request("COPY", "/home/source", headers=copy).status == 201
    copy = {"Destination": "/home/cam/front2"}
    assert limited.request("COPY", "/home/source", headers=copy).status == 507
    assert free(limited, "home/cam/front*")[0] == "600"


def test_a_restart_counts_what_is_there(limited, start_core):
    limited.put("/home/cam/front1", b"x" * 900)
    limited.kill()
    again = start_core(data=limited.data, env={"ELASTIK_QUOTA": RULES})
    assert free(again, "home/cam/front*") == ["900", "1000", "100"]
    assert again.put("/home/cam/front2", b"x" * 101).status == 507


def upload(core, path: str, size: int) -> http.client.HTTPConnection:
    line = http.client.HTTPConnection(*core.address, timeout=30)
    line.putrequest("PUT", path)
    line.putheader("Authorization", f"Bearer {APPROVE}")
    line.putheader("Content-Length", str(size))
    line.endheaders()
    return line


def refused(core, path: str, size: int) -> bool:
    line = upload(core, path, size)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(size // MIB):
            line.send(b"x" * MIB)
    reply = line.getresponse()
    return reply.status == 507 and b"storage quota exceeded" in reply.read()


@pytest.mark.parametrize("whole", [False, True], ids=["prefix", "disk"])
def test_room_is_reserved_while_an_upload_streams(whole, start_core):
    """Two uploads that do not fit together: the second is refused while both are coming in."""
    name = "ELASTIK_MAX_STORAGE_BYTES" if whole else "ELASTIK_QUOTA"
    core = start_core(env={name: str(4 * MIB) if whole else "home/cam/*=4MiB"})
    first = upload(core, "/home/cam/1", 3 * MIB)
    first.send(b"x" * (2 * MIB + 4096))
    log = core.data / "elastik.db-wal"
    assert wait_for(lambda: log.stat().st_size > 1.7 * MIB), "that much of the first is staged"
    assert refused(core, "/home/cam/2", 3 * MIB)
    assert core.get("/home/cam/2").status == 404
    first.send(b"x" * (MIB - 4096))
    assert first.getresponse().status == 201, "the first goes on"
    assert core.put("/home/cam/3", b"x" * (MIB + 1)).status == 507
    assert core.put("/home/cam/3", b"x" * MIB).status == 201, "nothing stays reserved"
    assert core.put("/home/cam/1", b"y" * 3 * MIB).status == 200, "a replace needs no new room"


@pytest.mark.parametrize("rule", ["*=1MiB", "home/*/a=1MiB", "home/a/*=5", "home/a/*"])
def test_a_rule_that_cannot_be_is_refused_by_name(rule, core_binary, tmp_path):
    env = {"ELASTIK_KEY": "k" * 32, "ELASTIK_DATA": str(tmp_path / "d"), "ELASTIK_QUOTA": rule}
    code, said = refuse(core_binary, env)
    assert code == 1 and rule in said, said
