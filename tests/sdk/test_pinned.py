"""An open world is one version: grown, replaced, kept, gone; and the window it is read through."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

import realcore
from elastik import Elastik, NotFound, PreconditionFailed, pinned
from elastik.pinned import Window
from scriptedserver import VERSION_8, Scripted

OLD = b"0123456789" * 10


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pinned, "READ_AHEAD", 10)


@pytest.fixture(scope="module")
def keeping(core_binary, tmp_path_factory):
    core = realcore.launch(
        core_binary,
        tmp_path_factory.mktemp("pinned") / "data",
        env={"ELASTIK_HISTORY": "home/kept/*=3"},
    )
    with Elastik(core.url, core.approve) as client:
        yield client
    core.kill()


def test_what_is_appended_later_is_not_seen_and_disturbs_nothing(keeping, small_pieces):
    keeping.put("log", OLD)
    with keeping.open("log") as f:
        parts = [f.read(10)]
        for _ in range(9):
            keeping.post("log", b"more")
            parts.append(f.read(10))
        assert f.read() == b""
    assert b"".join(parts) == OLD


def test_a_replaced_world_is_read_from_its_history(keeping, small_pieces):
    keeping.put("kept/a", OLD)
    with keeping.open("kept/a") as f:
        assert f.read(10) == OLD[:10]
        keeping.post("kept/a", b"more")
        assert f.read(10) == OLD[10:20]
        keeping.put("kept/a", b"x" * 1000)
        keeping.put("kept/a", b"y" * 5)
        with pytest.raises(PreconditionFailed):
            # The pin is on the grown version by now, and of the last three that one is kept, too.
            keeping.get("kept/a", range=(0, 1), headers={"If-Match": '"hmac-0"'})
        assert f.read() == OLD[20:]
        f.seek(0)
        assert f.read() == OLD


def test_a_version_that_is_not_kept_is_told(keeping, small_pieces):
    for path in ("other", "tmp/other"):
        keeping.put(path, OLD)
        with keeping.open(path) as f:
            f.read(10)
            keeping.put(path, b"x" * 1000)
            for _ in range(2):
                with pytest.raises(PreconditionFailed, match="changed after it was opened"):
                    f.read(10)
            assert f.tell() == 10


def test_a_deleted_world_is_not_found(keeping, small_pieces):
    keeping.put("gone", OLD)
    with keeping.open("gone") as f:
        keeping.delete("gone")
        with pytest.raises(NotFound):
            f.read()


@pytest.mark.parametrize("size", [5, 200])
def test_versions_do_not_mix_on_a_core_without_history(request, small_pieces, size):
    from elastik import FakeElastik

    for client in (request.getfixturevalue("old"), FakeElastik()):
        client.put("a", OLD)
        with client.open("a") as f:
            assert f.read(10) == OLD[:10]
            client.put("a", b"x" * size)
            with pytest.raises(PreconditionFailed, match="changed after"):
                f.read(10)


def test_a_server_without_ranges_gives_the_same_bytes(small_pieces):
    def script(_number, _turn, head):
        if head.startswith("GET /proc/version"):
            return VERSION_8
        answer = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: "x"\r\n\r\n'
        return answer if head.startswith("HEAD") else answer + OLD

    with Elastik(Scripted(script).url, "") as e, e.open("a") as f:
        f.seek(15)
        assert f.read(10) == OLD[15:25]


@given(st.binary(max_size=50), st.lists(st.tuples(st.integers(0, 2), st.integers(-60, 60))))
def test_any_walk_reads_as_a_local_file(data, steps):
    window, local = Window(len(data)), io.BytesIO(data)
    for whence, offset in steps:
        count = window.wanted(abs(offset))
        piece = window.missing(count)
        if piece is not None:
            window.fill(data[piece[0] : piece[1] + 1])
        assert window.take(count) == local.read(abs(offset))
        start = {0: 0, 1: local.tell(), 2: len(data)}[whence]
        assert window.seek(offset, whence) == local.seek(max(0, start + offset))
