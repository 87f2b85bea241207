"""Clients that put random verbs on a core and write down what each was answered."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from realcore import Core

FILL = random.Random(8).randbytes(8 << 20)
NUMBERS = itertools.count(1)
# The borders: a body in its row, one piece, what is staged, and beyond.
SIZES: Sequence[tuple[int, int]] = (
    (12, 200), (12, 200), (12, 200), (30, 2000), (4093, 4099), (4093, 4099),
    (65533, 65539), (262141, 262147), (30, 70_000),
)  # fmt: skip
LARGE = (300_000, 5 << 20)


@dataclass
class Operation:
    """One request for one world; `status` is None when the answer never came."""

    verb: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    sent: float = 0.0
    answered: float = float("inf")
    status: int | None = None
    etag: str = ""

    @property
    def done(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def unknown(self) -> bool:
        """No answer, or one that says that nobody knows (design §1)."""
        return self.status is None or (self.status == 503 and self.etag == "unknown")


def body(chance: random.Random, low: int, high: int) -> bytes:
    """Bytes that no other operation of this process writes: so every event has one origin."""
    size = chance.randint(low, high)
    name = b"%d." % next(NUMBERS)
    start = chance.randrange(len(FILL) // 3)
    return (name + FILL[start : start + size])[:size]


@dataclass
class Client(threading.Thread):
    """One connection that never waits between two requests, until the core is gone."""

    core: Core
    paths: Sequence[str]
    seed: int
    tags: dict[str, str]
    large: float = 0.02
    stop_after: int | None = None
    log: list[Operation] = field(default_factory=list)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.chance = random.Random(self.seed)
        self.quit = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        line = http.client.HTTPConnection(*self.core.address, timeout=30)
        try:
            while not self.quit.is_set() and (
                self.stop_after is None or len(self.log) < self.stop_after
            ):
                self.one(line, self.choose())
        except (OSError, http.client.HTTPException):
            pass
        except BaseException as error:
            self.failure = error
        finally:
            line.close()

    def choose(self) -> Operation:
        chance = self.chance
        path = chance.choice(self.paths)
        verb = chance.choices(("PUT", "POST", "DELETE"), (5, 4, 1))[0]
        if verb == "DELETE":
            return Operation(verb, path)
        low, high = LARGE if chance.random() < self.large else chance.choice(SIZES)
        return Operation(verb, path, body(chance, low, high), self.condition(path))

    def condition(self, path: str) -> dict[str, str]:
        """One in five is conditional: on the newest tag that anybody saw, or on absence."""
        dice = self.chance.random()
        if dice < 0.15 and path in self.tags:
            return {"If-Match": self.tags[path]}
        return {"If-None-Match": "*"} if dice > 0.95 else {}

    def one(self, line: http.client.HTTPConnection, operation: Operation) -> None:
        self.log.append(operation)
        headers = {"Authorization": f"Bearer {self.core.approve}"} | operation.headers
        operation.sent = time.monotonic()
        sent = None if operation.verb == "DELETE" else operation.body
        line.request(operation.verb, operation.path, sent, headers)
        answer = line.getresponse()
        said = answer.read()
        operation.answered = time.monotonic()
        operation.etag = answer.headers.get("etag", "").strip('"')
        if said.startswith(b"outcome unknown"):
            operation.etag = "unknown"
        operation.status = answer.status
        if operation.done and operation.etag:
            self.tags[operation.path] = f'"{operation.etag}"'
