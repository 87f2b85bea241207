"""The crash proof: kill -9 under load, again and again, on a disk that may forget the unsynced."""

from __future__ import annotations

import hashlib
import http.client
import random
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from realcore import KEY, Core, Listener, fields_of, launch
from soak import offline
from soak.disk import Disk
from soak.history import Broken, Event, History
from soak.operations import Client, Operation

CLIENTS = 10
WORLDS = [f"/home/crash/{n}" for n in range(36)]
MEMORY = [f"/tmp/crash/{n}" for n in range(4)]
MARKER = "/home/mark"
PATTERN = "home/*"
OFFLINE_EVERY = 20


class Ear(threading.Thread):
    """A listener that hears one life of a core to its end."""

    def __init__(self, core: Core):
        super().__init__(daemon=True)
        self.events: list[Event] = []
        self.listener = core.listen("*")
        self.start()

    def run(self) -> None:
        try:
            while frame := self.listener.frame():
                fields = fields_of(frame) if not frame.startswith(":") else {}
                if "id" in fields:
                    self.events.append(Event.of(fields))
        except (OSError, ValueError, AttributeError):
            pass


@dataclass
class Report:
    """What a run saw; times in seconds."""

    cycles: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    surprises: int = 0
    events: int = 0
    starts: list[float] = field(default_factory=list)

    def starts_in(self, part: int) -> float:
        """The median start of a fifth of the run."""
        size = len(self.starts) / 5
        return statistics.median(self.starts[int(part * size) : int(part * size + size) + 1])

    def __str__(self) -> str:
        return (
            f"{self.cycles} cycles, {self.acknowledged} acknowledged, "
            f"{self.unanswered} unanswered of which {self.surprises} took place, "
            f"{self.events} events; start {self.starts_in(0) * 1000:.0f} ms in the first fifth, "
            f"{self.starts_in(4) * 1000:.0f} ms in the last, at most {max(self.starts) * 1000:.0f}"
        )


class Crash:
    """One data directory, and the history that it must agree with after every crash."""

    def __init__(self, binary: Path, scratch: Path, seed: int, *, lossy: bool):
        self.binary, self.chance = binary, random.Random(seed)
        self.scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self.disk = Disk(scratch)
        self.lossy = lossy
        self.history = History(KEY)
        self.report = Report()
        self.core: Core | None = None
        self.highest = 0
        """The largest event number that anybody was told."""

    def launch(self, **env: str) -> Core:
        begun = time.monotonic()
        simulated = self.disk.environment() if self.lossy else {}
        self.core = launch(self.binary, self.disk.data, env={**simulated, **env})
        self.report.starts.append(time.monotonic() - begun)
        return self.core

    def kill(self, core: Core) -> None:
        core.kill()
        self.lose()

    def lose(self) -> None:
        if self.lossy:
            self.disk.cut(self.chance, self.chance.choice((0, 0, 0.5, 0.9)))

    def clients(self, core: Core, tags: dict[str, str]) -> list[Client]:
        return [
            Client(core, WORLDS + MEMORY, self.chance.randrange(1 << 30), tags)
            for _ in range(CLIENTS)
        ]

    def cycle(self) -> None:
        """One life under load, its end, and the check of what is left."""
        core, tags = self.launch(), {}
        ear, clients = Ear(core), self.clients(core, tags)
        for client in clients:
            client.start()
        time.sleep(self.chance.choice((0.02, 0.1, 0.3, 0.6)) * self.chance.random())
        if self.chance.random() < 0.1:
            # The end comes while pieces are freed and the WAL is idle.
            for client in clients:
                client.quit.set()
            time.sleep(self.chance.uniform(0, 2.5))
        self.kill(core)
        self.settle(clients, ear)

    def settle(self, clients: list[Client], ear: Ear) -> None:
        """After a crash: start, replay, explain, compare."""
        for client in clients:
            client.join(30)
            if client.failure:
                raise client.failure
        ear.join(30)
        operations = [one for client in clients for one in client.log]
        if self.chance.random() < 0.1:
            self.stillborn()
        core = self.launch()
        durable = [one for one in operations if one.path.startswith("/home/")]
        try:
            replayed = self.replay(core)
            self.heard(ear.events, replayed)
            self.history.live(replayed, durable)
            self.compare(core)
        except (OSError, http.client.HTTPException) as error:
            # A core that stops over what it finds in its file breaks off in the middle.
            raise Broken(f"an answer breaks off: {error!r}") from error
        self.kill(core)
        self.count(durable, replayed)
        if self.report.cycles % OFFLINE_EVERY == 1:
            offline.check(self.disk.data, self.scratch / "copy")

    def stillborn(self) -> None:
        """A start that is itself killed, somewhere between nothing and the first answer."""
        core = subprocess.Popen(
            [self.binary],
            env={"ELASTIK_KEY": KEY, "ELASTIK_PORT": "0", "ELASTIK_DATA": str(self.disk.data)}
            | (self.disk.environment() if self.lossy else {}),
            stderr=subprocess.DEVNULL,
        )
        time.sleep(self.chance.uniform(0, 0.03))
        core.kill()
        core.wait()
        self.lose()

    def replay(self, core: Core) -> list[Event]:
        """Every durable event since the last check, and none of them missing."""
        reply = core.put(MARKER, b"%d" % self.report.cycles)
        if reply.status not in (200, 201):
            raise Broken(f"a fresh start refuses a write: {reply}")
        tag, found = reply.etag.strip('"'), []
        with Listener(core, PATTERN, last_event_id=str(self.history.newest)) as listener:
            while True:
                fields = listener.event()
                if not fields:
                    raise Broken("a replay ends before its last event")
                if fields.get("event") == "lag":
                    raise Broken(f"a replay of durable worlds lags: {fields}")
                event = Event.of(fields)
                if event.path == MARKER and event.etag == tag:
                    break
                if event.path != MARKER:
                    found.append(event)
        if event.number <= self.highest:
            raise Broken(f"number {event.number} was given before ({self.highest})")
        self.highest = event.number
        return found

    def heard(self, live: Iterable[Event], replayed: list[Event]) -> None:
        """What a listener was told is true for ever: the replay has the same."""
        known = {event.number: event for event in replayed}
        for event in live:
            self.highest = max(self.highest, event.number)
            durable = event.path.startswith("/home/") and event.path != MARKER
            if durable and known.get(event.number) != event:
                raise Broken(f"{event} was told and is not there: {known.get(event.number)}")

    def compare(self, core: Core) -> None:
        listed = core.get("/proc/worlds").body.decode().splitlines()
        wanted = sorted(path[1:] for path in self.history.worlds)
        if [path for path in listed if path.startswith("home/crash/")] != wanted:
            raise Broken(f"worlds: {listed} instead of {wanted}")
        for path, world in self.history.worlds.items():
            reply = core.get(path)
            sha = hashlib.sha256(reply.body).hexdigest()
            if (reply.status, reply.headers.get("etag")) != (200, f'"hmac-{world.hmac}"'):
                raise Broken(f"{path}: {reply.status} {reply.headers}, not {world}")
            if sha != world.sha.hexdigest():
                raise Broken(f"{path}: {len(reply.body)} other bytes than {world}")
            verdict = core.verify(path.lstrip("/"))
            if verdict.status != 200:
                raise Broken(f"{path}: {verdict}")
        ledger = core.verify("var/log/deletes")
        if ledger.status not in (200, 404):
            raise Broken(f"the ledger does not verify: {ledger}")

    def count(self, operations: list[Operation], replayed: list[Event]) -> None:
        report = self.report
        report.cycles += 1
        report.acknowledged += sum(one.done for one in operations)
        report.unanswered += sum(one.unknown for one in operations)
        report.surprises = self.history.surprises
        report.events += len(replayed)


def run(
    binary: Path,
    scratch: Path,
    *,
    seed: int,
    seconds: float = 0,
    cycles: int = 10,
    lossy: bool = False,
    say: bool = False,
) -> Report:
    """At least `cycles` cycles and `seconds` seconds; raises Broken with the data kept."""
    proof, begun = Crash(binary, scratch, seed, lossy=lossy), time.monotonic()
    try:
        while proof.report.cycles < cycles or time.monotonic() - begun < seconds:
            proof.cycle()
            if say and proof.report.cycles % 25 == 0:
                print(proof.report, flush=True)
    finally:
        if proof.core:
            proof.core.kill()
    offline.check(proof.disk.data, scratch / "copy")
    shutil.rmtree(scratch, ignore_errors=True)
    return proof.report
