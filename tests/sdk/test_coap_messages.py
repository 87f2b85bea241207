"""CoAP messages: round trips, the RFC's format errors, no exception but BadMessage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik.coap import messages
from elastik.coap.messages import CON, Block, Message

options = st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=300)), max_size=6)
some = st.builds(
    lambda kind, code, mid, token, opts, payload: Message(
        kind, code, mid, token, messages.ordered(opts), payload
    ),
    st.integers(0, 3),
    st.sampled_from([1, 2, 3, 4, 68, 69, 132]),
    st.integers(0, 65535),
    st.binary(max_size=8),
    options,
    st.binary(max_size=40),
)


@given(some)
def test_a_message_survives_its_bytes(message):
    assert messages.decode(messages.encode(message)) == message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_bad_one(data):
    try:
        message = messages.decode(data)
    except messages.BadMessage:
        return
    assert messages.decode(messages.encode(message)) == message


@pytest.mark.parametrize(
    ("text", "resettable"),
    [
        ("40", None),
        ("80001111", None),
        ("49011111" + "00" * 9, 0x1111),
        ("400111110f", 0x1111),
        ("40011111f0", 0x1111),
        ("40011111ff", 0x1111),
        ("40011111d0", 0x1111),
        ("4000111100", 0x1111),
        ("40201111", 0x1111),
        ("50011111ff", None),
        ("70001111ff", None),
    ],
)
def test_format_errors_and_who_may_be_reset(text, resettable):
    with pytest.raises(messages.BadMessage) as caught:
        messages.decode(bytes.fromhex(text))
    assert caught.value.resettable == resettable


@given(st.integers(0, 2**20 - 1), st.booleans(), st.integers(0, 6))
def test_blocks(number, more, szx):
    block = Block(number, more, szx)
    assert messages.block_of(block.encoded()) == block
    assert block.start == number * block.size


def test_the_largest_block_that_fits():
    assert [messages.szx_for(n) for n in (0, 16, 31, 32, 63, 64, 100, 1024, 5000)] == [
        *(0, 0, 0, 1, 1, 2, 2, 6, 6),
    ]
    with pytest.raises(messages.BadMessage):
        messages.block_of(b"\x07")


def test_an_answer_rides_on_the_acknowledgement():
    ask = Message(CON, messages.GET, 7, b"t", tuple(messages.path_options("/a/b?c=1&d")))
    assert messages.encode(ask).hex() == "4101000774b161016243633d310164"
    assert ask.reply(messages.CONTENT, b"x") == Message(2, 69, 7, b"t", (), b"x")
