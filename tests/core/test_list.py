"""Lists of worlds: one directory, its depth, pages, both forms."""

from __future__ import annotations

import itertools
import json
import threading

import pytest

NAMES = ["a", "a/b", "a/b/c", "a!", "d/e/f", "d/e/g", "z é", "d0"]


@pytest.fixture(scope="module")
def shelf(shared_core):
    for name in NAMES:
        assert (
            shared_core.put(
                f"/home/shelf/{name.replace(' ', '%20').replace('é', '%C3%A9')}", b"x"
            ).status
            == 201
        )
    shared_core.put("/tmp/shelf/m", b"xyz")
    shared_core.put("/home/shelf0", b"not below")
    return shared_core


def paths(reply):
    assert reply.status == 200
    return [line.split("\t")[0] for line in reply.body.decode().splitlines()]


def full(*names):
    return [f"home/shelf/{name}" for name in sorted(names, key=str.encode)]


def test_a_directory_is_everything_below_it(shelf):
    for target in ("/proc/list/home/shelf", "/proc/list/shelf/", "/proc/list//home/shelf/"):
        assert paths(shelf.get(target)) == full(*NAMES)


def test_depth_folds_what_is_deeper(shelf):
    assert paths(shelf.get("/proc/list/shelf?depth=1")) == full("a", "a!", "a/", "d/", "d0", "z é")
    two = paths(shelf.get("/proc/list/shelf?depth=2"))
    assert two == full("a", "a!", "a/b", "a/b/", "d/e/", "d0", "z é")
    assert "home/" in paths(shelf.get("/proc/list?depth=1"))


def test_pages_join_without_gap_or_repeat(shelf):
    for depth in (0, 1, 2):
        whole = paths(shelf.get(f"/proc/list/shelf?depth={depth}"))
        pages, after = [], ""
        while page := paths(shelf.get(f"/proc/list/shelf?depth={depth}&limit=2&after={after}")):
            pages += page
            after = page[-1].replace(" ", "%20").replace("é", "%C3%A9")
        assert pages == whole


def test_a_line_tells_what_head_tells(shelf):
    line = next(i for i in shelf.get("/proc/list/shelf").body.decode().splitlines() if "\t" in i)
    path, size, etag, kind, modified, events = line.split("\t")
    head = shelf.request("HEAD", f"/{path}")
    assert (size, f'"{etag}"', kind, events) == (
        head.headers["content-length"],
        head.etag,
        head.headers["content-type"],
        "1",
    )
    assert modified.startswith("20")
    assert modified.endswith("Z")


def test_json_lines_by_accept(shelf):
    reply = shelf.get("/proc/list/tmp/shelf", accept="application/x-ndjson")
    assert reply.headers["content-type"] == "application/jsonl"
    (row,) = [json.loads(line) for line in reply.body.splitlines()]
    assert {k: row[k] for k in ("path", "size", "type", "events")} == {
        "path": "tmp/shelf/m",
        "size": 3,
        "type": "application/octet-stream",
        "events": 1,
    }
    assert row["etag"].startswith("sha256-")
    folded = shelf.get("/proc/list/?depth=1", accept="application/jsonl").body.splitlines()
    assert {"path": "home/"} in [json.loads(line) for line in folded]


@pytest.mark.parametrize("query", ["limit=x", "depth=-1", "after=%FF"])
def test_bad_values_are_named(shelf, query):
    reply = shelf.get(f"/proc/list/shelf?{query}")
    assert (reply.status, reply.body[:12]) == (400, b"bad request:")


def test_lists_need_the_read_token(shelf):
    assert shelf.request("GET", "/proc/list/", token=None).status == 401
    assert shelf.request("PUT", "/proc/list/x", b"").status == 405


def test_a_long_list_is_whole_and_in_order(start_core):
    core = start_core()
    for number in range(2500):
        core.put(f"/tmp/many/{number:05}/x", b"")
    expected = [f"tmp/many/{number:05}/x" for number in range(2500)]
    assert paths(core.get("/proc/list/tmp/many")) == expected
    assert core.get("/proc/worlds").body.decode().splitlines() == expected
    folded = paths(core.get("/proc/list/tmp/many?depth=1"))
    assert folded == [f"tmp/many/{number:05}/" for number in range(2500)]
    assert paths(core.get("/proc/list/tmp?depth=1")) == ["tmp/many/"]
    # Others come and go meanwhile: what is there all the time is there once, in its place.
    done = threading.Event()

    def disturb():
        for number in itertools.cycle(range(0, 2500, 7)):
            core.put(f"/tmp/many/{number:05}/a", b"")
            core.request("DELETE", f"/tmp/many/{number:05}/a")
            if done.is_set():
                return

    writer = threading.Thread(target=disturb)
    writer.start()
    try:
        for _ in range(5):
            listed = paths(core.get("/proc/list/tmp/many"))
            assert [path for path in listed if path.endswith("/x")] == expected
            assert listed == sorted(set(listed))
    finally:
        done.set()
        writer.join()
