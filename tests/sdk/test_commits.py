"""What the core does in one commit: copies, moves, trees, patches, batches."""

from __future__ import annotations

import pytest

from elastik import ElastikError, FakeElastik, NotFound, PreconditionFailed, Unsupported


def test_a_copy_is_one_request_and_one_event(e):
    e.put("a", b"x" * 100_000, content_type="t/x", project="p")
    e.enable_debug(record=True)
    with e.listen("*", timeout=5) as events:
        e.copy("a", "b", atomic=True)
        event = next(events)
    assert [row["method"] for row in e.debug_history if row["path"] != "/proc/version"] == ["COPY"]
    assert (event["event"], event["path"]) == ("put", "/home/b")
    assert (e.head("b")["content-type"], e.head("b")["x-meta-project"]) == ("t/x", "p")
    assert e.verify("b")


def test_a_move_keeps_everything_and_is_audited(e):
    e.put("a", b"x", content_type="t/x", project="p")
    assert e.mv("a", "b", atomic=True) == 1
    assert not e.exists("a")
    assert e.head("b")["x-meta-project"] == "p"
    assert e.verify("var/log/deletes")


def test_trees_move_and_go_whole(e):
    e.put_many({f"t/{n}/x": b"%d" % n for n in range(20)})
    e.put("t", b"itself")
    e.enable_debug(record=True)
    assert e.mv("t", "u", recursive=True) == 21
    assert [row["method"] for row in e.debug_history].count("MOVE") == 2
    assert e.get("u") == b"itself"
    assert e.ls("u", depth=-1)[0] == "home/u"
    assert e.rm("u", recursive=True) == 21
    assert e.ls("u", depth=-1) == []
    assert e.rm("u", recursive=True) == 0


def test_a_tree_is_not_moved_over_another(e):
    e.put_many({"t/1": b"1", "t/2": b"2", "u/2": b"old"})
    with pytest.raises(FileExistsError):
        e.mv("t", "u", recursive=True)
    assert (e.get("t/1"), e.get("u/2")) == (b"1", b"old")


def test_a_whole_namespace_needs_force(e):
    e.put_many({"tmp/a": b"", "tmp/b/c": b""})
    assert e.rm("tmp", recursive=True, force=True) == 2


def test_an_older_core_does_it_in_steps_or_refuses(old):
    old.put("a", b"1", cache_control="no-store")
    assert old.copy("a", "b")["status"] == 201
    assert old.head("b")["cache-control"] == "no-store"
    assert old.mv("b", "c") == 1
    old.put("d/1", b"")
    assert old.mv("d", "f", recursive=True) == 1
    assert old.rm("f", recursive=True) == 1
    for call in (old.copy, old.mv):
        with pytest.raises(Unsupported):
            call("a", "x", atomic=True)
    with pytest.raises(Unsupported):
        old.patch("a", {})
    with pytest.raises(Unsupported):
        old.batch([])


def test_listing_is_read_as_it_is_consumed(e):
    e.put_many({f"many/{n:05}": b"xy" for n in range(2500)}, max_workers=8)
    entries = e.entries("many")
    first = next(entries)
    assert first["path"] == "home/many/00000"
    assert (first["size"], first["events"]) == (2, 1)
    assert first["etag"].strip('"').startswith("hmac-")
    assert first["modified"].endswith("Z")
    assert sum(1 for _ in entries) == 2499
    assert next(e.entries("", depth=1))["path"] == "home/"


def test_an_abandoned_listing_costs_only_its_connection(e):
    e.put_many({f"many/{n:05}": b"" for n in range(3000)}, max_workers=8)
    entries = e.entries("many")
    next(entries)
    entries.close()
    assert e.get("many/00000") == b""


def test_merge_patch(e):
    e.put_json("c", {"a": 1, "b": {"c": 2}})
    etag = e.patch("c", {"a": None, "b": {"d": 3}})["etag"]
    assert e.get_json("c") == {"b": {"c": 2, "d": 3}}
    e.patch("c", {"x": 1}, if_match=etag)
    with pytest.raises(PreconditionFailed):
        e.patch("c", {"x": 2}, if_match=etag)
    with pytest.raises(NotFound):
        e.patch("nothing", {})


def test_json_patch_is_all_or_nothing(e):
    e.put_json("c", {"n": [1]})
    e.patch("c", [{"op": "add", "path": "/n/-", "value": 2}])
    assert e.get_json("c") == {"n": [1, 2]}
    bad = [{"op": "add", "path": "/m", "value": 1}, {"op": "test", "path": "/n/0", "value": 9}]
    with pytest.raises(ElastikError):
        e.patch("c", bad)
    assert e.get_json("c") == {"n": [1, 2]}


def test_a_batch_is_all_or_nothing(e):
    etag = e.put("lock", "1")["etag"]
    e.put("log", b"ab")
    e.put("old", b"")
    done = e.batch(
        [
            {"op": "check", "path": "lock", "if_match": etag},
            {"op": "put", "path": "new", "data": "text", "headers": {"Cache-Control": "no-store"}},
            {"op": "put", "path": "tmp/raw", "data": b"\x00\xff", "content_type": "t/x"},
            {"op": "append", "path": "log", "data": b"c", "offset": 2},
            {"op": "delete", "path": "old"},
        ]
    )
    assert [item["status"] for item in done][1:] == [201, 201, 200, 204]
    assert done[1]["etag"] == e.checksum("new")
    assert (e.get_text("new"), e.head("new")["cache-control"]) == ("text", "no-store")
    assert (e.get("tmp/raw"), e.head("tmp/raw")["content-type"]) == (b"\x00\xff", "t/x")
    assert e.get("log") == b"abc"
    assert not e.exists("old")
    with pytest.raises(PreconditionFailed):
        e.batch(
            [
                {"op": "put", "path": "new", "data": "other"},
                {"op": "append", "path": "log", "data": b"d", "offset": 99},
            ]
        )
    assert e.get_text("new") == "text"


def test_two_writers_of_a_log_do_not_interleave(e):
    e.put("log", b"")
    e.post("log", b"one\n", offset=0)
    with pytest.raises(PreconditionFailed):
        e.post("log", b"two\n", offset=0)
    e.post("log", b"two\n", offset=4)
    assert e.get("log") == b"one\ntwo\n"


def test_the_fake_has_none_of_it_and_says_so():
    fake = FakeElastik()
    for call in (lambda: fake.patch("a", {}), lambda: fake.batch([])):
        with pytest.raises(NotImplementedError):
            call()
