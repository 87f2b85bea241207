"""Event streams of both cores: frames, patterns, replay, lag and limits (core.md section 6)."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import time

import pytest

from core.published_differences import MORE_LINES
from realcore import APPROVE, free_port, launch

# Pattern -> what ours hears of PATHS when that is something else than 8.3 hears.
PATHS = [
    "/home/a",
    "/home/a/b",
    "/home/a/b/c",
    "/home/ab",
    "/tmp/a",
    "/home/x*y",
    "/home/%E6%97%A5",
]
EVERY_ONE = [*PATHS[:-1], "/home/日"]
PATTERNS = {
    "*": None,
    "home/*": None,
    "home/a": None,
    "home/a*": None,
    "home/a/*": None,
    "h*": None,
    "t*": None,
    "/home/a": None,
    "home/%E6%97%A5": None,
    "Home/a": None,
    "home": None,
    "home/..": 400,
    "proc/version": None,
    "a": ["/home/a"],
    "a/*": ["/home/a/b", "/home/a/b/c"],
    "home/*b": ["/home/ab"],
    "home/*/b": ["/home/a/b"],
    "*/*": EVERY_ONE,
    "**": EVERY_ONE,
    "home/**": [path for path in EVERY_ONE if path.startswith("/home/")],
    "home/x%2Ay": None,
}


@pytest.fixture(scope="module")
def both(published, core_binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    env = {"ELASTIK_LISTEN_REPLAY_MAX": "16", "ELASTIK_MAX_LISTEN_CONNECTIONS": "40"}
    cores = [
        launch(binary, folder / name, port=free_port(), env=env)
        for name, binary in (("ours", core_binary), ("theirs", published.binary))
    ]
    yield cores
    for core in cores:
        core.kill()


def as_published(frame):
    """A frame without the lines that 8.3 does not have, and without its number."""
    kept = []
    for line in frame.splitlines():
        name = line.removeprefix("data: ").partition(":")[0]
        if not line.startswith("data: ") or name not in MORE_LINES:
            kept.append(re.sub(r"^id: \d+$", "id: N", line))
    return "\n".join(kept)


def number(frame):
    return int(re.search(r"^id: (\d+)$", frame, re.M)[1])


def write(core):
    """Writes of each kind, refused ones among them; the last one is the end."""
    core.put("/home/e", b"1")
    core.put("/home/e", b"1")
    core.put("/home/e", b"2", If_None_Match="*")
    core.request("POST", "/home/e", b"3")
    core.request("POST", "/home/none", b"3")
    core.put("/tmp/e", b"1", Content_Type="a/b")
    core.request("DELETE", "/tmp/e")
    core.request("DELETE", "/home/e")
    core.request("DELETE", "/home/e")
    core.request("POST", "/var/log/deletes", b"x")
    core.put("/home/end", b"")


def heard(core, act, **options):
    """The frames of a stream from `act` to the world `end`."""
    with core.listen(**options) as ears:
        assert ears.status == 200
        act(core)
        frames = []
        while not frames or "/home/end\n" not in frames[-1] + "\n":
            frames.append(ears.frame())
            assert frames[-1], "the stream ended"
        return frames


def test_frames(both):
    told = []
    for core in both:
        frames = heard(core, write)
        told.append([as_published(frame) for frame in frames])
        numbers = [number(frame) for frame in frames]
        assert numbers == sorted(set(numbers))
    # The ledger's tag is of its whole chain, the same in both.
    assert told[0] == told[1]
    kinds = [frame.partition("\n")[0] for frame in told[0]]
    names = ["put", "put", "post", "put", "delete", "delete", "post", "put"]
    assert kinds == [f"event: {name}" for name in names]


def test_a_streams_head(both):
    heads = []
    for core in both:
        with core.listen() as ears:
            fields = {name.lower(): value for name, value in ears.response.getheaders()}
            heads.append((ears.status, fields))
    (status, ours), (same, theirs) = heads
    assert status == same
    assert ours.pop("x-last-event-id").isdigit()
    for volatile in ("date", "x-request-id", "x-elapsed-us"):
        assert ours.pop(volatile) and theirs.pop(volatile)
    assert ours == theirs


def hear_patterns(core):
    """What each pattern hears of a write to each path, and whether it is refused."""
    with contextlib.ExitStack() as stack:
        streams = {}
        for pattern in PATTERNS:
            line = stack.enter_context(socket.create_connection(core.address, timeout=10))
            # HTTP/1.0: no chunks, so that what comes is the frames themselves.
            head = f"GET /listen/{pattern} HTTP/1.0\r\nAuthorization: Bearer {APPROVE}\r\n\r\n"
            line.sendall(head.encode())
            streams[line] = pattern
        came = dict.fromkeys(PATTERNS, b"")
        for line, pattern in streams.items():
            while b"\r\n\r\n" not in came[pattern]:
                came[pattern] += line.recv(65536)
        for path in PATHS:
            core.put(path, b"x")
        open_lines = set(streams)
        while ready := select.select(open_lines, [], [], 0.5)[0]:
            for line in ready:
                part = line.recv(65536)
                came[streams[line]] += part
                if not part:
                    open_lines.discard(line)
    return {pattern: paths_in(bytes_) for pattern, bytes_ in came.items()}


def paths_in(came):
    status, found = int(came.split()[1]), re.findall(r"^data: path: (.*)$", came.decode(), re.M)
    return found if status == 200 else status


def test_patterns(both):
    ours, theirs = (hear_patterns(core) for core in both)
    for pattern, otherwise in PATTERNS.items():
        assert ours[pattern] == (theirs[pattern] if otherwise is None else otherwise), pattern
        assert otherwise is None or theirs[pattern] != otherwise, pattern


@pytest.mark.parametrize("form", ["{}", "00{}", " {} ", "", "x", "-{}", "{}.5", "9" * 20])
def test_numbers(both, form):
    """What is no number asks for no replay; after one, what came after it comes again."""
    told = []
    for core in both:
        with core.listen() as ears:
            core.put("/home/start", b"")
            start = ears.event()["id"]
        core.put("/home/between", b"")

        def end(core):
            core.put("/home/end", b"")

        told.append(len(heard(core, end, last_event_id=form.format(start))))
    assert told[0] == told[1]


def test_replay(both):
    told = []
    for core in both:
        frames = heard(core, write)
        first = number(frames[0])
        again = heard(core, lambda core: None, last_event_id=str(first), pattern="home/*")
        told.append([as_published(frame) for frame in again])
    assert told[0] == told[1]
    assert len(told[0]) == 4


def test_lag_where_memory_was_lost(both):
    """More events in memory than the ring holds: both say that some are missing."""
    told = []
    for core in both:
        with core.listen() as ears:
            core.put("/tmp/first", b"")
            start = ears.event()["id"]
        for count in range(40):
            core.put(f"/tmp/r{count % 3}", b"%d" % count)
        with core.listen("tmp/*", last_event_id=start) as ears:
            told.append(ears.frame().splitlines()[:2])
            assert ears.event()["path"].startswith("/tmp/r")
    assert told[0][0] == told[1][0] == "event: lag"
    assert [line.startswith("data: missed: ") for line in (told[0][1], told[1][1])] == [True, True]


def test_too_many_listeners(both):
    for core in both:
        with contextlib.ExitStack() as open_streams:
            for _ in range(40):
                assert open_streams.enter_context(core.listen()).status == 200
            with core.listen() as refused:
                assert refused.status == 503
                assert refused.response.getheader("retry-after") == "1"
                assert refused.response.read() == b"too many listen connections\n"
        end = time.monotonic() + 10
        status = 503
        while status == 503 and time.monotonic() < end:
            with core.listen() as again:
                status = again.status
        assert status == 200


def test_a_stop_ends_streams_in_order(published, core_binary, tmp_path):
    for name, binary in (("ours", core_binary), ("theirs", published.binary)):
        core = launch(binary, tmp_path / name, port=free_port())
        with core.listen() as ears:
            core.put("/home/a", b"x")
            assert ears.event()["path"] == "/home/a"
            assert core.stop() == 0
            # No IncompleteRead: the last chunk has come.
            assert ears.response.read() == b""


def test_who_may_listen(both):
    for token, status in ((None, 401), ("wrong", 401)):
        for core in both:
            with core.listen(token=token) as ears:
                assert ears.status == status
                assert ears.response.read() == b"auth required: listen requires read token\n"
