"""Recordings: what was written is read back, and what is none is refused by its line."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik_cli.serialio.recording import Recorder, read_recording

pieces = st.lists(st.tuples(st.sampled_from("<>"), st.binary(max_size=50)))


@given(pieces)
def test_what_is_recorded_is_read_back(wanted):
    file, ticks = io.StringIO(), iter(range(1000))
    recorder = Recorder(file, "/dev/x", lambda: float(next(ticks)))
    for way, data in wanted:
        recorder.bytes(way, data)
    file.seek(0)
    found = list(read_recording(file))
    assert [(p.way, p.data) for p in found] == wanted
    assert [p.at for p in found] == [float(n + 1) for n in range(len(wanted))]
    assert {p.device for p in found} <= {"/dev/x"}


@given(st.text(max_size=60))
def test_any_text_is_a_recording_or_a_value_error(text):
    said, read = "line ", []
    try:
        read = list(read_recording(io.StringIO(text)))
    except ValueError as error:
        said = str(error)
    assert said.startswith("line ")
    assert all(piece.way in "<>" for piece in read)


@pytest.mark.parametrize(
    "line",
    ["[]", '"elastik"', "1", '{"t": 1, "way": "?", "hex": ""}', '{"t": 1, "way": "<", "hex": "0"}'],
)
def test_what_is_none(line):
    with pytest.raises(ValueError, match="line 2"):
        list(read_recording(io.StringIO(f"\n{line}\n")))
