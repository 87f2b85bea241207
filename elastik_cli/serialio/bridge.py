"""The bridge: ports, boards, the way up, the door down, and one outbox for all of them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from elastik_cli import notify
from elastik_cli.serialio import ports
from elastik_cli.serialio.board import Board, BoardSettings
from elastik_cli.serialio.corewire import CoreWire, Listener
from elastik_cli.serialio.courier import Courier
from elastik_cli.serialio.door import Door
from elastik_cli.serialio.line import LineError, LineSettings
from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.outbox import Outbox
from elastik_cli.serialio.port import Port
from elastik_cli.serialio.recording import Recorder
from elastik_cli.serialio.spool import Spool
from elastik_cli.serialio.whereabouts import Sign

NEVER = float("inf")
SCAN_S = 2.0
LAST_WORDS_S = 0.4


@dataclass(frozen=True)
class Plan:
    """One board to serve: its port, its name if chosen, and everything else about it.

    The prefix may hold {id}, {serial}, {vid}, {pid}, {port} and {product}.
    """

    device: str
    id: str = ""
    prefix: str = "home/sensor/{id}"
    line: LineSettings = field(default_factory=LineSettings)
    board: BoardSettings = field(default_factory=lambda: BoardSettings("", ""))


@dataclass
class BridgeSettings:
    """What the bridge is to do."""

    plans: list[Plan]
    core: tuple[str, int]
    client: Callable[[], Any]
    every: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    template: Plan = field(default_factory=lambda: Plan(""))
    wait: bool = True
    spool: Path | None = None
    spool_bytes: int = 64 << 20
    listen: tuple[str, int] | None = None
    record: IO[str] | None = None
    source_port: int = 0


class Outlet:
    """Where one board's things go."""

    def __init__(self, bridge: Bridge, name: str, port: Port) -> None:
        self.bridge, self.name, self.port = bridge, name, port
        self.outbox = bridge.outbox
        host, number = bridge.settings.core
        source = bridge.settings.source_port
        self.wire = CoreWire(host, number, bridge.loop, self.say, source)

    def line(self, data: bytes) -> None:
        self.port.write(data)

    def show(self, text: str) -> None:
        self.bridge.show(self.name, text)

    def say(self, text: str) -> None:
        self.bridge.say(f"{self.name}: {text}")

    def wall(self) -> float:
        import time

        return time.time()


class Bridge:
    """Start it, run its loop, stop it."""

    def __init__(
        self,
        settings: BridgeSettings,
        loop: Loop,
        say: Callable[[str], None],
        show: Callable[[str, str], None],
    ) -> None:
        self.settings, self.loop, self.say, self.show = settings, loop, say, show
        spool = Spool(settings.spool, settings.spool_bytes) if settings.spool else None
        self.outbox = Outbox(say, spool)
        self.courier = Courier(self.outbox, loop, settings.client)
        self.boards: dict[str, Board] = {}
        self.ports: dict[str, Port] = {}
        self.door = Door(self.boards, self._to_client)
        self.sign: Sign | None = None
        self._listeners: list[Listener] = []
        self._scan_at = NEVER
        self._told: dict[str, str] | None = None
        self._ready = False
        self._watchdog = notify.watchdog_interval()
        self._sign_at = loop.now if self._watchdog else NEVER
        loop.parts += [self.courier, self.door, self]
        loop.after += [self.courier.pump, self._tell]

    # -- start and stop ------------------------------------------------------------------------

    def start(self) -> None:
        """Open what is there; LineError when a port must be there now and is not."""
        self._open_door()
        for plan in self.settings.plans:
            self._serve(plan)
        if self.settings.every:
            self._scan()
        self._tell()

    def _serve(self, plan: Plan) -> None:
        port = self._port(plan)
        try:
            port.open()
        except LineError as error:
            if not self.settings.wait or error.kind == "failed":
                raise
            if not plan.id:
                # Its name is not known before it is there: look again, without a board.
                self.say(f"{error}; waiting for it")
                self._wait_for(plan)
                return
            port.say(f"{error}; waiting for it")
        self._add(plan, port)

    def _port(self, plan: Plan) -> Port:
        file = self.settings.record
        recorder = Recorder(file, plan.device) if file is not None else None
        return Port(plan.device, plan.line, self.loop, self.say, recorder)

    def _wait_for(self, plan: Plan) -> None:
        waiting = self.settings.plans
        if plan not in waiting:
            waiting.append(plan)
        self._scan_at = self.loop.now + SCAN_S / 8

    def _add(self, plan: Plan, port: Port) -> None:
        name = plan.id or (port.device.name if port.device else "")
        if not name:
            port.close()
            raise LineError("failed", f"{plan.device}: has no name of its own; give it one: --id")
        name = self._unique(name, port)
        outlet = Outlet(self, name, port)
        prefix = prefix_for(plan.prefix, name, port.device)
        settings = replace(plan.board, id=name, prefix=prefix, baud=plan.line.baud)
        board = Board(settings, outlet, self.loop.now)
        outlet.wire.uplink = board.uplink
        port.say = outlet.say
        port.board = board
        self.boards[name], self.ports[name] = board, port
        self.loop.parts += [board, port]
        if port.line is not None and port.device is not None:
            board.plugged(port.device.device, self.loop.now)

    def _unique(self, name: str, port: Port) -> str:
        """Adapters that share one serial number are told apart by where they are plugged in."""
        if name not in self.boards:
            return name
        location = port.device.location if port.device else ""
        port.placed = self.ports[name].placed = bool(location)
        other = ports.sanitised(f"{name}-{location or len(self.boards)}")
        self.say(f"two boards are called {name}: the second is {other}; better give names")
        return other

    def stop(self) -> None:
        """Close the ports, say that the links are down, leave nothing half written."""
        now = self.loop.now
        served = [*self.boards.values(), *self.ports.values()]
        # From here on nothing is opened again.
        self.loop.parts = [part for part in self.loop.parts if part not in served]
        self._scan_at = NEVER
        for name, board in self.boards.items():
            board.unplugged(now)
            self.ports[name].close()
            board.uplink.close()
        until = self.loop.now + LAST_WORDS_S
        while self.outbox.waiting and not self.outbox.away and self.loop.now < until:
            self.courier.pump()
            self.loop.turn(0.05)
        self.courier.close(0.1)
        self.outbox.settle()
        if self.outbox.spool is not None:
            self.outbox.spool.close()
        for listener in self._listeners:
            listener.close()
        if self.sign is not None:
            self.sign.remove()

    # -- the door ------------------------------------------------------------------------------

    def _open_door(self) -> None:
        try:
            self.sign = Sign()
            unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            unix.bind(str(self.sign.socket))
            # The directory is ours alone; a service's is open, and there our group may ask.
            os.chmod(self.sign.socket, 0o660)
            self._listeners.append(self._listener(unix))
        except OSError as error:
            self.sign = None
            self.say(f"other programs cannot ask the boards: {error}")
        if self.settings.listen is not None:
            host, port = self.settings.listen
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            udp = socket.socket(family, kind)
            udp.bind(address)
            self._listeners.append(self._listener(udp))
            self.say(f"boards answer on coap://{host}:{udp.getsockname()[1]}/<board>/<path>")

    def _listener(self, sock: socket.socket) -> Listener:
        return Listener(sock, self.loop, self.door.received, self.door.gone)

    def _to_client(self, address: Any, data: bytes) -> None:
        listener, peer = address
        listener.send(peer, data)

    # -- time ----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        return min(self._scan_at, self._sign_at)

    def tick(self, now: float) -> None:
        if now >= self._sign_at and self._watchdog:
            notify.tell("WATCHDOG=1")
            self._sign_at = now + self._watchdog
        if now >= self._scan_at:
            self._scan_at = NEVER
            self._look_for_waiting()
            if self.settings.every:
                self._scan()

    def _look_for_waiting(self) -> None:
        have = {port.spec for port in self.ports.values()}
        for plan in [p for p in self.settings.plans if not p.id and p.device not in have]:
            try:
                if ports.find(plan.device) is None:
                    raise LineError("absent", plan.device)
                port = self._port(plan)
                port.open()
            except (LineError, ValueError):
                self._scan_at = self.loop.now + SCAN_S / 8
                continue
            self._add(plan, port)

    def _scan(self) -> None:
        """Serve boards that have come; those we have find their own way back."""
        self._scan_at = self.loop.now + SCAN_S
        mine = [p for p in self.ports.values() if p.device]
        found = ports.chosen(ports.devices(), self.settings.include, self.settings.exclude)
        for device in found:
            if any(self._has(port, device) for port in mine):
                continue
            plan = replace(self.settings.template, device=device.device)
            port = self._port(plan)
            try:
                port.open()
            except LineError as error:
                if error.kind not in ("busy", "absent"):
                    self.say(str(error))
                continue
            self._add(plan, port)

    @staticmethod
    def _has(port: Port, device: ports.Device) -> bool:
        """Whether `port` serves this board; not when it has open one that is only called so."""
        before = port.device
        if before is None or before.identity != device.identity:
            return False
        elsewhere = before.location != device.location
        return not (elsewhere and (port.placed or port.line is not None))

    def _tell(self) -> None:
        """Tell systemd and other commands what has changed."""
        devices = {name: board.device for name, board in self.boards.items() if board.plugged_in}
        if devices == self._told:
            return
        self._told = devices
        if self.sign is not None:
            self.sign.tell(devices)
        status = f"STATUS={len(devices)} of {len(self.boards)} boards plugged in"
        if (devices or self.settings.every) and not self._ready:
            self._ready = True
            notify.tell("READY=1", status)
        else:
            notify.tell(status)

    def report(self) -> str:
        """The counters of all boards and of what is written, as JSON Lines."""
        spool = self.outbox.spool
        written: dict[str, object] = dict(self.outbox.counted)
        written |= {"away": self.outbox.away, "waiting": self.outbox.waiting}
        written |= {"spool_bytes": spool.bytes if spool is not None else 0}
        records = [board.stats() for board in self.boards.values()] + [{"written": written}]
        return "".join(json.dumps(record) + "\n" for record in records)

    def on_signals(self) -> list[int]:
        """End on SIGINT and SIGTERM, report on SIGUSR1; the list gets the signal that ended it."""
        ended: list[int] = []

        def end(number: int) -> Callable[[], None]:
            def ending() -> None:
                ended.append(number)
                self.loop.stop()

            return ending

        for number in (signal.SIGINT, signal.SIGTERM):
            self.loop.on_signal(number, end(number))
        self.loop.on_signal(signal.SIGUSR1, lambda: self.say(self.report().rstrip()))
        return ended


def prefix_for(template: str, name: str, device: ports.Device | None) -> str:
    """The world prefix of a board; ValueError for a placeholder that there is not."""
    from elastik import paths

    facts = {"id": name, "port": ports.sanitised(os.path.basename(device.device if device else ""))}
    facts["serial"] = ports.sanitised(device.serial) if device and device.serial else name
    facts["vid"], _, facts["pid"] = (device.usb if device else "").partition(":")
    facts["product"] = ports.sanitised(device.product) if device and device.product else "board"
    try:
        return paths.canonical(template.format(**facts))
    except (KeyError, IndexError) as error:
        raise ValueError(f"the prefix knows no {{{error.args[0]}}}") from None
