"""A board as server: asked by the bridge, one exchange at a time, also in blocks, also late."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from boardlab import Bench, Clock, ModelCore
from elastik.coap import messages
from elastik.coap.messages import CON, GET, OBSERVE, PUT, Message
from elastik.coap.talker import QUEUE, Outcome, Talker
from elastik_cli.serialio.board import Board
from elastik_cli.serialio.door import Door
from elastik_cli.serialio.observing import newer
from elastik_cli.serialio.simulator import Behaviour


def lab(behaviour: Behaviour | None = None, **settings: Any) -> Bench:
    clock = Clock()
    settings = {"observe": ("none",), "worlds": False, "ping": 0.0} | settings
    bench = Bench(clock, ModelCore(clock), behaviour=behaviour or Behaviour(interval=0), **settings)
    bench.plug()
    clock.run(0.1)
    return bench


def ask(path: str, code: int = GET, body: bytes = b"") -> Message:
    return Message(CON, code, 0, options=tuple(messages.path_options(path)), payload=body)


def put_off(bench: Bench, message: Message) -> list[Outcome]:
    got: list[Outcome] = []
    bench.board.talker.ask(message, got.append, bench.clock.now)
    return got


def test_a_value_and_a_missing_one():
    bench = lab()
    assert bench(ask("temp")).payload == b"21.00"
    assert bench(ask("nothing")).code == messages.NOT_FOUND


def test_a_separate_answer_stops_the_repeating():
    bench = lab(Behaviour(interval=0, slow=8.0))
    assert bench(ask("slow")).payload == b"done"
    assert bench.board.talker.counted.retransmitted == 0


def test_f12_what_exceeds_the_board_goes_in_blocks():
    bench = lab()
    body = random.Random(1).randbytes(3000)
    assert bench(ask("blob", PUT, body)).ok
    assert bench.sim.values["blob"] == body
    assert bench(ask("blob")).payload == body


@pytest.mark.parametrize("size", [16, 48, 63, 64, 65, 96, 100, 128, 1024, 4096])
def test_every_size_arrives_whole(size):
    bench = lab()
    body = random.Random(size).randbytes(size)
    assert bench(ask("blob", PUT, body)).ok
    assert bench.sim.values["blob"] == body
    assert bench(ask("blob")).payload == body


def test_f12_a_board_without_blocks_gives_a_visible_refusal():
    bench = lab(Behaviour(interval=0, blocks=False))
    answer = bench(ask("blob", PUT, b"x" * 200))
    assert answer.code == messages.TOO_LARGE
    assert b"128 bytes" in answer.payload
    assert bench(ask("led", PUT, b"1")).ok


def test_no_frame_is_larger_than_the_board_can_take():
    bench = lab()
    seen: list[int] = []
    bench.board.tap.seen = lambda way, kind, data: seen.append(len(data)) if way == ">" else None
    bench(ask("blob", PUT, b"x" * 1000))
    long_path = "a" * 120
    assert bench(ask(long_path, PUT, b"x" * 100)).code == messages.TOO_LARGE
    assert seen
    assert max(seen) <= 128


def test_a_lossy_line_is_repeated_over_and_f11_spoiled_frames_are_counted():
    bench = lab(Behaviour(interval=0, bad_fcs=0.2))
    for _ in range(50):
        assert bench(ask("led")).payload == b"0"
    assert bench.board.counted["err:fcs"] > 5
    assert bench.board.talker.counted.retransmitted >= bench.board.counted["err:fcs"] * 0.5


def test_f5_unplugging_ends_what_waits():
    bench = lab(Behaviour(interval=0, deaf=True))
    first, second = put_off(bench, ask("temp")), put_off(bench, ask("hum"))
    bench.clock.run(0.2)
    bench.unplug()
    assert [o[0].failure for o in (first, second)] == ["down", "down"]
    assert bench.board.talker.idle


def test_a_deaf_board_times_out_after_five_transmissions():
    bench = lab(Behaviour(interval=0, deaf=True))
    sent: list[float] = []
    bench.board.tap.seen = lambda way, kind, data: sent.append(bench.clock.now)
    got = put_off(bench, ask("temp"))
    bench.clock.run(60)
    assert got[0].failure == "timeout"
    gaps = [b - a for a, b in itertools.pairwise(sent)]
    assert len(sent) == 5
    assert gaps == pytest.approx([gaps[0] * 2**n for n in range(4)])
    assert 0.4 < gaps[0] < 0.45


def test_one_exchange_at_a_time_in_order_and_a_bounded_queue():
    bench = lab(Behaviour(interval=0, slow=3.0))
    order: list[int] = []
    refused: list[Outcome] = []
    slow: list[Outcome] = []
    bench.board.talker.ask(ask("slow"), slow.append, bench.clock.now)
    for number in range(QUEUE + 5):
        done = lambda outcome, number=number: (  # noqa: E731
            refused.append(outcome) if outcome.failure else order.append(number)
        )
        bench.board.talker.ask(ask("temp"), done, bench.clock.now)
    assert [o.failure for o in refused] == ["busy"] * 5
    bench.clock.run(30)
    assert slow[0].message.payload == b"done"
    assert order == list(range(QUEUE))


def test_f13_a_board_that_is_one_answer_late_still_serves_the_right_one():
    bench = lab(Behaviour(interval=0, one_late=True))
    bench.sim.values |= {"a": b"A", "b": b"B"}
    for path, body in [("a", b"A"), ("b", b"B"), ("a", b"A")]:
        assert bench(ask(path)).payload == body
    assert bench.board.talker.counted.late >= 1


def test_an_answer_with_a_wrong_token_is_not_taken():
    sent: list[Message] = []
    talker = Talker(sent.append, rand=random.Random(1))
    got: list[Outcome] = []
    talker.ask(ask("temp"), got.append, 0.0)
    mine = sent[0]
    assert not talker.received(Message(2, 69, mine.mid, b"wrong"), 0.1)
    assert talker.received(Message(2, 69, mine.mid, mine.token, (), b"x"), 0.2)
    assert got[0].message.payload == b"x"


def test_a_repeated_separate_answer_is_acknowledged_again_and_delivered_once():
    sent: list[Message] = []
    talker = Talker(sent.append, rand=random.Random(1))
    got: list[Outcome] = []
    talker.ask(ask("temp"), got.append, 0.0)
    answer = Message(CON, 69, 500, sent[0].token, (), b"x")
    assert talker.received(answer, 0.1)
    assert talker.received(answer, 0.3)
    assert [m for m in sent if m.code == 0] == [messages.empty(2, 500)] * 2
    assert len(got) == 1


def test_f18_after_a_sleep_there_is_no_burst_of_old_requests():
    bench = lab(Behaviour(interval=0, deaf=True))
    sent: list[bytes] = []
    got = put_off(bench, ask("temp"))
    bench.board.tap.seen = lambda way, kind, data: sent.append(data)
    bench.clock.now += 60.0
    for _ in range(20):
        bench.board.tick(bench.clock.now)
    assert sent == []
    assert got[0].failure == "timeout"


# -- observing -------------------------------------------------------------------------------------


def test_what_the_board_offers_for_observation_is_kept_in_worlds():
    bench = lab(observe=("auto",))
    bench.clock.run(30)
    values = [body for world, body in bench.core.commits if world == "home/sensor/b1/temp"]
    assert len(values) >= 5
    assert values[-1] == bench.core.worlds["home/sensor/b1/temp"]
    assert bench.core.worlds["home/sensor/b1/hum"]


def test_an_observation_is_begun_again_after_unplugging_and_after_a_reboot():
    bench = lab(observe=("temp",))
    for reboot in (False, True):
        bench.clock.run(20)
        bench.unplug()
        bench.clock.run(5)
        bench.plug(reboot=reboot)
        before = len(bench.core.commits)
        bench.clock.run(20)
        assert len(bench.core.commits) >= before + 3


def test_a_board_that_forgot_its_observers_is_asked_again_after_max_age():
    bench = lab(observe=("temp",))
    bench.clock.run(20)
    bench.sim._observers.clear()
    bench.clock.run(15 + 5 + 3)
    assert bench.sim._observers, "registered again"
    (observer,) = bench.board.observers.values()
    assert observer.active


def test_a_resource_that_is_not_observable_is_told_and_stored_once():
    bench = lab(observe=("led",))
    bench.clock.run(200)
    assert [b for w, b in bench.core.commits if w.endswith("/led")] == [b"0"]
    assert [line for line in bench.said if "does not offer" in line]


def test_notifications_that_arrive_out_of_order_are_dropped():
    assert newer(1, 0, 2, 1)
    assert not newer(2, 0, 1, 1)
    assert newer(2**24 - 1, 0, 1, 1), "the counter wraps"
    assert newer(2, 0, 1, 129), "after 128 s anything is newer"
    bench = lab(observe=("temp",))
    bench.clock.run(3)
    token = bench.sim._observers["temp"][0]
    for number, body in [(900_000, b"new"), (899_999, b"old")]:
        options = ((OBSERVE, messages.uint(number)),)
        bench.sim._send(Message(1, 69, number & 0xFFFF, token, options, body))
    bench.clock.run(0.1)
    assert bench.core.worlds["home/sensor/b1/temp"] == b"new"


def test_liveness_a_hung_board_is_told_apart_from_an_unplugged_one():
    bench = lab(ping=10.0, worlds=True)
    bench.clock.run(30)
    bench.sim.behaviour.deaf = True
    bench.sim._next_value = bench.sim._next_reading = float("inf")
    bench.clock.run(60)
    assert bench.board.state == "silent"
    assert bench.core.worlds["home/sensor/b1/link"].startswith(b"down since")
    bench.sim.behaviour.deaf = False
    bench.clock.run(15)
    assert bench.board.state == "up"
    assert bench.core.worlds["home/sensor/b1/link"].startswith(b"up since")


def test_a_registration_cut_short_by_unplugging_leaves_nothing_due():
    bench = lab(Behaviour(interval=0, deaf=True), observe=("temp",))
    bench.clock.run(2)
    assert not bench.board.talker.idle
    bench.unplug()
    assert all(o.deadline == float("inf") for o in bench.board.observers.values())
    bench.clock.run(300)
    bench.sim.behaviour.deaf = False
    bench.plug()
    bench.clock.run(10)
    assert bench.core.worlds["home/sensor/b1/temp"]


# -- the door for others ---------------------------------------------------------------------------


class Client:
    """Somebody at the door: sends datagrams and keeps what comes back."""

    def __init__(self, bench: Bench, name: str = "c") -> None:
        self.bench, self.name = bench, name
        self.got: list[Message] = []

    def say(self, message: Message, seconds: float = 0.5) -> list[Message]:
        before = len(self.got)
        self.bench.door.received(self.name, messages.encode(message), self.bench.clock.now)
        self.bench.clock.run(seconds)
        return self.got[before:]


@pytest.fixture
def client():
    bench = lab()
    boards: dict[str, Board] = {"b1": bench.board}
    clients: dict[str, Client] = {}

    def send(name: Any, data: bytes) -> None:
        clients[name].got.append(messages.decode(data))

    bench.door = Door(boards, send, random.Random(3))
    bench.clock.parts.append(bench.door)
    for name in ("c", "d"):
        clients[name] = Client(bench, name)
    clients["c"].other = clients["d"]
    return clients["c"]


def knock(path: str, mid: int = 5, code: int = GET, **kw: Any) -> Message:
    options = [*messages.path_options(path), *kw.pop("options", [])]
    return Message(CON, code, mid, kw.pop("token", b"k"), messages.ordered(options), **kw)


def test_the_door_brings_requests_to_the_board_and_keeps_ids_apart(client):
    (answer,) = client.say(knock("b1/temp"))
    assert (answer.type, answer.mid, answer.token) == (2, 5, b"k")
    assert answer.payload == b"21.01" or answer.payload.startswith(b"21")
    (again,) = client.say(knock("b1/temp"))
    assert again == answer, "a repetition gets the same bytes and does not reach the board"
    assert client.bench.board.talker.counted.asked == 1


def test_the_door_promises_an_answer_that_takes_long(client):
    got = client.say(knock("b1/slow"), 4.0)
    assert got[0] == messages.empty(2, 5)
    assert (got[1].type, got[1].token, got[1].payload) == (CON, b"k", b"done")
    client.say(messages.empty(2, got[1].mid), 0)
    assert client.say(knock("b1/slow"), 30) == [messages.empty(2, 5)]
    assert [m for m in client.got if m.payload] == [got[1]], "acknowledged, so not repeated"


def test_the_door_cuts_large_answers_and_joins_large_requests(client):
    body = random.Random(2).randbytes(3000)
    for number in range(3):
        piece = body[number * 1024 : number * 1024 + 1024]
        block = messages.Block(number, number < 2, 6).encoded()
        got = client.say(
            knock("b1/blob", 20 + number, PUT, payload=piece, options=[(27, block)]), 4
        )
    assert [m for m in got if m.ok]
    assert client.bench.sim.values["blob"] == body
    whole = b""
    for number in range(3):
        options = [(23, messages.Block(number, False, 6).encoded())] if number else []
        got = client.say(knock("b1/blob", 40 + number, options=options), 4)
        whole += next(m.payload for m in got if m.payload)
        for message in got:
            if message.type == CON:
                client.say(messages.empty(2, message.mid), 0)
    assert whole == body


def test_one_observation_of_the_board_serves_every_client(client):
    other = client.other
    for who, token in ((client, b"1"), (other, b"2")):
        got = who.say(knock("b1/temp", options=[(OBSERVE, b"")], token=token), 1)
        assert got[0].value(OBSERVE) is not None
    client.bench.clock.run(21)
    assert len(client.bench.sim._observers) == 1
    assert client.bench.board.talker.counted.asked <= 3
    for who, token in ((client, b"1"), (other, b"2")):
        values = [m for m in who.got if m.type == 1]
        assert len(values) >= 3
        assert {m.token for m in values} == {token}
    client.say(messages.empty(3, client.got[-1].mid))
    seen = len(client.got)
    client.bench.clock.run(10)
    assert len(client.got) == seen, "a reset ends it for that client"
    other.say(knock("b1/temp", 9, options=[(OBSERVE, b"\x01")], token=b"2"), 1)
    client.bench.clock.run(2)
    assert client.bench.sim._observers == {}, "nobody listens: the board is told"


def test_the_door_says_what_it_cannot_do(client):
    assert client.say(knock("nobody/temp", 1))[0].code == messages.NOT_FOUND
    links = client.say(knock(".well-known/core", 2))[0]
    assert links.payload == b'</b1>;rt="elastik.board"'
    assert client.say(messages.empty(CON, 3)) == [messages.empty(3, 3)]
    client.bench.sim.behaviour.deaf = True
    late = client.say(knock("b1/temp", 4), 40)
    assert late[0] == messages.empty(2, 4)
    assert late[1].code == messages.GATEWAY_TIMEOUT
    client.bench.unplug()
    assert client.say(knock("b1/temp", 6))[0].code == messages.UNAVAILABLE


def test_a_client_that_left_is_forgotten_by_an_unacknowledged_message(client):
    client.say(knock("b1/temp", options=[(OBSERVE, b"")]), 1)
    client.bench.clock.run(5 * 16 + 70)
    assert client.bench.sim._observers == {}
    assert client.bench.door._watches == {}
