"""Asking a CoAP server over UDP: a blocking endpoint, no thread, no event loop (RFC 7252 §4)."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from elastik.coap import messages
from elastik.coap.blocks import Limits, Progress, once, transfer
from elastik.coap.messages import CON, RST, Message
from elastik.coap.persevering import Moves, Pause, persevering
from elastik.coap.talker import Outcome, Talker

Answer = TypeVar("Answer")

# What 8.3 and the core take as one datagram (RFC 7252 §4.6), in bytes.
MAX_DATAGRAM = 1152
LARGEST_DATAGRAM, LARGEST_BLOCK = 65535, 1024
# RFC 7252 §4.8: first wait in seconds, the spread of its start, number of repetitions.
ACK_TIMEOUT, ACK_RANDOM_FACTOR, MAX_RETRANSMIT = 2.0, 1.5, 4
# RFC 8085 §3.1.1 allows a shorter first wait, but none below one second.
SHORTEST_WAIT = 1.0
# How many datagrams are still looked at when the answer is there.
REPEATED = 8


class TooLarge(ValueError):
    """A body that does not fit one datagram, where blocks were not wanted."""


def ask(
    host: str,
    port: int,
    request: Message,
    timeout: float,
    *,
    block_wise: bool = True,
    block_size: int = LARGEST_BLOCK,
    progress: Progress = lambda *_: None,
) -> tuple[Message, bytes]:
    """The whole answer to `request`, and the first datagram that brought it.

    `timeout` is seconds for each message and its answer, repetitions included.

    Raises:
        TimeoutError: nobody answered in time.
        ConnectionError: refused, or the peer rejected the message.
        TooLarge: without `block_wise`, a body or an answer that needs blocks.
    """
    rand = random.SystemRandom()
    early = block_size < LARGEST_BLOCK
    limits = Limits(MAX_DATAGRAM, messages.szx_for(block_size), rand.randbytes(3), early)
    if not block_wise and not limits.fits(request):
        size = len(messages.encode(request)) + 4
        raise TooLarge(
            f"CoAP packet ({size} bytes) exceeds {MAX_DATAGRAM} byte datagram limit; "
            "use HTTP for large payloads"
        )

    def run(endpoint: Endpoint) -> tuple[Message, bytes]:
        steps = transfer(request, limits, progress) if block_wise else once(request)
        answer = endpoint.drive(persevering(steps), timeout)
        block = answer.sound_block(messages.BLOCK2)
        if not block_wise and block is not None and block.more:
            raise TooLarge("the answer comes in several blocks")
        return answer, endpoint.first_raw

    return _at_any_address(host, port, timeout, run)


def ping(host: str, port: int, timeout: float) -> float:
    """Seconds until the server gave a sign of life: a reset of an empty message (§4.3)."""
    return _at_any_address(host, port, timeout, lambda endpoint: endpoint.ping(timeout))


def _at_any_address(
    host: str, port: int, timeout: float, action: Callable[[Endpoint], Answer]
) -> Answer:
    """Do `action` at the first address of `host` where somebody is."""
    refused: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM
    ):
        try:
            with Endpoint(socket.socket(family, kind, protocol), timeout) as endpoint:
                # Connected: datagrams of other peers never reach us, refusals do.
                endpoint.sock.connect(address)
                return action(endpoint)
        except TimeoutError:
            raise
        except OSError as error:
            refused = error
    raise refused or OSError(f"no address for {host}")


class Endpoint:
    """One socket and the exchanges on it, one after the other."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self.sock = sock
        self.first_raw = b""
        self.talker = Talker(
            self._send,
            baud=float("inf"),
            response_timeout=timeout,
            ack_timeout=max(SHORTEST_WAIT, min(ACK_TIMEOUT, timeout / 4)),
            ack_random_factor=ACK_RANDOM_FACTOR,
            retransmissions=MAX_RETRANSMIT,
            rand=random.SystemRandom(),
        )

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def drive(self, moves: Moves, timeout: float) -> Message:
        """Make every move of `moves`; what it returns in the end."""
        try:
            move = next(moves)
            while True:
                if isinstance(move, Pause):
                    time.sleep(move.seconds)
                    move = next(moves)
                else:
                    move = moves.send(self.exchange(move, timeout))
        except StopIteration as end:
            answer: Message = end.value
        self._acknowledge_repeated()
        return answer

    def exchange(self, step: Message, timeout: float) -> Message:
        """One message and its answer."""
        outcomes: list[Outcome] = []
        now = time.monotonic()
        self.talker.exchange(step, outcomes.append, now)
        return self._until(outcomes, now + timeout)

    def ping(self, timeout: float) -> float:
        """Seconds until an empty message was reset."""
        outcomes: list[Outcome] = []
        now = time.monotonic()
        self.talker.ping(outcomes.append, now, attempts=MAX_RETRANSMIT)
        self._until(outcomes, now + timeout)
        return outcomes[0].seconds

    def _until(self, outcomes: list[Outcome], deadline: float) -> Message:
        while not outcomes:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError
            self.talker.tick(now)
            if not outcomes:
                self._take(min(deadline, self.talker.deadline) - now)
        if outcomes[0].failure == "reset":
            raise ConnectionResetError("the peer rejected the message")
        if outcomes[0].message is None:
            raise TimeoutError
        return outcomes[0].message

    def _take(self, wait: float) -> bool:
        """Take the next datagram; False when none came within `wait` seconds."""
        # Zero would mean not to wait at all, and BlockingIOError instead of TimeoutError.
        self.sock.settimeout(max(wait, 0.0001))
        try:
            data = self.sock.recv(LARGEST_DATAGRAM)
            message = messages.decode(data)
        except TimeoutError:
            return False
        except messages.BadMessage as bad:
            # RFC 7252 §4.2: a confirmable message that cannot be read is rejected.
            if bad.resettable is not None:
                self._send(messages.empty(RST, bad.resettable))
            return True
        ours = self.talker.received(message, time.monotonic())
        if not ours and message.type == CON:
            self._send(messages.empty(RST, message.mid))
        elif ours and message.is_response and not self.first_raw:
            self.first_raw = data
        return True

    def _acknowledge_repeated(self) -> None:
        """A separate answer may have come twice; whoever repeats it wants to be told (§4.2)."""
        with contextlib.suppress(OSError):
            for _ in range(REPEATED):
                if not self._take(0):
                    break

    def _send(self, message: Message) -> None:
        self.sock.send(messages.encode(message))
