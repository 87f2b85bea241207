"""The fault proof: one failing call at a time on a simulated disk, then the power fails."""

from __future__ import annotations

import contextlib
import errno
import http.client
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from realcore import Core
from soak.crash import MARKER, Crash, Ear, Report
from soak.history import Broken
from soak.operations import Client

WAIT = 10
DEADLINE = 1
# How often a stopped core is started again before the machine is.
WARM = 0.3
HOME = "/home/crash/0"


@dataclass(frozen=True)
class Fault:
    """What fails: the nth sync or write of a file, how, and how often."""

    name: str
    suffix: str
    error: int
    sync: bool
    times: int
    stops: bool | None
    """Whether the core must stop durable writes; None: it may."""


FAULTS = (
    Fault("commit's fsync fails", "-wal", errno.EIO, True, 1, True),
    Fault("checkpoint's fsync fails", "elastik.db", errno.EIO, True, 1, True),
    Fault("a write to the log fails", "-wal", errno.EIO, False, 1, None),
    Fault("a write to the file fails", "elastik.db", errno.EIO, False, 1, True),
    Fault("one write finds the disk full", "-wal", errno.ENOSPC, False, 1, False),
    Fault("the disk stays full for a while", "-wal", errno.ENOSPC, False, 20, False),
)


class Faults(Crash):
    """A crash proof in which one call fails before the end."""

    def __init__(self, binary: Path, scratch: Path, seed: int, faults: tuple[Fault, ...]):
        super().__init__(binary, scratch, seed, lossy=True)
        self.faults = faults
        self.seen: dict[str, int] = {}

    def cycle(self) -> None:
        fault = self.chance.choice(self.faults)
        core = self.launch(ELASTIK_SHUTDOWN_DEADLINE=str(DEADLINE))
        core.put(MARKER, b"before")
        ear, tags = Ear(core), {}
        clients = [
            Client(core, self.paths, self.chance.randrange(1 << 30), tags, large=0.2)
            for _ in range(6)
        ]
        self.order(fault)
        for client in clients:
            client.start()
        until(lambda: self.disk.orders.hits > 0 or core.process.poll() is not None)
        hits, self.disk.orders.page[8:12] = self.disk.orders.hits, bytes(4)
        if hits == 0:
            raise Broken(f"{fault.name}: it did not come about")
        self.seen[fault.name] = self.seen.get(fault.name, 0) + 1
        stopped = self.after(fault, core)
        for client in clients:
            client.quit.set()
        if stopped and self.chance.random() < 0.5:
            self.exits(core)
        core.kill()
        self.disk.orders.clear()
        if stopped and self.chance.random() < WARM:
            # The machine goes on: the next start sees what the failed fsync lost.
            self.disk.warm = True
            self.start_is_cut()
        self.lose()
        self.settle(clients, ear)

    @property
    def paths(self) -> list[str]:
        return [f"/home/crash/{n}" for n in range(8)]

    def order(self, fault: Fault) -> None:
        # A checkpoint comes after 8 MiB; commits come at once.
        nth = self.chance.randint(1, 40) if fault.suffix == "-wal" else self.chance.randint(1, 3)
        order = self.disk.orders.fail_sync if fault.sync else self.disk.orders.fail_write
        order(nth, fault.error, fault.suffix, fault.times)

    def after(self, fault: Fault, core: Core) -> bool:
        """Reads go on; durable writes are refused clearly, or taken again."""
        settled = time.monotonic() + WAIT
        while True:
            write = attempt(core, "PUT", MARKER, b"after")
            read = attempt(core, "GET", MARKER)
            if read is None or write is None:
                return self.exits(core)
            if read[0] != 200:
                raise Broken(f"{fault.name}: a read gave {read}")
            # The store may take a write or two before it knows.
            if write[0] in (200, 201, 204) and not fault.stops:
                return False
            if write[0] == 503 and b"stopped" in write[1]:
                if fault.stops is False:
                    raise Broken(f"{fault.name}: stopped for good: {write}")
                return True
            if write[0] not in (200, 201, 204, 503, 507):
                raise Broken(f"{fault.name}: a write gave {write}")
            if time.monotonic() > settled:
                raise Broken(f"{fault.name}: neither stopped nor recovered: {write}")
            time.sleep(0.01)

    def exits(self, core: Core) -> bool:
        """A stopped store ends the program by itself, with a failure."""
        try:
            code = core.process.wait(DEADLINE + WAIT)
        except subprocess.TimeoutExpired:
            raise Broken("a stopped core does not end") from None
        if code == 0:
            raise Broken("a stopped core ends with 0")
        return True

    def start_is_cut(self) -> None:
        """The next start on the same machine is killed at a random call."""
        self.disk.orders.kill_in(self.chance.randint(1, 60))
        with contextlib.suppress(RuntimeError):
            self.launch().kill()
        self.disk.orders.clear()


def attempt(
    core: Core, verb: str, path: str, body: bytes | None = None
) -> tuple[int, bytes] | None:
    try:
        reply = core.request(verb, path, body)
    except (OSError, http.client.HTTPException):
        return None
    return reply.status, reply.body


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not true() and time.monotonic() < end:
        time.sleep(0.005)


def run(
    binary: Path,
    scratch: Path,
    *,
    seed: int,
    seconds: float = 0,
    cycles: int = 10,
    say: bool = False,
    faults: tuple[Fault, ...] = FAULTS,
) -> Report:
    """At least `cycles` faults and `seconds` seconds; raises Broken with the data kept."""
    proof, begun = Faults(binary, scratch, seed, faults), time.monotonic()
    try:
        while proof.report.cycles < cycles or time.monotonic() - begun < seconds:
            proof.cycle()
            if say:
                print(proof.seen, proof.report, flush=True)
    finally:
        if proof.core:
            proof.core.kill()
    return proof.report
