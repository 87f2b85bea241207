"""Object security (RFC 8613): aiocoap's implementation, as a client and as a maker of datagrams."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiocoap
import pytest

from coapwire import GET, Message, Peer, build, coap_address, read, segments
from foreign import missing
from realcore import Core, wait_for

OSCORE = 9
SECRET = "0102030405060708090a0b0c0d0e0f10"
SALT = "9e7ca92223786340"
CONTEXTS = f"""# boards
board1 write client=hex:00 server=hex:01 secret=hex:{SECRET} salt=hex:{SALT} worlds=home/b1/*
boss approve client=boss server=hex:01 secret=hex:{SECRET} context=hex:37cb
"""
BOARD = {"sender-id_hex": "00", "recipient-id_hex": "01", "secret_hex": SECRET, "salt_hex": SALT}
BOSS = {
    "sender-id_ascii": "boss",
    "recipient-id_hex": "01",
    "secret_hex": SECRET,
    "id-context_hex": "37cb",
}


@pytest.fixture(autouse=True)
def _oscore() -> None:
    if absent := aiocoap.defaults.oscore_missing_modules():
        missing(f"aiocoap has no OSCORE here: pip install 'aiocoap[oscore]' ({absent})")


@pytest.fixture
def sealed(start_coap, tmp_path: Path) -> Callable[[], Core]:
    """Start a core that shares contexts, again and again on the same data."""
    file = tmp_path / "contexts"
    file.write_text(CONTEXTS)
    return lambda: start_coap(ELASTIK_COAP_OSCORE_FILE=str(file))


@pytest.fixture
def directory(tmp_path: Path) -> Callable[[str, dict[str, str]], Path]:
    """aiocoap's form of a client's context."""

    def make(name: str, settings: dict[str, str]) -> Path:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        (directory / "settings.json").write_text(json.dumps(settings))
        return directory

    return make


class Client:
    """aiocoap's client; used within one event loop."""

    def __init__(self, core: Core, directory: Path):
        host, port = coap_address(core)
        self.base, self.directory = f"coap://{host}:{port}", directory

    async def __aenter__(self) -> Client:
        self.context = await aiocoap.Context.create_client_context()
        security = {"oscore": {"basedir": str(self.directory)}}
        self.context.client_credentials.load_from_dict({f"{self.base}/*": security})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.context.shutdown()
        # Writes its numbers down, and lets another client have them.
        self.context.client_credentials[f"{self.base}/*"]._destroy()

    def request(self, code: int, path: str, payload: bytes = b"", **options: Any) -> Any:
        uri = f"{self.base}/{path}"
        message = aiocoap.Message(code=code, uri=uri, payload=payload, **options)
        return self.context.request(message)

    async def ask(self, *arguments: Any, **options: Any) -> tuple[str, bytes]:
        response = self.request(*arguments, **options).response
        answer = await asyncio.wait_for(response, 30)
        return answer.code.dotted, answer.payload


def test_aiocoap_reads_and_writes(sealed, directory):
    core, body = sealed(), os.urandom(5000)

    async def session() -> None:
        async with Client(core, directory("board", BOARD)) as client:
            assert await client.ask(aiocoap.PUT, "home/b1/t", b"23.5") == ("2.01", b"")
            assert core.get("/home/b1/t").body == b"23.5"
            assert await client.ask(aiocoap.GET, "home/b1/t") == ("2.05", b"23.5")
            assert (await client.ask(aiocoap.POST, "home/b1/t", b"!"))[0] == "2.04"
            assert (await client.ask(aiocoap.GET, "home/b1/none"))[0] == "4.04"
            assert (await client.ask(aiocoap.PUT, "home/b2/t", b"x"))[0] == "4.03", "not its world"
            assert (await client.ask(aiocoap.PUT, "home/b1/big", body))[0] == "2.01"
            assert core.get("/home/b1/big").body == body
            assert await client.ask(aiocoap.GET, "home/b1/big") == ("2.05", body)
            assert (await client.ask(aiocoap.DELETE, "home/b1/t"))[0] == "4.03", "not its tier"
            assert (await client.ask(aiocoap.PUT, "home/b1/t", b"", if_none_match=True))[
                0
            ] == "4.12"
            core.put("/home/b2/other", b"x")
            links = (await client.ask(aiocoap.GET, ".well-known/core"))[1]
            assert b"</home/b1/big>" in links and b"b2" not in links

    asyncio.run(session())


def test_a_context_is_chosen_by_its_id_too(sealed, directory):
    core = sealed()

    async def session() -> None:
        async with Client(core, directory("boss", BOSS)) as client:
            assert (await client.ask(aiocoap.PUT, "home/any", b"x"))[0] == "2.01"
            assert core.get("/home/any").body == b"x"
            assert (await client.ask(aiocoap.DELETE, "home/any"))[0] == "2.02"

    asyncio.run(session())
    assert core.get("/home/any").status == 404


@pytest.mark.parametrize("size", [10, 3000])
def test_aiocoap_observes(sealed, directory, size: int):
    core = sealed()
    core.put("/home/b1/o", b"0" * size)

    async def session() -> None:
        async with Client(core, directory("board", BOARD)) as client:
            # The first request after a start is asked to show that it is new; and a client that
            # has shown it asks once.
            assert (await client.ask(aiocoap.GET, "home/b1/o"))[0] == "2.05"
            watching = client.request(aiocoap.GET, "home/b1/o", observe=0)
            first = await asyncio.wait_for(watching.response, 10)
            assert first.payload == b"0" * size
            notes = watching.observation.__aiter__()
            for n in (b"1", b"2", b"3"):
                core.put("/home/b1/o", n * size)
                note = await asyncio.wait_for(notes.__anext__(), 10)
                assert note.payload == n * size
            watching.observation.cancel()

    asyncio.run(session())


def test_a_client_goes_on_after_a_restart(sealed, directory):
    first = sealed()
    where = directory("board", BOARD)

    async def put(core: Core, body: bytes) -> str:
        async with Client(core, where) as client:
            return (await client.ask(aiocoap.PUT, "home/b1/t", body))[0]

    assert asyncio.run(put(first, b"1")) == "2.01"
    first.kill()
    second = sealed()
    assert asyncio.run(put(second, b"2")) == "2.04"
    assert second.get("/home/b1/t").body == b"2"


class Board:
    """Makes single datagrams by aiocoap's OSCORE, and reads the answers."""

    def __init__(self, directory: Path):
        from aiocoap.oscore import FilesystemSecurityContext

        self.security = FilesystemSecurityContext(str(directory))

    def request(self, mid: int, code: int, path: str, payload: bytes = b"", **options: Any):
        """The datagram and what its answer is read with."""
        inner = aiocoap.Message(code=code, payload=payload, **options)
        inner.opt.uri_path = path.split("/")
        outer, asked = self.security.protect(inner)
        outer.mtype, outer.mid, outer.token = aiocoap.CON, mid, b"\x07"
        return outer.encode(), asked

    def answer(self, message: Message, asked: Any) -> Any:
        outer = aiocoap.Message.decode(message.raw)
        return self.security.unprotect(outer, asked)[0]


def proved(board: Board, peer: Peer) -> None:
    """Shows a core that has just started that the board's requests are new."""
    datagram, asked = board.request(1, aiocoap.GET, "home/b1/none")
    peer.send(datagram)
    challenge = board.answer(peer.receive(), asked)
    assert (challenge.code, len(challenge.opt.echo)) == (aiocoap.UNAUTHORIZED, 8)
    datagram, asked = board.request(2, aiocoap.GET, "home/b1/none", echo=challenge.opt.echo)
    peer.send(datagram)
    assert board.answer(peer.receive(), asked).code == aiocoap.NOT_FOUND


def test_what_was_heard_once_is_not_done_again(sealed, directory):
    core, board = sealed(), Board(directory("board", BOARD))
    with Peer(coap_address(core), token=None) as peer:
        proved(board, peer)
        here = peer.socket.getsockname()
        append, asked = board.request(3, aiocoap.POST, "home/b1/log", b"once")
        peer.send(append)
        done = peer.receive()
        assert (done.code, board.answer(done, asked).code) == ("2.04", aiocoap.CREATED)
        assert b"once" not in append and b"home" not in append
        peer.send(append)
        assert peer.receive().raw == done.raw, "a repeated datagram gets the same answer"
        # Somebody else sends the same under another message id, and from elsewhere.
        again = append[:2] + b"\x77\x77" + append[4:]
        peer.send(again)
        assert (replay := peer.receive()).code == "4.01" and replay.payload == b"Replay detected"
        with Peer(coap_address(core), token=None) as other:
            other.send(append)
            assert other.receive().code == "4.01"
    assert core.get("/home/b1/log").body == b"once"
    # After a restart nobody knows what was heard. The board that repeats its datagram is told what
    # came of it; whoever else sends it is asked whether it is new.
    core.kill()
    core = sealed()
    with Peer(coap_address(core), token=None, here=here) as peer:
        for datagram, code in [(append, aiocoap.CREATED), (again, aiocoap.UNAUTHORIZED)]:
            peer.send(datagram)
            answer = peer.receive()
            assert board.answer(answer, asked).code == code
            assert answer.option(OSCORE) != b"", "under a number that has not served before"
    with Peer(coap_address(core), token=None) as other:
        other.send(append)
        assert board.answer(other.receive(), asked).code == aiocoap.UNAUTHORIZED
    assert core.get("/home/b1/log").body == b"once"


def test_what_cannot_be_opened_is_refused(sealed, directory):
    core = sealed()
    board = Board(directory("board", BOARD))
    wrong = Board(directory("wrong", BOARD | {"secret_hex": "ff" * 16}))
    stranger = Board(directory("stranger", BOARD | {"sender-id_hex": "99"}))
    with Peer(coap_address(core), token=None) as peer:
        proved(board, peer)
        for who, code in [(wrong, "4.00"), (stranger, "4.01")]:
            for _ in range(9):
                # A number that the core has not seen from the board.
                datagram, _ = who.request(9, aiocoap.PUT, "home/b1/x", b"x")
            peer.send(datagram)
            refused = peer.receive()
            assert (refused.code, refused.option(OSCORE)) == (code, None)
        datagram, _ = board.request(10, aiocoap.PUT, "home/b1/x", b"x")
        for at in range(8, len(datagram)):
            changed = bytearray(datagram)
            changed[at] ^= 1
            peer.send(bytes(changed))
            assert peer.receive().code in ("0.00", "4.00", "4.01", "4.02", "5.05"), at
        assert core.get("/home/b1/x").status == 404
        peer.send(datagram)
        assert peer.receive().code == "2.04", "and the genuine one still counts"
    assert core.get("/home/b1/x").body == b"x"
    assert SECRET not in core.stderr()


def test_without_contexts_the_option_is_unknown(start_coap, directory):
    core, board = start_coap(), Board(directory("board", BOARD))
    with Peer(coap_address(core), token=None) as peer:
        peer.send(board.request(1, aiocoap.GET, "home/b1/x")[0])
        assert peer.receive().code == "4.02"


def test_a_client_leaves_by_its_own_sealed_word(sealed, directory):
    core, board = sealed(), Board(directory("board", BOARD))
    core.put("/home/b1/o", b"0")
    with Peer(coap_address(core), token=None) as peer:
        proved(board, peer)
        datagram, watching = board.request(3, aiocoap.GET, "home/b1/o", observe=0)
        assert datagram[1] == 5, "outside it looks like a FETCH"
        peer.send(datagram)
        first = peer.receive()
        assert first.code == "2.05" and board.answer(first, watching).payload == b"0"
        core.put("/home/b1/o", b"1")
        note = peer.receive()
        peer.acknowledge(note)
        assert board.answer(note, watching).payload == b"1"
        # The same address and token without the key: it is answered, and ends nothing.
        for value in (b"\x01", b""):
            plain = build(0, GET, 20 + len(value), b"\x07", [*segments("home/b1/o"), (6, value)])
            peer.send(plain)
            assert peer.receive().code == "4.01"
        core.put("/home/b1/o", b"1", content_type="application/octet-stream")
        peer.acknowledge(peer.receive())
        datagram, asked = board.request(4, aiocoap.GET, "home/b1/o", observe=1)
        peer.send(datagram)
        assert board.answer(peer.receive(), asked).payload == b"1"
        core.put("/home/b1/o", b"2")
        assert peer.silence()


def test_a_file_that_is_wrong_is_named_without_its_secrets(start_core, tmp_path: Path):
    file = tmp_path / "contexts"
    file.write_text("board1 write client=1 server=2 secret=topsecret\n")
    core = start_core(env={"ELASTIK_COAP_PORT": "0", "ELASTIK_COAP_OSCORE_FILE": str(file)})
    assert wait_for(lambda: "CoAP is off" in core.stderr())
    assert "line 1: the secret has at least 16 bytes" in core.stderr()
    assert "topsecret" not in core.stderr()


def test_plain_requests_are_served_beside_sealed_ones(sealed):
    core = sealed()
    core.put("/home/b1/t", b"x")
    with Peer(coap_address(core)) as peer:
        assert read(peer.ask(GET, "home/b1/t").raw).payload == b"x"
