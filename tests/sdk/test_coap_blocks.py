"""Block-wise transfers against a model server, and the table of content formats."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik.coap import formats, messages
from elastik.coap.blocks import Limits, transfer
from elastik.coap.messages import BLOCK1, BLOCK2, CON, ECHO, GET, PUT, Block, Message
from elastik.coap.persevering import TRIES, Pause, persevering

ROOT = Path(__file__).resolve().parent.parent.parent


class Model:
    """A server with one resource, by the letter of RFC 7959, that takes `szx` blocks at most."""

    def __init__(self, body: bytes = b"", szx: int = 6) -> None:
        self.body, self.szx, self.coming = body, szx, b""
        self.largest = 0

    def answer(self, request: Message) -> Message:
        self.largest = max(self.largest, len(messages.encode(replace(request, token=b"1234"))))
        return self._put(request) if request.code == PUT else self._get(request)

    def _put(self, request: Message) -> Message:
        block = request.block(BLOCK1)
        if block is None:
            self.body = request.payload
            return request.reply(messages.CHANGED)
        assert len(request.payload) == block.size or not block.more
        self.coming = request.payload if block.number == 0 else self.coming + request.payload
        assert block.start + len(request.payload) == len(self.coming)
        answered = Block(block.number, block.more, min(block.szx, self.szx))
        echo = [(BLOCK1, answered.encoded())]
        if block.more:
            return request.reply(messages.CONTINUE, b"", echo)
        self.body = self.coming
        return request.reply(messages.CHANGED, b"", echo)

    def _get(self, request: Message) -> Message:
        asked = request.block(BLOCK2) or Block(0, False, 6)
        szx = min(asked.szx, self.szx)
        size = 16 << szx
        piece = self.body[asked.start : asked.start + size]
        more = asked.start + size < len(self.body)
        if not more and asked.number == 0 and request.value(BLOCK2) is None:
            return request.reply(69, piece)
        return request.reply(69, piece, [(BLOCK2, Block(asked.start // size, more, szx).encoded())])


def run(steps, server: Model) -> Message:
    try:
        step = next(steps)
        while True:
            step = steps.send(server.answer(step))
    except StopIteration as end:
        return end.value


@given(st.integers(0, 3000), st.integers(0, 6), st.integers(0, 6), st.integers(80, 1152))
def test_any_body_goes_up_whole_and_no_message_is_too_long(size, ours, theirs, mtu):
    body, server = bytes(n & 255 for n in range(size)), Model(szx=theirs)
    request = Message(CON, PUT, 0, options=tuple(messages.path_options("a/b")), payload=body)
    assert run(transfer(request, Limits(mtu, ours, b"tag")), server).ok
    assert server.body == body
    assert server.largest <= mtu


@given(st.integers(0, 3000), st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_any_body_comes_down_whole(size, ours, theirs, early):
    server = Model(bytes(n & 255 for n in range(size)), theirs)
    request = Message(CON, GET, 0, options=tuple(messages.path_options("a/b")))
    answer = run(transfer(request, Limits(1152, ours, early=early)), server)
    assert (answer.code, answer.payload) == (69, server.body)


def test_who_is_asked_to_wait_for_ever_gives_up():
    moves, heard, move, answer = persevering(iter_once()), 0, None, None
    while answer is None:
        try:
            move = moves.send(move and move.reply(messages.TOO_MANY))
            heard += 1
            if isinstance(move, Pause):
                move, heard = None, heard - 1
        except StopIteration as ended:
            answer = ended.value
    assert (answer.code, heard) == (messages.TOO_MANY, TRIES + 1)


def test_the_same_echo_is_not_given_back_for_ever():
    moves = persevering(iter_once())
    ask = next(moves)
    again = moves.send(ask.reply(messages.UNAUTHORIZED, b"", [(ECHO, b"1")]))
    with pytest.raises(StopIteration) as ended:
        moves.send(again.reply(messages.UNAUTHORIZED, b"", [(ECHO, b"1")]))
    assert ended.value.value.code == messages.UNAUTHORIZED


def iter_once():
    return (yield Message(CON, GET, 0))


def test_the_formats_are_those_of_the_core():
    text = (ROOT / "core-bin" / "src" / "coap" / "format.rs").read_text()
    names = {name: int(n) for name, n in re.findall(r"const (\w+): u16 = (\d+);", text)}
    names |= {"OCTETS": "application/octet-stream"}
    table = re.search(r"const FORMATS.*?= &\[\n(.*?)\n\];", text, re.DOTALL)[1]
    rows = re.findall(r'\((\w+), (?:(OCTETS)|"((?:\\.|[^"])*)")\)', table)
    core = {
        int(names.get(number, number)): names[word] if word else name.replace('\\"', '"')
        for number, word, name in rows
    }
    assert core == formats.FORMATS


@pytest.mark.parametrize("number", [*formats.FORMATS, 4711])
def test_a_number_and_its_type(number):
    assert formats.number(formats.media_type(number)) == number


@given(st.text(max_size=40) | st.from_regex(r"application/coap-payload;cf=\S{0,8}"))
def test_any_text_has_a_number_or_none(text):
    number = formats.number(text)
    assert number is None or 0 <= number < 65000


def test_types_without_a_number():
    assert formats.number("TEXT/PLAIN; charset=latin-1") == 0
    assert formats.number("application/json; charset=utf-8") == 50
    assert formats.number("application/json; profile=x") is None
    assert formats.number("text/html") is None
    assert formats.media_type(65001) is None
