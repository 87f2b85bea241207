"""A board as client: what it writes becomes worlds, repeated and rewritten as it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boardlab import Bench, Clock, ModelCore
from elastik import paths
from elastik.coap import messages
from elastik.coap.messages import AUTH, BLOCK2, CON, GET, NON, POST, PUT, Message
from elastik_cli.serialio.rewrite import Profile, Refused, upward, world_of
from elastik_cli.serialio.simulator import Behaviour

PREFIX = "home/sensor/b1"


def request(path: str = "temp", *, code: int = PUT, mid: int = 7, body: bytes = b"1", **kw):
    options = messages.ordered([*messages.path_options(path), *kw.pop("options", [])])
    return Message(kw.pop("type", CON), code, mid, b"tk", options, body)


@pytest.fixture
def bench():
    clock = Clock()
    return silent(clock, ModelCore(clock))


def silent(clock: Clock, core: ModelCore, **settings) -> Bench:
    """A bench on which nothing happens but what a test makes happen."""
    quiet = {"observe": ("none",), "worlds": False, "ping": 0.0}
    return Bench(clock, core, behaviour=Behaviour(interval=0), **quiet, **settings)


def say(bench: Bench, message: Message, seconds: float = 1.0) -> list[Message]:
    """Let the board send `message`; what the bridge sends back within so many seconds."""
    got: list[Message] = []
    heard = bench.sim.feed
    bench.sim.feed = lambda data, now: got.extend(decoded(data))
    bench.sim._send(message)
    bench.clock.run(seconds)
    bench.sim.feed = heard
    return got


def decoded(data: bytes) -> list[Message]:
    from elastik_cli.serialio.slipmux import Decoder

    return [messages.decode(f.data) for f in Decoder().feed(data) if f.kind == "coap"]


def test_a_put_becomes_a_world_and_its_answer_keeps_id_and_token(bench):
    bench.plug()
    (answer,) = say(bench, request())
    assert (answer.type, answer.code, answer.mid, answer.token) == (2, messages.CREATED, 7, b"tk")
    assert bench.core.commits == [("home/sensor/b1/temp", b"1")]


def test_the_same_request_becomes_the_same_bytes(bench):
    bench.plug()
    for _ in range(3):
        assert say(bench, request())
    assert len({data for _, data in bench.sent_up}) == 1
    assert len(bench.core.commits) == 1
    assert bench.core.duplicates == 2


def test_f6_a_rebooted_board_with_old_ids_and_a_new_value_is_heard(bench):
    bench.plug()
    say(bench, request(body=b"before"))
    bench.sim.boot(bench.clock.now)
    say(bench, request(body=b"after"))
    assert bench.core.worlds["home/sensor/b1/temp"] == b"after"
    bench.unplug()
    bench.plug(reboot=True)
    say(bench, request(body=b"third"))
    assert bench.core.worlds["home/sensor/b1/temp"] == b"third"
    assert [g for g, _ in bench.sent_up] == [0, 0, 1]


@pytest.mark.parametrize("up", ["coap", "http"])
def test_f7_a_post_whose_answer_was_cut_is_executed_once(bench, up):
    clock = Clock()
    core = ModelCore(clock)
    bench = silent(clock, core, up=up)
    bench.plug()
    assert say(bench, request(code=POST, body=b"x"))
    # The answer got lost with the line; the board repeats after it is back.
    bench.unplug()
    clock.run(3)
    bench.plug()
    (answer,) = say(bench, request(code=POST, body=b"x"))
    assert answer.ok
    assert core.worlds["home/sensor/b1/temp"] == b"x"


def test_a_new_line_is_a_new_endpoint_and_the_older_ones_are_closed(bench):
    bench.plug()
    for _ in range(5):
        bench.unplug()
        bench.plug()
    assert bench.endpoints == {4, 5}


def test_f9_while_the_core_is_away_the_board_is_told_and_nothing_is_invented(bench):
    bench.plug()
    bench.core.alive = False
    (answer,) = say(bench, request(mid=1))
    assert answer.code == messages.UNAVAILABLE
    assert answer.uint(messages.MAX_AGE)
    assert say(bench, request(mid=2, type=NON)) == []
    bench.core.alive = True
    (answer,) = say(bench, request(mid=3))
    assert answer.code == messages.CREATED
    assert len(bench.core.commits) == 1
    assert bench.core.commits[0][1] == b"1"


def test_what_may_have_been_stored_is_not_refused(bench):
    bench.plug()
    bench.core.crash_after_commit = 1
    assert say(bench, request()) == []
    assert say(bench, request()) == [], "the core is away, but it has heard this one before"
    bench.core.alive = True
    (answer,) = say(bench, request())
    assert answer.ok
    assert len(bench.core.commits) == 1


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        ([b".."], messages.BAD_REQUEST),
        ([b"a", b"."], messages.BAD_REQUEST),
        ([b"a", b""], messages.BAD_REQUEST),
        ([b"%2e%2E"], messages.BAD_REQUEST),
        ([b"a/b"], messages.BAD_REQUEST),
        ([b"a\\b"], messages.BAD_REQUEST),
        ([b"a\x00"], messages.BAD_REQUEST),
        ([b"\xff\xfe"], messages.BAD_REQUEST),
        ([b"proc", b"version"], messages.BAD_REQUEST),
        ([b"link"], messages.BAD_REQUEST),
        ([b"stats"], messages.BAD_REQUEST),
        ([b"log"], messages.BAD_REQUEST),
    ],
)
@pytest.mark.parametrize("up", ["coap", "http"])
def test_unsafe_paths_are_refused_and_never_sent_on(segments, code, up):
    clock = Clock()
    bench = silent(clock, ModelCore(clock), up=up)
    bench.plug()
    options = tuple((messages.URI_PATH, segment) for segment in segments)
    (answer,) = say(bench, Message(CON, PUT, 9, b"t", options, b"x"))
    assert answer.code == code
    assert bench.core.commits == []
    assert bench.sent_up == []


@given(st.lists(st.binary(max_size=12), max_size=5))
def test_no_path_leaves_the_boards_own_prefix(segments):
    message = Message(CON, PUT, 1, b"", tuple((messages.URI_PATH, s) for s in segments), b"x")
    try:
        lifted = upward(message, Profile(PREFIX))
    except Refused:
        return
    world = b"/".join(messages.path_of(lifted)).decode()
    assert world == PREFIX or world.startswith(PREFIX + "/")
    assert world == paths.canonical(world)
    assert len(messages.path_of(lifted)) == 3 + len(segments)


def test_what_is_rewritten_and_what_stays():
    profile = Profile(PREFIX, token=b"secret", mtu=128)
    message = request(
        code=GET,
        body=b"",
        options=[
            (messages.URI_HOST, b"core"),
            (messages.URI_PORT, b"\x16"),
            (AUTH, b"forged"),
            (messages.URI_QUERY, b"a=1"),
            (2050, b"kept"),
        ],
    )
    lifted = upward(message, profile)
    numbers = [n for n, _ in lifted.options]
    assert numbers == sorted(numbers)
    assert lifted.values(AUTH) == [b"secret"]
    assert lifted.value(messages.URI_HOST) is None
    assert lifted.value(2050) == b"kept"
    assert lifted.block(BLOCK2) == messages.Block(0, False, 2)
    assert (lifted.mid, lifted.token, lifted.type) == (message.mid, message.token, message.type)
    trusting = replace(profile, trust_token=True)
    assert upward(message, trusting).values(AUTH) == [b"forged"]
    with pytest.raises(Refused) as refused:
        upward(message.plus((messages.PROXY_URI, b"coap://x/")), profile)
    assert refused.value.code == messages.NO_PROXYING


def test_f10_two_boards_with_the_same_ids_and_tokens_never_cross():
    clock = Clock()
    core = ModelCore(clock)
    benches = [silent(clock, core, name=name) for name in ("one", "two")]
    for bench in benches:
        bench.plug()
    answers: dict[str, list[Message]] = {"one": [], "two": []}
    for bench in benches:
        name = bench.board.id
        bench.sim.feed = lambda data, now, name=name: answers[name].extend(decoded(data))
    for number in range(1000):
        for bench in benches:
            body = b"%s %d" % (bench.board.id.encode(), number)
            bench.sim._send(request(mid=number, body=body))
        clock.run(0.02)
    for bench in benches:
        name = bench.board.id
        mine = [m for m in answers[name] if m.code]
        assert [m.mid for m in mine] == list(range(1000))
        stored = [b for w, b in core.commits if w == f"home/sensor/{name}/temp"]
        assert stored == [b"%s %d" % (name.encode(), n) for n in range(1000)]


def test_what_is_too_large_for_the_board_becomes_an_error_and_not_silence(bench):
    bench.plug()
    bench.core.worlds["home/sensor/b1/big"] = b"x" * 500
    (answer,) = say(bench, request("big", code=GET, body=b""))
    assert answer.code == messages.SERVER_ERROR
    assert len(messages.encode(answer)) <= 128


def test_a_ping_of_the_board_is_answered_while_the_core_is_away(bench):
    bench.plug()
    bench.core.alive = False
    assert say(bench, messages.empty(CON, 77)) == [messages.empty(3, 77)]


def test_a_broken_request_is_reset_and_a_broken_answer_is_not(bench):
    bench.plug()
    got: list[Message] = []
    bench.sim.feed = lambda data, now: got.extend(decoded(data))
    from elastik_cli.serialio.slipmux import encode_coap

    for data in (b"\x40\x01\x00\x05\xf0", b"\x60\x45\x00\x06\xf0", b"", b"\x00"):
        bench.sim.write(encode_coap(data))
    bench.clock.run(1)
    assert got == [messages.empty(3, 5)]
    assert bench.board.counted["bad_messages"] == 4


def test_a_flood_of_non_messages_is_cut_and_counted(bench):
    bench.plug()
    bench.clock.run(1 - bench.clock.now % 1)
    for number in range(300):
        bench.sim._send(request(mid=number, type=NON))
    bench.clock.run(0.5)
    assert len(bench.core.commits) == 100
    assert bench.board.uplink.counted.dropped == 200


def test_the_world_of_a_board_without_a_path_is_its_prefix():
    assert world_of(Message(CON, GET, 1), PREFIX) == PREFIX
