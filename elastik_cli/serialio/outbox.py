"""What the bridge writes over HTTP, in order: readings, observed values, link state, counters.

No thread and no socket: `next` gives the write that may go now, `finished` takes its fate. One
write is under way at a time, so the order of any world is the order of its readings.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from elastik_cli.serialio.spool import Full, Reading, Spool

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
# An answer to a board must come before the board repeats (RFC 7252: 2 s).
PATIENCE_S = 1.0
# How long a board repeats itself (RFC 7252 §4.8.2); after that nobody waits for the answer.
SPAN_S = 45.0
MOST_READINGS = 1000
NEVER = float("inf")


@dataclass(frozen=True)
class Fate:
    """What became of a write: an HTTP status, or 0 when nothing answered."""

    status: int
    text: str = ""
    unsent: bool = False

    @property
    def stored(self) -> bool:
        return 200 <= self.status < 300

    @property
    def passing(self) -> bool:
        """Whether the same write may succeed later. A wrong token may be mended: 401, 403."""
        return self.status in (0, 401, 403, 408, 425, 429, 507) or self.status >= 500


KEPT = Fate(202, "kept in the spool")
AWAY = Fate(0, "the core is away")
FULL = Fate(0, "the spool is full")
UNKNOWN = Fate(-1, "nobody knows")

Told = Callable[[Fate], None]


@dataclass
class Live:
    """A reading that its board waits for, until when, and whom to tell."""

    reading: Reading
    told: Told
    until: float
    lost_at: float
    spooled: bool = False
    tried: bool = False


@dataclass
class Outbox:
    """The queue. `say` gets one line for each change that a person should know."""

    say: Callable[[str], None]
    spool: Spool | None = None
    away: bool = False
    counted: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("stored", "spooled", "delivered", "refused", "dropped", "doubtful", "tries"), 0
        )
    )

    def __post_init__(self) -> None:
        self._live: deque[Live] = deque()
        self._states: OrderedDict[str, Reading] = OrderedDict()
        self._under_way: Live | Reading | None = None
        self._from_spool = False
        self._unsynced: list[Told] = []
        self._pause, self._not_before = FIRST_PAUSE_S, 0.0
        self._turn = 0
        self._trouble = ""
        # Keys of spooled readings whose first try turned out to be stored after all.
        self._void: set[str] = set()

    # -- in ------------------------------------------------------------------------------------

    def reading(self, reading: Reading, told: Told, now: float) -> None:
        """Store a reading; `told` hears soon whether it is stored, kept, or neither."""
        if self.spool is not None and (self.away or self.spool.waiting[reading.world]):
            self._keep(reading, told)
            return
        if self.away and not self._due(now):
            told(AWAY)
            return
        if len(self._live) >= MOST_READINGS:
            self.counted["dropped"] += 1
            told(Fate(503, "too many readings wait"))
            return
        self._live.append(Live(reading, told, now + PATIENCE_S, now + SPAN_S))

    def state(self, reading: Reading) -> None:
        """Write the newest value of a world whose older ones need not be kept."""
        self._states.pop(reading.world, None)
        self._states[reading.world] = reading

    def _keep(self, reading: Reading, told: Told) -> None:
        assert self.spool is not None
        try:
            self.spool.append(reading)
        except Full as full:
            self.counted["dropped"] += 1
            self._speak(f"the spool is full: {full}")
            told(FULL)
            return
        except OSError as error:
            self.counted["dropped"] += 1
            self._speak(f"the spool cannot be written: {error}")
            told(FULL)
            return
        self.counted["spooled"] += 1
        self._unsynced.append(told)

    def settle(self) -> None:
        """End of a turn: sync the spool once, then answer all that were waiting for it."""
        if not self._unsynced or self.spool is None:
            return
        told, self._unsynced = self._unsynced, []
        fate = KEPT
        try:
            self.spool.sync()
        except OSError as error:
            self._speak(f"the spool cannot be synced: {error}")
            fate = FULL
        for tell in told:
            tell(fate)

    # -- out -----------------------------------------------------------------------------------

    def next(self, now: float) -> Reading | None:
        """The write to do now; None while one is under way or nothing is due."""
        if self._under_way is not None or not self._due(now):
            return None
        for source in self._sources():
            if reading := source():
                self.counted["tries"] += 1
                return reading
        return None

    def _sources(self) -> list[Callable[[], Reading | None]]:
        # Turns, so that a long spool does not hold up the live readings of other worlds.
        self._turn += 1
        order = [self._take_live, self._take_spooled, self._take_state]
        if self._turn % 2:
            order = [self._take_spooled, self._take_live, self._take_state]
        return order

    def _take_live(self) -> Reading | None:
        if not self._live:
            return None
        self._under_way, self._from_spool = self._live[0], False
        return self._live[0].reading

    def _take_spooled(self) -> Reading | None:
        if self.spool is None:
            return None
        while (head := self.spool.head()) is not None:
            if head.key not in self._void:
                self._under_way, self._from_spool = head, True
                return head
            self._void.discard(head.key)
            self.spool.delivered()
        return None

    def _take_state(self) -> Reading | None:
        if not self._states:
            return None
        _, reading = self._states.popitem(last=False)
        self._under_way, self._from_spool = reading, False
        return reading

    def finished(self, fate: Fate, now: float) -> None:
        """The write given by `next` has ended so."""
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        self._health(fate, now)
        if isinstance(under_way, Live):
            self._live_ended(under_way, fate, now)
        elif self._from_spool:
            self._spooled_ended(under_way, fate)
        elif fate.passing:
            self._states.setdefault(under_way.world, under_way)
        elif not fate.stored:
            self._speak(f"{under_way.world}: refused with {fate.status} {fate.text}")

    def _health(self, fate: Fate, now: float) -> None:
        if not fate.passing:
            if self.away:
                self.say("the core is back")
            self.away, self._pause, self._not_before, self._trouble = False, FIRST_PAUSE_S, 0.0, ""
            return
        if not self.away:
            self.say(f"the core is away: {fate.text or fate.status}")
        self.away = True
        self._not_before = now + self._pause
        self._pause = min(LONGEST_PAUSE_S, self._pause * 2)

    def _live_ended(self, live: Live, fate: Fate, now: float) -> None:
        self._live.remove(live)
        if fate.passing and not fate.unsent:
            # Nobody knows whether it is stored. Should the core forget its key, it is doubled.
            self.counted["doubtful"] += 1
        self.counted["stored"] += fate.stored
        if live.spooled:
            if not fate.passing and self.spool is not None:
                self._void.add(live.reading.key)
        elif fate.passing and self.spool is not None:
            self._keep(live.reading, live.told)
            self._keep_live(None)
        elif fate.passing and (live.tried or not fate.unsent):
            # It may be stored. A refusal would bring it again as a new one, under a new key.
            live.tried = True
            if now < live.lost_at:
                self._live.appendleft(live)
            else:
                live.told(UNKNOWN)
        else:
            live.told(fate)

    def _keep_live(self, world: str | None) -> None:
        """Move what has not gone out to the spool, in order: all of it, or one world's."""
        for live in [entry for entry in self._live if entry is not self._under_way]:
            if world in (None, live.reading.world):
                self._live.remove(live)
                self._keep(live.reading, live.told)

    def _spooled_ended(self, reading: Reading, fate: Fate) -> None:
        assert self.spool is not None
        if fate.stored:
            self.counted["delivered"] += 1
            self.spool.delivered()
        elif not fate.passing:
            self.counted["refused"] += 1
            self.spool.refuse_head(f"{fate.status} {fate.text}")
            self.say(f"{reading.world}: refused with {fate.status} {fate.text}; see refused.jsonl")

    # -- time ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Keep, or refuse, the readings whose boards must be answered now."""
        for live in [entry for entry in self._live if now >= entry.until]:
            if live.spooled or live not in self._live:
                continue
            if self.spool is None:
                self._without_spool(live, now)
                continue
            live.spooled = True
            if live is self._under_way:
                self._keep(live.reading, live.told)
            else:
                self._keep_live(live.reading.world)

    def _without_spool(self, live: Live, now: float) -> None:
        """Refuse what was never tried; say nothing about what may be stored."""
        if live is self._under_way or (live.tried and now < live.lost_at):
            live.until = max(live.lost_at, now + PATIENCE_S)
            return
        self._live.remove(live)
        live.told(UNKNOWN if live.tried else AWAY)

    @property
    def deadline(self) -> float:
        soonest = min((live.until for live in self._live if not live.spooled), default=NEVER)
        if self._under_way is None and (self._live or self._states or self._spooled()):
            return min(soonest, self._not_before)
        return soonest

    @property
    def waiting(self) -> int:
        """Writes that have not reached the core."""
        return len(self._live) + len(self._states) + self._spooled()

    def _spooled(self) -> int:
        return self.spool.count if self.spool is not None else 0

    def _due(self, now: float) -> bool:
        return now >= self._not_before

    def _speak(self, text: str) -> None:
        """Say a trouble once, not for each reading it meets."""
        if text.split(":")[0] != self._trouble:
            self._trouble = text.split(":")[0]
            self.say(text)
