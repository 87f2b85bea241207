"""The way down for everybody else: a CoAP server in front of the boards, `/<board>/<its path>`.

Message ids and tokens of the clients stay on this side; on the line there are only ours. No
socket here: `send` takes datagrams to an address, `received` and `tick` get the time.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace

from elastik.coap import messages
from elastik.coap.messages import (
    ACK,
    BLOCK1,
    BLOCK2,
    CON,
    CONTENT_FORMAT,
    EMPTY,
    ETAG,
    GET,
    MAX_AGE,
    NON,
    OBSERVE,
    RST,
    SIZE2,
    URI_HOST,
    URI_PATH,
    URI_PORT,
    URI_QUERY,
    Block,
    Message,
)
from elastik.coap.talker import Operation, Outcome
from elastik_cli.serialio.assembling import Assembler
from elastik_cli.serialio.board import Board
from elastik_cli.serialio.observing import Observer

NEVER = float("inf")
# RFC 7252 §5.2.2: before the client repeats, it hears that the answer comes later.
PATIENCE_S = 1.0
ACK_TIMEOUT_S, RETRANSMISSIONS = 2.0, 4
REMEMBERED, LIFETIME_S = 2048, 247.0
LARGEST_SZX = 6
KEPT_BODIES = 32
CON_EVERY = 16

Address = Hashable
# What an operation that got no answer becomes: RFC 7252 §5.9.3.
FAILED = {
    "timeout": (messages.GATEWAY_TIMEOUT, b"the board does not answer"),
    "reset": (messages.SERVER_ERROR + 2, b"the board rejected the message"),
    "down": (messages.UNAVAILABLE, b"the board is not plugged in"),
    "busy": (messages.UNAVAILABLE, b"too many requests wait for this board"),
}


@dataclass
class Asked:
    """A client's request while its answer is not there."""

    address: Address
    message: Message
    key: Hashable
    promise_at: float
    operation: Operation | None = None
    promised: bool = False


@dataclass
class Unconfirmed:
    """A CON of ours that its client has not acknowledged."""

    address: Address
    data: bytes
    deadline: float
    token: bytes
    tries: int = 0


@dataclass
class Watch:
    """A client's observation: of which board's resource, how often it was told."""

    board: Board
    observer: Observer
    listener: Callable[[Message], None]
    told: int = 0


@dataclass
class Door:
    """The server. `boards` may grow and shrink while it runs."""

    boards: Mapping[str, Board]
    send: Callable[[Address, bytes], None]
    rand: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._mid = self.rand.randrange(0x10000)
        self._open: dict[Hashable, Asked] = {}
        self._seen: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self._unconfirmed: dict[tuple[Address, int], Unconfirmed] = {}
        self._watches: dict[tuple[Address, bytes], Watch] = {}
        self._bodies: OrderedDict[Hashable, Message] = OrderedDict()
        self._mids: OrderedDict[tuple[Address, int], bytes] = OrderedDict()
        self._assembler = Assembler()

    # -- in ------------------------------------------------------------------------------------

    def received(self, address: Address, data: bytes, now: float) -> None:
        """A datagram of a client."""
        try:
            message = messages.decode(data)
        except messages.BadMessage as bad:
            if bad.resettable is not None:
                self.send(address, messages.encode(messages.empty(RST, bad.resettable)))
            return
        if message.code == EMPTY:
            self._control(address, message)
        elif message.is_request and message.type in (CON, NON):
            self._request(address, message, data, now)
        elif message.type == CON:
            self.send(address, messages.encode(messages.empty(RST, message.mid)))

    def _control(self, address: Address, message: Message) -> None:
        if message.type == CON:
            self.send(address, messages.encode(messages.empty(RST, message.mid)))
            return
        self._unconfirmed.pop((address, message.mid), None)
        token = self._mids.get((address, message.mid))
        if message.type == RST and token is not None:
            self._unwatch(address, token)

    def _request(self, address: Address, message: Message, data: bytes, now: float) -> None:
        key = (address, message.mid, data)
        while self._seen and (
            len(self._seen) > REMEMBERED or now - next(iter(self._seen.values()))[0] > LIFETIME_S
        ):
            self._seen.popitem(last=False)
        if key in self._seen:
            if self._seen[key][1]:
                self.send(address, self._seen[key][1])
            return
        self._seen[key] = (now, b"")
        asked = self._open[key] = Asked(address, message, key, now + PATIENCE_S)
        self._route(asked, now)

    def _route(self, asked: Asked, now: float) -> None:
        message = asked.message
        segments = messages.path_of(message)
        if segments == [b".well-known", b"core"] and message.code == GET:
            links = ",".join(f'</{name}>;rt="elastik.board"' for name in sorted(self.boards))
            self._answer(asked, messages.CONTENT, links.encode(), [(CONTENT_FORMAT, b"\x28")], now)
            return
        board = self.boards.get(segments[0].decode("utf-8", "replace")) if segments else None
        if board is None:
            self._answer(asked, messages.NOT_FOUND, b"no such board", [], now)
            return
        if self._from_kept(asked, now):
            return
        if message.value(BLOCK1) is not None:
            whole, answer = self._assembler.take((asked.address, tuple(segments)), message, now)
            if whole is None:
                self._out(asked, answer, now)
                return
            message = whole
        if not board.plugged_in:
            self._failed(asked, "down", now)
        elif message.code == GET and message.value(OBSERVE) == b"":
            self._watch(asked, board, message, now)
        else:
            self._ask(asked, board, message, now)

    def _ask(self, asked: Asked, board: Board, message: Message, now: float) -> None:
        if message.uint(OBSERVE) == 1:
            self._unwatch(asked.address, message.token)
        bare = message.without(URI_HOST, URI_PORT, URI_PATH, OBSERVE, BLOCK1, BLOCK2)
        path = [(URI_PATH, segment) for segment in messages.path_of(message)[1:]]
        request = Message(CON, message.code, 0, b"", bare.plus(*path).options, message.payload)

        def done(outcome: Outcome) -> None:
            if outcome.message is None:
                self._failed(asked, outcome.failure, board.now)
            else:
                self._deliver(asked, outcome.message, [], board.now)

        asked.operation = board.talker.ask(request, done, now)

    # -- observing -----------------------------------------------------------------------------

    def _watch(self, asked: Asked, board: Board, message: Message, now: float) -> None:
        path = "/".join(s.decode("utf-8", "replace") for s in messages.path_of(message)[1:])
        if queries := message.values(URI_QUERY):
            path += "?" + "&".join(q.decode("utf-8", "replace") for q in queries)
        self._unwatch(asked.address, message.token)
        observer = board.observer(path)
        place = (asked.address, message.token)
        watch = Watch(board, observer, lambda value: self._notify(place, value))

        def ready(outcome: Outcome) -> None:
            if outcome.message is None:
                board.release(observer)
                self._failed(asked, outcome.failure, board.now)
            elif outcome.message.ok and outcome.message.value(OBSERVE) is not None:
                self._watches[place] = watch
                observer.listeners.append(watch.listener)
                self._deliver(asked, outcome.message, [(OBSERVE, b"")], board.now)
            else:
                board.release(observer)
                self._deliver(asked, outcome.message, [], board.now)

        if observer.active and observer.latest is not None:
            ready(Outcome(observer.latest.without(OBSERVE).plus((OBSERVE, b""))))
            return
        observer.ready.append(ready)
        observer.start(now)
        observer.tick(now)

    def _unwatch(self, address: Address, token: bytes) -> None:
        watch = self._watches.pop((address, token), None)
        if watch is not None:
            watch.observer.listeners.remove(watch.listener)
            watch.board.release(watch.observer)

    def _notify(self, place: tuple[Address, bytes], value: Message) -> None:
        watch = self._watches.get(place)
        if watch is None:
            return
        address, token = place
        watch.told += 1
        # Now and then one that must be acknowledged, so that a client that left is forgotten.
        kind = CON if watch.told % CON_EVERY == 0 else NON
        options = [(OBSERVE, messages.uint(watch.told & 0xFFFFFF))]
        options += [o for o in value.options if o[0] in (CONTENT_FORMAT, ETAG, MAX_AGE)]
        message = Message(kind, value.code, self._new_mid(), token, (), value.payload)
        message = self._first_piece(message.plus(*options), None)
        self._mids[address, message.mid] = token
        while len(self._mids) > REMEMBERED:
            self._mids.popitem(last=False)
        self._emit(address, message, watch.board.now)

    def gone(self, address: Address) -> None:
        """Nobody is there any more."""
        for place in [p for p in self._watches if p[0] == address]:
            self._unwatch(*place)
        for asked in [a for a in self._open.values() if a.address == address]:
            self._forget(asked)

    def _forget(self, asked: Asked) -> None:
        self._open.pop(asked.key, None)
        if asked.operation is not None:
            asked.operation.cancelled = True

    # -- out -----------------------------------------------------------------------------------

    def _failed(self, asked: Asked, failure: str, now: float) -> None:
        code, text = FAILED[failure]
        age = [(MAX_AGE, b"\x05")] if code == messages.UNAVAILABLE else []
        self._answer(asked, code, text, age, now)

    def _answer(
        self,
        asked: Asked,
        code: int,
        payload: bytes,
        options: list[tuple[int, bytes]],
        now: float,
    ) -> None:
        self._deliver(asked, Message(ACK, code, 0, payload=payload), options, now)

    def _deliver(
        self, asked: Asked, answer: Message, options: list[tuple[int, bytes]], now: float
    ) -> None:
        kept = [o for o in answer.options if o[0] not in (BLOCK1, BLOCK2, OBSERVE)]
        request = asked.message
        block1 = [(BLOCK1, v) for v in request.values(BLOCK1)]
        whole = request.reply(answer.code, answer.payload, [*kept, *options, *block1])
        block = request.sound_block(BLOCK2)
        if request.code == GET and whole.ok and len(whole.payload) > 16 << LARGEST_SZX:
            self._bodies[self._body_key(asked)] = whole
            while len(self._bodies) > KEPT_BODIES:
                self._bodies.popitem(last=False)
        self._out(asked, self._first_piece(whole, block), now)

    def _first_piece(self, whole: Message, block: Block | None) -> Message:
        szx = min(block.szx if block else LARGEST_SZX, LARGEST_SZX)
        number = block.number if block else 0
        if len(whole.payload) <= 16 << szx and number == 0:
            return whole
        piece = Block(number, (number + 1) << (szx + 4) < len(whole.payload), szx)
        if piece.start >= len(whole.payload):
            return replace(whole, code=messages.BAD_REQUEST, payload=b"", options=())
        body = whole.payload[piece.start : piece.start + piece.size]
        tag = (ETAG, len(whole.payload).to_bytes(4, "big") + _mark(whole.payload))
        sized = replace(whole, payload=body).without(ETAG).plus(tag, (BLOCK2, piece.encoded()))
        if number:
            return sized.without(OBSERVE)
        return sized.plus((SIZE2, messages.uint(len(whole.payload))))

    def _body_key(self, asked: Asked) -> Hashable:
        message = asked.message
        return (asked.address, *messages.path_of(message), *message.values(URI_QUERY))

    def _from_kept(self, asked: Asked, now: float) -> bool:
        """A later block of an answer that was given before: the board is not asked again."""
        block = asked.message.sound_block(BLOCK2)
        kept = self._bodies.get(self._body_key(asked))
        if block is None or not block.number or kept is None:
            return False
        whole = asked.message.reply(kept.code, kept.payload, kept.without(OBSERVE).options)
        self._out(asked, self._first_piece(whole, block), now)
        return True

    def _out(self, asked: Asked, answer: Message, now: float) -> None:
        self._open.pop(asked.key, None)
        if asked.promised:
            answer = replace(answer, type=CON, mid=self._new_mid())
        elif answer.type == NON:
            answer = replace(answer, mid=self._new_mid())
        data = messages.encode(answer)
        if answer.type != CON:
            self._seen[asked.key] = (now, data)
        self._emit(asked.address, answer, now)

    def _emit(self, address: Address, message: Message, now: float) -> None:
        data = messages.encode(message)
        if message.type == CON:
            at = now + ACK_TIMEOUT_S
            self._unconfirmed[address, message.mid] = Unconfirmed(address, data, at, message.token)
        self.send(address, data)

    def _new_mid(self) -> int:
        self._mid = (self._mid + 1) & 0xFFFF
        return self._mid

    # -- time ----------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        promises = (a.promise_at for a in self._open.values() if not a.promised)
        repeats = (u.deadline for u in self._unconfirmed.values())
        return min([*promises, *repeats], default=NEVER)

    def tick(self, now: float) -> None:
        for asked in list(self._open.values()):
            if not asked.promised and now >= asked.promise_at:
                asked.promised = True
                if asked.message.type == CON:
                    data = messages.encode(messages.empty(ACK, asked.message.mid))
                    self._seen[asked.key] = (now, data)
                    self.send(asked.address, data)
        for key, open_one in list(self._unconfirmed.items()):
            if now < open_one.deadline:
                continue
            if open_one.tries >= RETRANSMISSIONS:
                del self._unconfirmed[key]
                self._unwatch(open_one.address, open_one.token)
                continue
            open_one.tries += 1
            open_one.deadline = now + ACK_TIMEOUT_S * 2**open_one.tries
            self.send(open_one.address, open_one.data)


def _mark(body: bytes) -> bytes:
    import zlib

    return zlib.crc32(body).to_bytes(4, "big")
