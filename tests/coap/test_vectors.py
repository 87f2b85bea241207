"""The fifty vectors: what the RFCs demand of a datagram, from the bytes alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coapwire import ACK, CON, CREDENTIAL, ETAG, NON, RST, Message, Peer, build, coap_address, read
from realcore import APPROVE, launch

FILE = Path(__file__).parent.parent / "fixtures" / "coap" / "vectors.json"
VECTORS = {vector["id"]: vector for vector in json.loads(FILE.read_text())}
TEXT = [(12, b"")]
NO_CREDENTIAL = "V01 V07 V08 V09 V10 V11 V12 V13 V14 V15 V25 V27 V47".split()


def shape(*expected: tuple[int, str]) -> Callable[[list[Message]], bool]:
    return lambda got: [(message.kind, message.code) for message in got] == list(expected)


def both(*checks: Callable[[list[Message]], bool]) -> Callable[[list[Message]], bool]:
    return lambda got: all(check(got) for check in checks)


def reset(got: list[Message]) -> bool:
    return shape((RST, "0.00"))(got) and len(got[0].raw) == 4


def silence(got: list[Message]) -> bool:
    return got == []


def twins(got: list[Message]) -> bool:
    return len(got) == 2 and got[0].raw == got[1].raw


CONTENT = shape((ACK, "2.05"))
CHECKS: dict[str, Callable[[list[Message]], bool]] = {
    "S0": lambda got: got[0].kind == ACK and got[0].code in ("2.01", "2.04"),
    "V01": both(reset, lambda got: got[0].mid == 0x1001),
    "V02": both(
        CONTENT,
        lambda got: (got[0].mid, got[0].token, got[0].payload) == (0x1002, b"\xca\xfe", b"23.5"),
    ),
    "V03": both(shape((NON, "2.05")), lambda got: got[0].token == b"\xca\xfe"),
    "V04": both(shape((ACK, "2.05"), (ACK, "2.05")), twins),
    "V05": both(shape((ACK, "2.01"), (ACK, "2.01")), twins),
    "V06": shape((NON, "2.05")),
    "V07": silence,
    "V08": reset,
    "V09": silence,
    "V10": reset,
    "V11": reset,
    "V12": reset,
    "V13": reset,
    "V14": reset,
    "V15": reset,
    "V16": shape((ACK, "4.05")),
    "V17": shape((ACK, "4.02")),
    "V18": silence,
    "V19": CONTENT,
    "V20": shape((ACK, "4.02")),
    "V21": shape((ACK, "4.02")),
    "V22": shape((ACK, "4.06")),
    "V23": shape((ACK, "5.05")),
    "V24": reset,
    "V25": silence,
    "V26": silence,
    "V27": silence,
    "V28": shape((ACK, "4.04")),
    "V29": shape((ACK, "4.12")),
    "V30": shape((ACK, "4.12")),
    "V31": both(shape((ACK, "2.03")), lambda got: got[0].payload == b""),
    "V32": shape((ACK, "2.02")),
    "V33": both(
        shape((ACK, "2.31"), (ACK, "2.01")),
        lambda got: [message.number(27) for message in got] == [0x0A, 0x12],
    ),
    "V34": shape((ACK, "4.08")),
    "V35": shape((ACK, "4.00")),
    "V36": both(
        CONTENT,
        lambda got: (
            (got[0].payload, got[0].number(23)) == (b"A" * 16, 0x08)
            and got[0].option(ETAG) is not None
        ),
    ),
    "V37": shape((ACK, "4.00")),
    "V38": both(
        shape((ACK, "2.05"), (ACK, "2.05")),
        lambda got: got[0].number(6) is not None and got[1].number(6) is None,
    ),
    "V39": both(shape((ACK, "2.05"), (CON, "2.05")), lambda got: got[1].payload == b"30"),
    "V40": both(CONTENT, lambda got: got[0].number(12) == 40),
    "V41": both(CONTENT, lambda got: got[0].payload == b""),
    "V42": shape((ACK, "4.00")),
    "V43": shape((ACK, "4.00")),
    "V44": shape((ACK, "4.02")),
    "V45": lambda got: got[0].code in ("4.05", "4.15"),
    "V46": silence,
    "V47": shape((ACK, "4.01")),
    "V48": both(CONTENT, lambda got: got[0].token == b"\xff" * 8),
    "V49": both(shape((ACK, "2.01"), (ACK, "2.05")), lambda got: got[1].number(12) == 50),
    "V50": CONTENT,
}


def with_credential(raw: bytes) -> bytes:
    message = read(raw)
    options = [*message.options, (CREDENTIAL, APPROVE.encode())]
    return build(message.kind, raw[1], message.mid, message.token, options, message.payload)


def exchange(peer: Peer, datagrams: list[bytes]) -> list[Message]:
    got = []
    for datagram in datagrams:
        peer.send(datagram)
        while not peer.silence(0.15):
            got.append(peer.receive())
    return got


def observe_and_reset(peer: Peer, writer: Peer) -> list[Message]:
    got = [peer.ask(1, "home/sensor/temp", b"", [(6, b"")], mid=0x1029)]
    writer.ask(3, "home/sensor/temp", b"30", TEXT)
    got.append(peer.receive())
    peer.reset(got[-1])
    writer.ask(3, "home/sensor/temp", b"31", TEXT)
    while not peer.silence():
        got.append(peer.receive())
    return got


def run(vector: dict, address: tuple[str, int]) -> list[Message]:
    with Peer(address) as peer, Peer(address) as writer:
        if vector["send"] == ["ETAG"]:
            etag = peer.ask(1, "home/sensor/temp").option(ETAG) or b""
            return exchange(peer, [peer.request(1, "home/sensor/temp", b"", [(ETAG, etag)])])
        if vector["send"] == ["OBSRST"]:
            return observe_and_reset(peer, writer)
        datagrams = [bytes.fromhex(text) for text in vector["send"]]
        if vector["id"] not in NO_CREDENTIAL:
            datagrams = [with_credential(datagram) for datagram in datagrams]
        return exchange(peer, datagrams)


@pytest.fixture(scope="module")
def answers(core_binary, tmp_path_factory) -> dict[str, list[Message]]:
    """Every vector in order against one fresh core."""
    core = launch(core_binary, tmp_path_factory.mktemp("v") / "d", env={"ELASTIK_COAP_PORT": "0"})
    try:
        address = coap_address(core)
        return {name: run(vector, address) for name, vector in VECTORS.items()}
    finally:
        core.kill()


def test_every_vector_has_a_check():
    assert list(CHECKS) == list(VECTORS) and len(CHECKS) == 51


@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str, answers: dict[str, list[Message]]):
    vector, got = VECTORS[name], answers[name]
    assert CHECKS[name](got), f"{vector['what']}: expected {vector['expect']}, got {got}"


def test_refused_writes_changed_nothing(answers: dict[str, list[Message]]):
    # V29 and V30 tried to write 99; V46 wrote 23.6 in silence.
    assert answers["V31"][0].code == "2.03"
    assert answers["V48"][0].payload == b"23.6"
