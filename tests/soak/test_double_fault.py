"""A failed fsync of the log, a restart of the program alone, then a power cut while it starts."""

from __future__ import annotations

import contextlib
import errno
import random

import pytest

from realcore import launch
from soak import offline
from soak.disk import Disk


def text(n: int) -> bytes:
    return b"%06d" % n * 3000


def spoiled(core_binary, tmp_path) -> Disk:
    """A disk whose log lost pages that the machine still believes it has."""
    disk = Disk(tmp_path)
    core = launch(core_binary, disk.data, env=disk.environment())
    for n in range(200):
        assert core.put(f"/home/{n}", text(n)).status == 201
    assert core.stop() == 0, "all of it lies in the file, the log is empty"
    core = launch(core_binary, disk.data, env=disk.environment())
    disk.orders.fail_sync(1, errno.EIO, "-wal")
    group = "".join(
        f'{{"op":"put","path":"home/{n}","body":"{"x" * 9000}"}}\n' for n in range(0, 200, 9)
    )
    reply = core.request("POST", "/proc/batch", group.encode())
    assert (reply.status, disk.orders.hits) == (503, 1), reply
    core.kill()
    disk.orders.clear()
    disk.warm = True
    return disk


@pytest.mark.parametrize("call", range(2, 82, 8))
def test_the_next_start_writes_the_log_again_before_it_copies_it(core_binary, tmp_path, call):
    """Pages that the failed fsync lost look clean, so a checkpoint's own sync would not write
    them: the file would be half copied from a log that is gone after the power cut."""
    disk = spoiled(core_binary, tmp_path)
    disk.orders.kill_in(call)
    with contextlib.suppress(RuntimeError):
        launch(core_binary, disk.data, env=disk.environment()).kill()
    disk.orders.clear()
    disk.cut(random.Random(call), 0.5)
    core = launch(core_binary, disk.data, env=disk.environment())
    for n in range(200):
        body = core.get(f"/home/{n}").body
        assert body == text(n) or (n % 9 == 0 and body == b"x" * 9000), "whole, old or new"
    assert core.get("/proc/audit/verify").body.splitlines()[-1].startswith(b'{"valid":true')
    core.kill()
    offline.check(disk.data, tmp_path / "copy")
