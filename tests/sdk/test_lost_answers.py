"""A core that has done a write, and an answer that never came: done once, and said as it was."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from elastik import Elastik, aio
from relay import Relay, hang_up

pytest.importorskip("aiohttp", reason="pip install 'elastik[aio]'")


class Losing(Relay):
    """Hangs up instead of passing on the next `lose` answers of the core."""

    lose = 0

    def _pump(self, one, other):
        with contextlib.suppress(OSError):
            from_core = one.getpeername() == self.target
            while data := one.recv(65536):
                if from_core and self.lose:
                    self.lose -= 1
                    break
                other.sendall(data)
        hang_up(one, other)


@pytest.fixture
def line(keeping_core):
    relay = Losing(keeping_core.address)
    yield relay
    relay.cut()
    relay.server.close()


def by_sync(url, token, line, *calls):
    """The result of the last call, whose first answer is lost on a kept connection."""
    with Elastik(url, token) as e:
        for name, arguments, keywords in calls[:-1]:
            getattr(e, name)(*arguments, **keywords)
        # The version is asked beside, so that only the write's own answer is lost.
        e._knows("operation keys")
        line.lose = 1
        name, arguments, keywords = calls[-1]
        return getattr(e, name)(*arguments, **keywords)


def by_asyncio(url, token, line, *calls):
    async def work():
        async with aio.Elastik(url, token) as e:
            for name, arguments, keywords in calls[:-1]:
                await getattr(e, name)(*arguments, **keywords)
            await e._knows("operation keys")
            line.lose = 1
            name, arguments, keywords = calls[-1]
            return await getattr(e, name)(*arguments, **keywords)

    return asyncio.run(work())


PUT = ("put", ("lost/a", b"1"), {})
CASES = {
    "create": ([("get", ("/proc/version",), {}), ("put", ("lost/a", b"1"), {"create_only": True})],
               lambda got: got["status"] == 201, ["put"]),
    "append": ([PUT, ("post", ("lost/a", b"2"), {})],
               lambda got: got["status"] == 200, ["append", "put"]),
    "delete": ([PUT, ("delete", ("lost/a",), {})], lambda got: got is True, None),
    "move": ([PUT, ("mv", ("lost/a", "lost/b"), {})], lambda got: got == 1, None),
    "patch": ([("put_json", ("lost/a", {"n": 1}), {}), ("patch", ("lost/a", {"m": 2}), {})],
              lambda got: got["status"] == 200, ["put", "put"]),
    "read": ([PUT, ("get", ("lost/a",), {})], lambda got: got == b"1", ["put"]),
}  # fmt: skip


@pytest.mark.parametrize("client", [by_sync, by_asyncio])
@pytest.mark.parametrize("case", CASES)
def test_done_once_and_said_as_it_was(e, keeping_core, line, client, case):
    calls, told, events = CASES[case]
    ledger = len([*e.events("var/log/deletes")]) if e.exists("var/log/deletes") else 0
    assert told(client(line.url, keeping_core.approve, line, *calls))
    assert line.lose == 0, "no answer was lost"
    if events is not None:
        assert [row["type"] for row in e.events("lost/a")] == events
    else:
        assert not e.exists("lost/a")
        assert len([*e.events("var/log/deletes")]) == ledger + 2
