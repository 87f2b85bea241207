"""What was: kept versions, the audit chain, lifetimes, purges; and many PUTs as one commit."""

from __future__ import annotations

import datetime
import io
import itertools
import time

import pytest

import realcore
from elastik import Elastik, FakeElastik, NotFound, PayloadTooLarge, PreconditionFailed, Unsupported


@pytest.fixture(scope="module")
def keeping(core_binary, tmp_path_factory):
    """A client of a core that keeps old versions below home/kept/."""
    core = realcore.launch(
        core_binary,
        tmp_path_factory.mktemp("history") / "data",
        env={"ELASTIK_HISTORY": "home/kept/*=3", "ELASTIK_PERSIST_HEADERS": "x-meta-*"},
    )
    with Elastik(core.url, core.approve) as client:
        yield client
    core.kill()


def test_a_version_by_event_by_time_and_back(keeping):
    first = keeping.put("kept/a", "one", content_type="text/x")["etag"]
    time.sleep(0.01)
    then = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.01)
    keeping.put("kept/a", "two")
    keeping.post("kept/a", " more")
    found = list(keeping.history("kept/a"))
    assert [line["size"] for line in found] == [3, 3]
    event = found[-1]["event"]
    assert (found[-1]["etag"], found[-1]["type"]) == (first, "text/x")
    for at in (event, str(event), then, then.astimezone(), then.isoformat()):
        assert keeping.get("kept/a", at=at) == b"one"
    assert keeping.get("kept/a", at=event, range=(1, 9)) == b"ne"
    assert keeping.get("kept/a", at=event, if_none_match=first) is None
    with pytest.raises(PreconditionFailed):
        keeping.revert("kept/a", event, if_match=first)
    receipt = keeping.revert("kept/a", event, if_match=keeping.checksum("kept/a"))
    assert keeping.get_cached("kept/a") == b"one"
    assert receipt["etag"] == keeping.checksum("kept/a") != first
    assert next(keeping.history("kept/a"))["size"] == 8


def test_versions_come_in_pages(keeping, monkeypatch):
    from elastik import history

    monkeypatch.setattr(history, "PAGE", 2)
    for text in "abcd":
        keeping.put("kept/pages", text)
    bodies = [keeping.get("kept/pages", at=v["event"]) for v in keeping.history("kept/pages")]
    assert bodies == [b"c", b"b", b"a"]


def test_what_is_not_kept_is_not_found(keeping):
    keeping.put("other", "1")
    keeping.put("other", "2")
    assert list(keeping.history("other")) == []
    with pytest.raises(NotFound):
        keeping.get("other", at=1)
    with pytest.raises(NotFound):
        keeping.revert("other", 1)


def test_the_chain_up_down_and_in_part(keeping):
    for number in range(5):
        keeping.put("chain", b"%d" % number)
    rows = list(keeping.events("chain"))
    ids = [row["id"] for row in rows]
    assert len(ids) == 5 and ids == sorted(ids, reverse=True)
    assert all(new["prev_hmac"] == old["hmac"] for new, old in itertools.pairwise(rows))
    assert keeping.checksum("chain").strip('"').endswith(rows[0]["hmac"])
    assert [row["id"] for row in keeping.events("chain", after=ids[2])] == [ids[1], ids[0]]
    assert [row["id"] for row in keeping.events("chain", before=ids[1], limit=2)] == ids[2:4]
    with pytest.raises(ValueError, match="exclude"):
        next(keeping.events("chain", after=1, before=2))
    with pytest.raises(NotFound):
        next(keeping.events("nothing"))
    keeping.put("tmp/x", b"")
    assert list(keeping.events("tmp/x")) == []


def test_a_purge_takes_the_versions_with_it(keeping):
    keeping.put("kept/p", "1")
    keeping.put("kept/p", "2")
    assert len(list(keeping.history("kept/p"))) == 1
    assert keeping.delete("kept/p", purge=True) is True
    assert list(keeping.history("kept/p")) == []
    assert keeping.delete("kept/p", purge=True) is False


def test_a_lifetime_ends(keeping):
    keeping.put("tmp/short", "x", delete_after=1)
    keeping.put("tmp/long", "x", delete_after=3600)
    assert keeping.head("tmp/long")["x-elastik-ttl"] == "3600"
    with keeping.listen("tmp/short", timeout=10, last_event_id=0) as events:
        assert any(event["event"] == "delete" for event in events)
    assert not keeping.exists("tmp/short")
    assert keeping.exists("tmp/long")
    for wrong in (-1, 1.5, True, "1"):
        with pytest.raises(ValueError, match="whole seconds"):
            keeping.put("tmp/x", "x", delete_after=wrong)


def test_many_puts_are_one_commit_or_none(keeping):
    items = {"m/1": "text", "/home/m/2": b"\x00", "m/3": io.BytesIO(b"file"), "m/4": [b"a", b"b"]}
    done = keeping.put_many(items, atomic=True, project="p", cache_control="no-store")
    assert list(done) == list(items)
    assert {one["status"] for one in done.values()} == {201}
    assert done["m/3"]["etag"] == keeping.checksum("m/3")
    assert keeping.get_many(["m/1", "m/2", "m/3", "m/4"]) == {
        "m/1": b"text", "m/2": b"\x00", "m/3": b"file", "m/4": b"ab",
    }  # fmt: skip
    meta = keeping.head("m/1")
    assert meta["content-type"] == "text/plain; charset=utf-8"
    assert (meta["cache-control"], meta["x-meta-project"]) == ("no-store", "p")
    with pytest.raises(PreconditionFailed):
        keeping.put_many({"m/new": "1", "m/1": "2"}, atomic=True, create_only=True)
    assert not keeping.exists("m/new")
    assert keeping.put_many({}, atomic=True) == {}


def test_a_batch_beyond_the_limit_does_nothing(keeping):
    with pytest.raises(PayloadTooLarge):
        keeping.put_many({f"far/{n}": b"" for n in range(10_001)}, atomic=True)
    assert keeping.ls("far") == []


@pytest.fixture(params=["published", "fake"])
def without(request):
    return request.getfixturevalue("old") if request.param == "published" else FakeElastik()


def test_a_core_without_it_refuses(without):
    without.put("a", "1")
    calls = [
        lambda: without.get("a", at=1),
        lambda: list(without.history("a")),
        lambda: list(without.events("a")),
        lambda: without.revert("a", 1),
        lambda: without.delete("a", purge=True),
        lambda: without.put("a", "2", delete_after=5),
        lambda: without.put_many({"a": "2"}, atomic=True),
    ]
    for call in calls:
        with pytest.raises(Unsupported):
            call()
    assert without.get("a") == b"1"
