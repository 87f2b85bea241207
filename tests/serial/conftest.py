"""Running bridges, simulated boards, and a board that is not ours: libcoap behind sliplib."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commandline import Program, until
from foreign import needed
from foreignboard import board, free_udp_port
from realcore import APPROVE, READ, WRITE, Core

TESTS = Path(__file__).resolve().parent.parent


class Lab:
    """A core with a CoAP door, the command in its environment, and what was started."""

    def __init__(self, place: Path, start_core: Callable[..., Core]) -> None:
        self.place, self.start_core = place, start_core
        self.coap_port = free_udp_port()
        self.started: list[subprocess.Popen[bytes]] = []
        self.core: Core | None = None
        self.program = Program(
            place,
            TERM="xterm",
            XDG_RUNTIME_DIR=str(place / "run"),
            ELASTIK_NO_DOTENV="1",
            ELASTIK_READ_TOKEN=READ,
            ELASTIK_WRITE_TOKEN=WRITE,
            ELASTIK_APPROVE_TOKEN=APPROVE,
        )

    def serve(self) -> Core:
        """Start the core, or start it again at the same addresses."""
        port = self.core.address[1] if self.core else 0
        env = {"ELASTIK_COAP_PORT": str(self.coap_port)}
        self.core = self.start_core(self.place / "data", port=port, env=env)
        self.program = self.program.with_env(ELASTIK_URL=self.core.url)
        return self.core

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        log = open(self.place / f"{words[1]}-{len(self.started)}.log", "wb")
        with log:
            process = self.program.start("serial", *words[1:], stdout=log, stderr=log)
        self.started.append(process)
        process.log = Path(log.name)  # type: ignore[attr-defined]
        return process

    def simulate(self, name: str = "b1", *options: str) -> Path:
        link = self.place / name
        self.start("serial", "simulate", "--link", str(link), *options)
        until(link.exists)
        return link

    def bridge(self, *options: str, wait: bool = True) -> subprocess.Popen[bytes]:
        at = f"127.0.0.1:{self.coap_port}"
        process = self.start("serial", "bridge", "--coap", at, *options)
        if wait:
            until(lambda: b": up " in process.log.read_bytes() or process.poll() is not None)
        return process

    def world(self, path: str) -> bytes:
        assert self.core is not None
        reply = self.core.get(f"/home/sensor/{path}")
        return reply.body if reply.status == 200 else b""

    def events(self, path: str) -> int:
        """How often a world was written, by its audit chain."""
        assert self.core is not None
        return int(self.core.verify(f"home/sensor/{path}").headers.get("x-audit-events", -1))


@pytest.fixture
def lab(tmp_path: Path, start_core: Callable[..., Core]) -> Iterator[Lab]:
    (tmp_path / "run").mkdir()
    made = Lab(tmp_path, start_core)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.terminate()
    for process in made.started:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def foreign_board(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Start libcoap's server behind sliplib and crccheck at the far end of a socat pty pair."""
    needed("coap-server-notls", package="libcoap3-bin")
    needed("socat")
    pytest.importorskip("sliplib")
    pytest.importorskip("crccheck")
    with contextlib.ExitStack() as running:
        yield lambda baud=0: running.enter_context(board(tmp_path, baud))
