"""The slipmux codec: golden vectors, recorded sessions, every split, and a second codec."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slipmux_reference as reference
from elastik_cli.serialio import slipmux
from elastik_cli.serialio.slipmux import Decoder, Frame

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "slipmux"
FCS = json.loads((FIXTURES / "fcs16.json").read_text())
ENCODE = json.loads((FIXTURES / "encode.json").read_text())
DECODE = json.loads((FIXTURES / "decode.json").read_text())
SESSIONS = sorted(FIXTURES.glob("session-*.bin"))
PING = slipmux.encode_coap(bytes.fromhex("40001111"))

noise = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\xc0", b"\xdb", b"\xdb\xc0", b"\xdb\xdc", b"\xdb\xdd", b"\xa9", PING]),
        st.binary(max_size=30).map(slipmux.encode_coap),
        st.binary(max_size=30).map(slipmux.encode_diagnostic),
    )
).map(b"".join)


def shown(frames: list[Frame]) -> list[str]:
    return [f.kind if f.kind.startswith("err:") else f"{f.kind}:{f.data.hex()}" for f in frames]


def named(case):
    return case["name"] if isinstance(case, dict) else None


def test_the_vectors_are_there():
    assert (len(ENCODE), len(DECODE), len(SESSIONS)) == (33, 33, 4)


def test_frame_check_sequences():
    for case in FCS["vectors"]:
        assert slipmux.fcs16(bytes.fromhex(case["data"])).hex() == case["fcs_wire"]


@pytest.mark.parametrize("case", ENCODE, ids=named)
def test_encoding(case):
    frame = slipmux.encode(case["kind"], bytes.fromhex(case["payload"]))
    assert frame.hex() == case["frame"]


@pytest.mark.parametrize("case", DECODE, ids=named)
def test_f1_decoding_whole_by_byte_and_at_every_split(case):
    stream = bytes.fromhex(case["stream"])
    assert shown(Decoder().feed(stream)) == case["expect"]
    one = Decoder()
    assert shown([f for b in stream for f in one.feed(bytes([b]))]) == case["expect"]
    for cut in range(len(stream) + 1):
        two = Decoder()
        assert shown(two.feed(stream[:cut]) + two.feed(stream[cut:])) == case["expect"], cut


@pytest.mark.parametrize("session", SESSIONS, ids=lambda p: p.stem)
def test_recorded_sessions_decode_to_their_frames(session):
    expected = json.loads(session.with_suffix("").with_suffix(".frames.json").read_text())
    stream = session.read_bytes()
    wanted = [(f["kind"], f["data"]) for f in expected]
    for cut in range(len(stream) + 1):
        decoder = Decoder()
        got = decoder.feed(stream[:cut]) + decoder.feed(stream[cut:])
        assert [(f.kind, f.data.hex()) for f in got] == wanted


@given(noise, st.lists(st.integers(0, 400)), st.sampled_from([1, 2, 3, 16, 64]))
def test_it_agrees_with_the_slow_codec_however_the_bytes_arrive(stream, cuts, limit):
    fast, slow = Decoder(limit), reference.Decoder(limit)
    edges = [0, *sorted(c for c in cuts if c < len(stream)), len(stream)]
    got = [f for a, b in itertools.pairwise(edges) for f in fast.feed(stream[a:b])]
    want = slow.feed(stream)
    assert [f.kind for f in got] == [kind for kind, _ in want]
    bodies = [f.data for f in got if not f.kind.startswith("err:")]
    assert bodies == [data for kind, data in want if not kind.startswith("err:")]


@given(st.binary(max_size=300), st.sampled_from(["coap", "diag"]))
def test_what_is_encoded_decodes_to_itself(data, kind):
    assert Decoder().feed(slipmux.encode(kind, data)) == [Frame(kind, data)]
    assert slipmux.escape(data) == reference.escape(data)
    assert slipmux.fcs16(data) == reference.fcs16(data)


@given(noise)
def test_after_any_noise_the_next_frame_is_read(stream):
    decoder = Decoder()
    decoder.feed(stream + b"\xc0")
    assert decoder.feed(PING) == [Frame("coap", bytes.fromhex("40001111"))]


@pytest.mark.parametrize("filler", [b"\xa9", b"\xdb\xdc", b"\xdb", b"x"], ids=repr)
def test_f3_an_endless_frame_holds_no_memory(filler):
    decoder = Decoder()
    chunk = filler * (65536 // len(filler))
    tracemalloc.start()
    for _ in range(160):
        decoder.feed(chunk)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoder.pending <= 2 * decoder.max_frame + 2
    assert held < 200_000
    assert decoder.feed(b"\xc0" + PING)[-1].kind == "coap"


def test_f2_a_megabyte_of_noise_and_then_a_frame():
    noise = random.Random(7).randbytes(1_000_000)
    decoder = Decoder()
    tracemalloc.start()
    for at in range(0, len(noise), 4096):
        decoder.feed(noise[at : at + 4096])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
    assert decoder.feed(b"\xc0" + PING)[-1] == Frame("coap", bytes.fromhex("40001111"))


def test_what_is_no_frame_is_refused():
    for kind, data in [("ip", b""), ("ip", b"\x00"), ("udp", b"x")]:
        with pytest.raises(ValueError, match="not a frame"):
            slipmux.encode(kind, data)
