"""Bounds that hold while everybody writes and lists at once."""

from __future__ import annotations

import http.client
import itertools
import os
import threading
import time

import pytest

from realcore import Core
from soak.operations import Client

WAL_MAX = 128 << 20
SECONDS = max(6.0, float(os.environ.get("ELASTIK_SOAK_SECONDS", "0")))


def test_the_log_grows_ahead_of_small_commits(core):
    """A commit that made the file longer would have its inode to sync too."""
    log, lengths = core.data / "elastik.db-wal", []
    for n in range(60):
        core.put(f"/home/grow/{n}", b"x" * 100)
        lengths.append(log.stat().st_size)
    grown = sum(a != b for a, b in itertools.pairwise(lengths))
    assert lengths[-1] - lengths[0] > 512 << 10, "too little was written to prove anything"
    assert grown < 20


def list_for_ever(core: Core, over: threading.Event) -> None:
    line = http.client.HTTPConnection(*core.address, timeout=30)
    while not over.is_set():
        line.request("GET", "/proc/worlds", headers={"Authorization": f"Bearer {core.approve}"})
        assert line.getresponse().read()
    line.close()


@pytest.mark.soak
def test_the_log_stays_short_while_all_is_listed_in_a_loop(start_core):
    core, over = start_core(), threading.Event()
    core.put("/home/first", b"")
    paths = [f"/home/wal/{n}" for n in range(200)]
    listers = [threading.Thread(target=list_for_ever, args=(core, over)) for _ in range(4)]
    clients = [Client(core, paths, seed, {}, large=0.3) for seed in range(8)]
    for thread in [*listers, *clients]:
        thread.start()
    wal, largest, written = core.data / "elastik.db-wal", 0, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        largest = max(largest, wal.stat().st_size)
        time.sleep(0.02)
    over.set()
    for client in clients:
        client.quit.set()
    for thread in [*listers, *clients]:
        thread.join(30)
    written = sum(len(one.body) for client in clients for one in client.log if one.done)
    assert largest < WAL_MAX
    assert written > largest / 2, "too little was written to prove anything"
    assert written > 30 << 20
    print(f"{written >> 20} MiB written, log at most {largest >> 20} MiB")
