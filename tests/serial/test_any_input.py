"""Whatever a board, a client or the core sends: nothing raises, and the next good request works."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boardlab import Bench, Clock, ModelCore
from elastik.coap import messages
from elastik.coap.messages import CON, GET, OBSERVE, PUT, Message
from elastik_cli.serialio import slipmux
from elastik_cli.serialio.door import Door
from elastik_cli.serialio.simulator import Behaviour

NUMBERS = [1, 3, 4, 5, 6, 7, 11, 12, 14, 15, 17, 23, 27, 28, 35, 39, 60, 252, 258, 65001, 9999]
words = st.one_of(
    st.binary(max_size=5),
    st.sampled_from([b"b1", b"temp", b"link", b"..", b"a/b", b"\x07", b"\x0f", b"\xff\xff\xff"]),
)
some = st.builds(
    lambda kind, code, mid, token, options, payload: Message(
        kind, code, mid, token, messages.ordered(options), payload
    ),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, 3, 4, 5, 31, 65, 68, 69, 95, 132, 141, 160]),
    st.integers(0, 9),
    st.binary(max_size=3),
    st.lists(st.tuples(st.sampled_from(NUMBERS), words), max_size=5),
    st.binary(max_size=40),
).map(lambda m: Message(m.type, 0, m.mid) if m.code == 0 else m)
datagrams = st.lists(st.one_of(some.map(messages.encode), st.binary(max_size=20)), max_size=12)
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def lab(up: str = "coap") -> Bench:
    clock = Clock()
    bench = Bench(clock, Lenient(clock), behaviour=Behaviour(interval=0), observe=("temp",), up=up)
    bench.plug()
    clock.run(2)
    return bench


class Lenient(ModelCore):
    """The model answers only what it models; the rest is dropped, as from a busy core."""

    def coap(self, endpoint, data):
        try:
            return super().coap(endpoint, data)
        except (AssertionError, UnicodeDecodeError):
            return None


def still_works(bench: Bench) -> None:
    bench.clock.run(20)
    before = len(bench.core.commits)
    options = tuple(messages.path_options("fresh"))
    bench.sim._send(Message(CON, PUT, 50_000, b"ok", options, b"%d" % before))
    bench.clock.run(1)
    assert ("home/sensor/b1/fresh", b"%d" % before) in bench.core.commits
    assert bench(Message(CON, GET, 0, options=tuple(messages.path_options("led")))).payload == b"0"


@relaxed
@given(datagrams, st.sampled_from(["coap", "http"]))
def test_from_a_board(pieces, up):
    bench = lab(up)
    for piece in pieces:
        bench.sim.write(slipmux.encode_coap(piece))
        bench.clock.run(0.5)
    still_works(bench)


@relaxed
@given(datagrams)
def test_from_the_core(pieces):
    bench = lab()
    for piece in pieces:
        bench.board.uplink.received(0, piece, bench.clock.now)
        bench.board.uplink.refused(0)
        bench.clock.run(0.1)
    still_works(bench)


@relaxed
@given(datagrams)
def test_from_a_client_at_the_door(pieces):
    bench = lab()
    told: list[bytes] = []
    door = Door({"b1": bench.board}, lambda address, data: told.append(data), random.Random(1))
    bench.clock.parts.append(door)
    for piece in pieces:
        door.received("c", piece, bench.clock.now)
        bench.clock.run(0.5)
    for data in told:
        messages.decode(data)
    bench.clock.run(100)
    still_works(bench)


@relaxed
@given(datagrams)
def test_from_a_board_that_is_being_observed(pieces):
    """With the token of a running observation, where a notification is expected."""
    bench = lab()
    token = bench.sim._observers["temp"][0]
    for number, piece in enumerate(pieces):
        try:
            message = messages.decode(piece)
        except messages.BadMessage:
            continue
        if message.is_response:
            mine = Message(1, message.code, number, token, message.options, message.payload)
            bench.sim._send(mine.plus((OBSERVE, bytes([number + 1]))))
        bench.clock.run(0.5)
    still_works(bench)


@pytest.mark.parametrize("up", ["coap", "http"])
def test_a_reserved_block_size_is_no_surprise(up):
    bench = lab(up)
    for code in (GET, PUT):
        for number in (23, 27):
            options = [*messages.path_options("x"), (number, b"\x07")]
            message = Message(CON, code, 40 + number, b"t", messages.ordered(options), b"x")
            bench.sim._send(message)
            bench.clock.run(1)
    still_works(bench)
