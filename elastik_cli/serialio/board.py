"""One board: everything between its line, the core and those who ask it. No device, no clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from elastik.coap import linkformat, messages
from elastik.coap.blocks import DEFAULT_MTU, Limits
from elastik.coap.messages import CON, EMPTY, GET, RST, Message
from elastik.coap.talker import LINE_TOKEN_BYTES, Outcome, Talker
from elastik_cli.quantities import rfc3339
from elastik_cli.serialio import slipmux, textline
from elastik_cli.serialio.diagnostics import Lines
from elastik_cli.serialio.observing import Observer
from elastik_cli.serialio.outbox import Fate, Outbox
from elastik_cli.serialio.rewrite import Profile
from elastik_cli.serialio.spool import Reading
from elastik_cli.serialio.uplink import Uplink, Wire
from elastik_cli.serialio.writes import Writes

NEVER = float("inf")
MISSES = 3
SETTLE_S = 1.0
STATS_EVERY_S, LOG_EVERY_S = 60.0, 5.0


@dataclass(frozen=True)
class BoardSettings:
    """What is chosen for one board."""

    id: str
    prefix: str
    baud: int = 115200
    mtu: int = DEFAULT_MTU
    protocol: str = "slipmux"
    up: str = "coap"
    token: bytes = b""
    trust_token: bool = False
    ping: float = 10.0
    response_timeout: float = 30.0
    observe: tuple[str, ...] = ("auto",)
    worlds: bool = True


class Outlets(Protocol):
    """Where a board's things go."""

    @property
    def outbox(self) -> Outbox:
        """What is written over HTTP."""

    @property
    def wire(self) -> Wire:
        """The way to the core's CoAP door."""

    def line(self, data: bytes) -> None:
        """Bytes for the board; what the line cannot take is lost, as on any line."""

    def show(self, text: str) -> None:
        """A line that the board printed."""

    def say(self, text: str) -> None:
        """A line about the board."""

    def wall(self) -> float:
        """Unix time in seconds."""


@dataclass
class Tap:
    """Somebody who sees the frames of a line go by: direction `<` or `>`, kind, bytes."""

    seen: Callable[[str, str, bytes], None] = field(default=lambda way, kind, data: None)


class Board:
    """Give it what arrives and the time; it gives what goes out to its outlets."""

    def __init__(self, settings: BoardSettings, outlets: Outlets, now: float = 0.0) -> None:
        self.settings, self.outlets, self.now = settings, outlets, now
        self.counted: Counter[str] = Counter()
        self.plugged_in, self.state, self.since = False, "down", outlets.wall()
        self.device = ""
        self.tap = Tap()
        self.lines = Lines(outlets.show)
        limits = Limits(settings.mtu)
        self.talker = Talker(
            self.send,
            limits,
            settings.baud,
            settings.response_timeout,
            token_bytes=LINE_TOKEN_BYTES,
        )
        profile = Profile(settings.prefix, settings.token, settings.mtu, settings.trust_token)
        self.uplink = Uplink(profile, outlets.wire, self.send)
        self.uplink.own_mid = lambda: self.talker.open_mid
        self.talker.taken = self.uplink.uses
        self.writes = Writes(profile, outlets.outbox, self.send, outlets.wall)
        self.observers: dict[str, Observer] = {}
        self._frames = slipmux.Decoder()
        self._text = textline.LineDecoder()
        self._heard_at, self._missed, self._pinging = now, 0, False
        self._ping_at = self._discover_at = NEVER
        self._stats_at, self._log_at = now + STATS_EVERY_S, now + LOG_EVERY_S
        self._last_stats = ""
        self._opened = 0

    @property
    def id(self) -> str:
        return self.settings.id

    # -- the line ------------------------------------------------------------------------------

    def plugged(self, device: str, now: float) -> None:
        """The line is open."""
        self.now, self.device, self.plugged_in = now, device, True
        self._frames.reset()
        self._text.reset()
        self._opened += 1
        self.counted["opened"] += 1
        if self._opened > 1:
            self.uplink.renew()
            self.writes.renew(now)
        self._heard_at, self._missed, self._pinging = now, 0, False
        self._become("up")
        if self.settings.protocol == "slipmux":
            self.outlets.line(b"\xc0\xc0")
            # A board that was reset by the opening needs a moment.
            self._ping_at = now + SETTLE_S if self.settings.ping else NEVER
            self._start_observing(now)

    def unplugged(self, now: float) -> None:
        """The line is gone."""
        self.now, self.plugged_in = now, False
        self._ping_at = self._discover_at = NEVER
        # First the failures: a failed registration would ask for a next one.
        self.talker.fail_all("down", now)
        for observer in self.observers.values():
            observer.stop()
        self._become("down")

    def received(self, data: bytes, now: float) -> None:
        """Bytes of the board."""
        self.now, self._heard_at, self._missed = now, now, 0
        self.counted["bytes_in"] += len(data)
        if self.state != "up":
            self._become("up")
        if self.settings.protocol == "text":
            for line in self._text.feed(data):
                self._text_line(line)
            return
        for frame in self._frames.feed(data):
            self.counted[frame.kind] += 1
            self.tap.seen("<", frame.kind, frame.data)
            if frame.kind == "coap":
                self._coap(frame.data)
            elif frame.kind == "diag":
                self.lines.feed(frame.data, now)

    def send(self, message: Message) -> None:
        """A message for the board."""
        data = messages.encode(message)
        frame = slipmux.encode_coap(data)
        self.counted["frames_out"] += 1
        self.counted["bytes_out"] += len(frame)
        self.tap.seen(">", "coap", data)
        if self.plugged_in:
            self.outlets.line(frame)

    def _coap(self, data: bytes) -> None:
        try:
            message = messages.decode(data)
        except messages.BadMessage as bad:
            self.counted["bad_messages"] += 1
            if bad.resettable is not None:
                self.send(messages.empty(RST, bad.resettable))
            return
        if message.is_request:
            if not (self.settings.up == "http" and self.writes.take(message, data, self.now)):
                self.uplink.request(message, self.now)
        elif message.code == EMPTY and message.type == CON:
            self.send(messages.empty(RST, message.mid))
        elif not self.talker.received(message, self.now) and not self._for_core(message):
            self.counted["stray"] += 1
            if message.type == CON:
                self.send(messages.empty(RST, message.mid))

    def _for_core(self, message: Message) -> bool:
        return message.code == EMPTY and self.uplink.control(message)

    def _text_line(self, line: bytes) -> None:
        try:
            found = textline.readings(line)
        except textline.NoReading:
            self.lines.feed(line + b"\n", self.now)
            return
        for reading in found:
            self.counted["text_readings"] += 1
            self.writes.text(reading, self.now, self._text_fate)

    def _text_fate(self, fate: Fate) -> None:
        self.counted["text_stored" if fate.stored else "text_lost"] += 1

    # -- asking the board ----------------------------------------------------------------------

    def _start_observing(self, now: float) -> None:
        for path in self.settings.observe:
            if path == "auto":
                self._discover_at = now + SETTLE_S
            elif path != "none":
                self._observe(path)
        for observer in self.observers.values():
            observer.start(now, SETTLE_S)

    def _observe(self, path: str) -> Observer:
        """The one observation of a resource, however many want it; kept in a world."""
        observer = self.observer(path)
        observer.kept = True
        return observer

    def observer(self, path: str) -> Observer:
        """The one observation of a resource, begun by whoever asks first."""
        if path not in self.observers:
            self.observers[path] = Observer(
                path, self.talker, self._observed, self.outlets.say, lambda: self.now
            )
        return self.observers[path]

    def release(self, observer: Observer) -> None:
        """End an observation that nobody wants any more."""
        if not observer.kept and not observer.listeners:
            self.observers.pop(observer.path, None)
            observer.cancel(self.now)

    def _discover(self) -> None:
        options = messages.path_options(".well-known/core")
        self.talker.ask(Message(CON, GET, 0, options=tuple(options)), self._discovered, self.now)

    def _discovered(self, outcome: Outcome) -> None:
        if outcome.message is None or not outcome.message.ok:
            return
        for link in linkformat.links(outcome.message.payload):
            path = link.path.strip("/")
            if link.observable and path:
                observer = self._observe(path)
                if not observer.active:
                    observer.start(self.now)

    def _observed(self, observer: Observer, message: Message) -> None:
        self.counted["observed"] += 1
        if observer.kept:
            self.writes.observed(observer.path, message, self.now)

    # -- time ----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        observed = min((o.deadline for o in self.observers.values()), default=NEVER)
        own = min(self._ping_at, self._discover_at, self._stats_at, self._log_at)
        return min(self.talker.deadline, self.lines.deadline, observed, own)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self.now = now
        self.lines.tick(now)
        if self.plugged_in:
            self.talker.tick(now)
            self._liveness(now)
            if now >= self._discover_at:
                self._discover_at = NEVER
                self._discover()
            for observer in list(self.observers.values()):
                observer.tick(now)
        self._report(now)

    def _liveness(self, now: float) -> None:
        if now < self._ping_at:
            return
        quiet_until = self._heard_at + self.settings.ping
        first = self._opened and self._heard_at + SETTLE_S >= self._ping_at
        if self._pinging or (now < quiet_until and not first) or not self.talker.idle:
            self._ping_at = max(quiet_until, now + SETTLE_S)
            return
        self._pinging = True
        self._ping_at = now + self.settings.ping
        self.talker.ping(self._ponged, now)

    def _ponged(self, outcome: Outcome) -> None:
        self._pinging = False
        if outcome.message is not None:
            self._missed = 0
            return
        self._missed += outcome.failure == "timeout"
        if self._missed == MISSES:
            self._become("silent")

    # -- worlds of the bridge ------------------------------------------------------------------

    def _become(self, state: str) -> None:
        if state == self.state:
            return
        self.state, self.since = state, self.outlets.wall()
        self.counted[f"became_{state}"] += 1
        where = f" {self.device}" if self.device else ""
        self.outlets.say({"up": "up", "down": "down", "silent": "no answer"}[state] + where)
        word = "up" if state == "up" else "down"
        text = f"{word} since {rfc3339(self.since)}{where}"
        self._world("link", text + ("\n" if state != "silent" else " no answer\n"))

    def _report(self, now: float) -> None:
        if now >= self._log_at:
            self._log_at = now + LOG_EVERY_S
            if self.lines.changed:
                self.lines.changed = False
                self._world("log", self.lines.text())
        if now >= self._stats_at:
            self._stats_at = now + STATS_EVERY_S
            text = json.dumps(self.stats())
            if text != self._last_stats:
                self._last_stats = text
                self._world("stats", text, "application/json")

    def stats(self) -> dict[str, object]:
        """Counters of the line, the way up, the way down and the diagnostics."""
        frames = {k.replace("err:", "bad_"): v for k, v in sorted(self.counted.items())}
        return {
            "id": self.id,
            "state": self.state,
            "since": rfc3339(self.since),
            "line": frames,
            "up": vars(self.uplink.counted) | self.writes.counted,
            "down": vars(self.talker.counted),
            "diagnostics": {"lines": self.lines.lines, "hidden": self.lines.hidden},
        }

    def _world(self, name: str, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        if self.settings.worlds:
            world = f"{self.settings.prefix}/{name}"
            body, wall = text.encode(), self.outlets.wall()
            self.outlets.outbox.state(Reading("PUT", world, body, kind, wall, ""))
