"""A board's own resources, kept in worlds: register, take what comes newer, register again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elastik.coap import messages
from elastik.coap.freshness import fresh_for, newer
from elastik.coap.messages import BLOCK2, GET, OBSERVE, Message
from elastik.coap.talker import Outcome, Talker

NEVER = float("inf")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0
Listener = Callable[[Message], None]


class Observer:
    """One observed resource. `store` gets each new value, `say` what a person should know.

    `listeners` get each value too. `ready` callbacks get the outcome of the next registration.
    """

    def __init__(
        self,
        path: str,
        talker: Talker,
        store: Callable[[Observer, Message], None],
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.path, self.talker, self.store, self.say, self.clock = path, talker, store, say, clock
        self.deadline = NEVER
        self.kept = self.active = False
        self.listeners: list[Listener] = []
        self.ready: list[Callable[[Outcome], None]] = []
        self.latest: Message | None = None
        self.notifications = self.older = 0
        self._token = b""
        self._last: tuple[int, float] | None = None
        self._pause = FIRST_PAUSE_S
        self._operation: Any = None
        self._plain = False

    def start(self, now: float, delay: float = 0.0) -> None:
        """Register, at once or after `delay` seconds."""
        self._last, self._token, self._plain = None, b"", False
        self._operation = None
        self.deadline = now + delay

    def stop(self) -> None:
        """The line is gone, and with it what the board knew of us."""
        self.talker.forget(self._token)
        self.deadline, self.active, self.latest = NEVER, False, None

    def cancel(self, now: float) -> None:
        """Tell the board that nobody listens any more (RFC 7641 §3.6)."""
        was_active, token = self.active, self._token
        self.stop()
        if was_active:
            options = [*messages.path_options(self.path), (OBSERVE, b"\x01")]
            request = Message(0, GET, 0, options=messages.ordered(options))
            self.talker.ask(request, lambda outcome: None, now, token=token)

    def tick(self, now: float) -> None:
        """Register, or register again, when it is time."""
        if now < self.deadline or self._operation is not None:
            return
        self.deadline = NEVER
        options = [*messages.path_options(self.path), (OBSERVE, b"")]
        request = Message(0, GET, 0, options=messages.ordered(options))
        operation = self.talker.ask(
            request, self._registered, now, notified=self._notified, token=self._token
        )
        # A busy line may have answered already, within the call.
        self._operation = None if self.deadline != NEVER else operation

    def _registered(self, outcome: Outcome) -> None:
        now, operation = self.clock(), self._operation
        self._operation = None
        answer = outcome.message
        self.active = False
        self._told(outcome)
        if answer is None or not answer.ok:
            why = outcome.failure if answer is None else messages.code_text(answer.code)
            if why != "down":
                self.say(f"{self.path}: cannot be observed now ({why}); asking again")
            self.deadline = now + self._pause
            self._pause = min(LONGEST_PAUSE_S, self._pause * 2)
            return
        self._pause = FIRST_PAUSE_S
        if operation is not None:
            self._token = operation.token
        if answer.value(OBSERVE) is None:
            if not self._plain:
                self.say(f"{self.path}: the board does not offer it for observation")
            self._plain = True
            self.deadline = NEVER
            self._value(answer)
            return
        self.active = True
        self._take(answer, now)

    def _told(self, outcome: Outcome) -> None:
        waiting, self.ready = self.ready, []
        for ready in waiting:
            ready(outcome)

    def _value(self, message: Message) -> None:
        self.latest = message
        self.store(self, message)
        for listener in list(self.listeners):
            listener(message)

    def _notified(self, message: Message, now: float) -> None:
        if not message.ok or message.value(OBSERVE) is None:
            # The board ended it: RFC 7641 §3.2.
            self.talker.forget(message.token)
            self.active = False
            self.deadline = now + self._pause
            return
        self.notifications += 1
        self._take(message, now)

    def _take(self, message: Message, now: float) -> None:
        number = message.uint(OBSERVE) or 0
        if self._last is not None and not newer(*self._last, number, now):
            self.older += 1
            return
        self._last = (number, now)
        self.deadline = now + fresh_for(message)
        block = message.sound_block(BLOCK2)
        if block is not None and block.more:
            request = Message(0, GET, 0, options=tuple(messages.path_options(self.path)))
            self.talker.ask(request, self._whole, now)
        else:
            self._value(message)

    def _whole(self, outcome: Outcome) -> None:
        if outcome.message is not None and outcome.message.ok:
            self._value(outcome.message)
