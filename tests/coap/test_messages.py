"""Duplicates, restarts, resets, garbage: what the message layer promises on the wire."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from coapwire import ACK, CON, CONTENT_FORMAT, GET, NON, POST, PUT, RST, Peer, build, coap_address

VECTORS = Path(__file__).parent.parent / "fixtures" / "coap" / "vectors.json"


def events(core, path: str) -> int:
    """Events in the world's chain."""
    reply = core.verify(path)
    assert reply.status == 200, reply
    return int(reply.headers["x-audit-events"])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for the threads")
def test_its_sockets_have_a_thread_of_their_own(coap_core, start_core):
    def threads(core):
        tasks = Path("/proc", str(core.process.pid), "task").glob("*/comm")
        return [task.read_text().strip() for task in tasks]

    assert threads(coap_core).count("coap") == 1
    assert "coap" not in threads(start_core())


def test_a_repeated_append_is_one_event(coap_core, peer, fresh):
    path = fresh()
    append = peer.request(POST, path, b"a")
    answers = []
    for _ in range(5):
        peer.send(append)
        answers.append(peer.receive().raw)
    assert len(set(answers)) == 1
    assert coap_core.get("/" + path).body == b"a"
    assert events(coap_core, path) == 1


def test_a_rebooted_board_is_heard(coap_core, peer, fresh):
    """The same message id with other bytes is a new reading, not an old duplicate."""
    path = fresh()
    for reading in (b"23.5", b"23.6"):
        assert peer.ask(PUT, path, reading, mid=1).code in ("2.01", "2.04")
    assert coap_core.get("/" + path).body == b"23.6"


def test_a_retransmission_after_a_restart_writes_nothing(start_coap):
    core = start_coap()
    with Peer(coap_address(core)) as peer:
        append = peer.request(POST, "home/log", b"a")
        peer.send(append)
        first = peer.receive()
        here = peer.socket.getsockname()
    core.kill()
    again = start_coap()
    with Peer(coap_address(again), here=here) as peer:
        peer.send(append)
        second = peer.receive()
    assert (first.code, second.code) == ("2.01", "2.01")
    assert first.option(4) == second.option(4)
    assert again.get("/home/log").body == b"a"
    assert events(again, "home/log") == 1


def test_an_upload_committed_before_a_restart_is_not_done_again(start_coap):
    core = start_coap()
    with Peer(coap_address(core)) as peer:
        first = peer.ask(POST, "home/log", b"A" * 64, [(27, b"\x0a")])
        last = peer.request(POST, "home/log", b"B", [(27, b"\x12")])
        peer.send(last)
        done = peer.receive()
        here = peer.socket.getsockname()
    assert (first.code, done.code) == ("2.31", "2.01")
    core.kill()
    again = start_coap()
    with Peer(coap_address(again), here=here) as peer:
        peer.send(last)
        assert peer.receive().code == "2.01"
        # Another last block without a beginning is refused.
        assert peer.ask(POST, "home/log", b"C", [(27, b"\x12")]).code == "4.08"
    assert again.get("/home/log").body == b"A" * 64 + b"B"


def test_two_hundred_appends_through_a_lossy_path(coap_core, fresh):
    """30 % lost both ways, sent again as RFC 7252 §4.2 says: exactly 200 events."""
    path, dice = fresh(), random.Random(4711)
    with Peer(coap_address(coap_core)) as peer:
        for n in range(200):
            append = peer.request(POST, path, b"%d\n" % n)
            for _ in range(40):
                if dice.random() >= 0.3:
                    peer.send(append)
                    answer = peer.receive()
                    if dice.random() >= 0.3:
                        break
            else:
                pytest.fail("never got through")
            assert answer.code in ("2.01", "2.04")
    assert coap_core.get("/" + path).body == b"".join(b"%d\n" % n for n in range(200))
    assert events(coap_core, path) == 200


def test_a_non_confirmable_write_is_done_once(coap_core, peer, fresh):
    path = fresh()
    append = peer.request(POST, path, b"a", kind=NON)
    peer.send(append)
    assert peer.receive().kind == NON
    peer.send(append)
    assert peer.silence()
    assert coap_core.get("/" + path).body == b"a"


def rss(core) -> int:
    """Resident bytes of the core."""
    pages = int(Path(f"/proc/{core.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_garbage_is_survived_in_bounded_memory(start_coap):
    """100,000 random datagrams: no answer to ACK or RST, no crash, no growth."""
    core, dice = start_coap(), random.Random(99)
    with Peer(coap_address(core), token=None) as peer:
        before = rss(core)
        for n in range(100_000):
            raw = bytearray(dice.randbytes(dice.randrange(0, 40)))
            if raw and n % 2:
                raw[0] = 0x40 | dice.choice((ACK, RST)) << 4 | raw[0] & 3
            peer.send(bytes(raw))
            if n % 64 == 63:
                while not peer.silence(0):
                    answer = peer.receive(0)
                    assert answer.kind in (ACK, NON, RST)
        while not peer.silence(0.3):
            peer.receive(0)
        for _ in range(2000):
            raw = dice.randbytes(dice.randrange(4, 40))
            peer.send(bytes((0x40 | dice.choice((ACK, RST)) << 4 | raw[0] & 7,)) + raw[1:])
        assert peer.silence(), "an ACK or a RST was answered"
        assert peer.ask(GET, "home/none").code == "4.01"
        assert rss(core) - before < 5 << 20
    assert core.process.poll() is None


SOAK = float(os.environ.get("ELASTIK_SOAK_SECONDS", "0"))
SEED = int(os.environ.get("ELASTIK_SOAK_SEED", "1"))


def mutated(raw: bytes, dice: random.Random) -> bytes:
    """A datagram with a few bits, bytes or a whole part changed."""
    data = bytearray(raw)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                data[at] = dice.randrange(256)
            case 2:
                data[at:at] = dice.randbytes(dice.randrange(1, 5))
            case _ if len(data) > 5:
                del data[at]
    return bytes(data)


@pytest.mark.soak
def test_broken_vectors_break_nothing(start_coap):
    """Nearly right datagrams reach further in than random ones: the core answers on."""
    core, dice = start_coap(), random.Random(SEED)
    seeds = [
        bytes.fromhex(text)
        for vector in json.loads(VECTORS.read_text())
        for text in vector["send"]
        if text not in ("ETAG", "OBSRST")
    ]
    end = time.monotonic() + max(SOAK, 2)
    with Peer(coap_address(core)) as peer:
        while time.monotonic() < end:
            for _ in range(50):
                peer.send(mutated(dice.choice(seeds), dice))
            while not peer.silence(0):
                peer.receive(0)
        while not peer.silence(0.2):
            peer.receive(0)
        peer.socket.close()
    with Peer(coap_address(core)) as peer:
        assert peer.ask(PUT, "home/alive", b"yes").code == "2.01"
    assert core.process.poll() is None


def test_a_ping_is_reset(peer):
    peer.send(build(CON, 0, 77))
    assert peer.receive().raw == build(RST, 0, 77)


def test_many_requests_in_flight_are_all_answered(coap_core, peer, fresh):
    path = fresh()
    wanted = set()
    for n in range(128):
        token = n.to_bytes(2, "big")
        peer.send(peer.request(PUT, f"{path}{n}", b"x", [(CONTENT_FORMAT, b"")], token=token))
        wanted.add(token)
    end = time.monotonic() + 10
    while wanted and time.monotonic() < end:
        answer = peer.receive()
        assert answer.code == "2.01"
        wanted.discard(answer.token)
        if answer.kind == CON:
            peer.acknowledge(answer)
    assert not wanted
