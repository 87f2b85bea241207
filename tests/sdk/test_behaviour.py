"""The behaviour of a client, once against the core and once against FakeElastik."""

from __future__ import annotations

import hashlib
import io

import pytest

from elastik import (
    BadPath,
    ElastikError,
    NotFound,
    PreconditionFailed,
    WorldRef,
)

HMAC_TAG = r'^"hmac-[0-9a-f]{64}"$'


def test_put_creates_and_replaces(either):
    first = either.put("note", "hello")
    assert first["status"] == 201
    again = either.put("/home/note", b"hello")
    assert again["status"] == 200
    assert first["etag"] != again["etag"], "a durable tag changes with each write"
    assert either.get("home/note") == b"hello"


def test_types_of_bodies(either):
    for data in (b"x", bytearray(b"x"), memoryview(b"x"), "x", io.BytesIO(b"x"), iter([b"x"])):
        either.put("note", data)
        assert either.get("note") == b"x"
    either.put("note", (bytes([n]) for n in range(5)))
    assert either.get("note") == bytes(range(5))
    for bad in (1, None, {"a": 1}, ["text"], object()):
        with pytest.raises(TypeError):
            either.put("note", bad)
    assert either.get("note") == bytes(range(5)), "a refused body changes nothing"


def test_default_types(either):
    either.put("a", "text")
    either.put("b", b"bytes")
    assert either.head("a")["content-type"] == "text/plain; charset=utf-8"
    assert either.head("b")["content-type"] == "application/octet-stream"


def test_representation_headers_are_kept_and_replaced(either):
    either.put(
        "doc",
        b"x",
        content_type="text/html",
        content_language="en",
        content_disposition='attachment; filename="a"',
        cache_control="max-age=1",
        headers={"Access-Control-Allow-Origin": "*", "X-Unlisted": "1", "Cookie": "no"},
        project="demo",
        built_by="me",
    )
    meta = either.head("doc")
    assert meta["content-type"] == "text/html"
    assert meta["content-language"] == "en"
    assert meta["content-disposition"] == 'attachment; filename="a"'
    assert meta["cache-control"] == "max-age=1"
    assert meta["access-control-allow-origin"] == "*"
    assert (meta["x-meta-project"], meta["x-meta-built-by"]) == ("demo", "me")
    assert not {"x-unlisted", "cookie"} & set(meta)
    either.put("doc", b"y")
    assert not {"content-language", "x-meta-project"} & set(either.head("doc"))


def test_post_appends_and_keeps_the_type(either):
    either.put("log", "a", content_type="text/x-log")
    assert either.post("log", b"b")["status"] == 200
    assert either.post("log", "c", headers={"Content-Type": "other/type"})["status"] == 200
    assert either.get("log") == b"abc"
    assert either.head("log")["content-type"] == "text/x-log"
    with pytest.raises(NotFound):
        either.post("nothing", b"x")


def test_tags(either):
    durable, memory = either.put("a", b"x")["etag"], either.put("tmp/a", b"x")["etag"]
    assert durable.startswith('"hmac-')
    assert memory == f'"sha256-{hashlib.sha256(b"x").hexdigest()}"'
    assert either.checksum("a") == durable
    assert either.is_audited("a")
    assert not either.is_audited("tmp/a")
    assert either.verify("a")
    assert not either.verify("tmp/a")
    with pytest.raises(NotFound):
        either.verify("nothing")


def test_preconditions(either):
    etag = either.put("a", b"1")["etag"]
    with pytest.raises(PreconditionFailed):
        either.put("a", b"2", create_only=True)
    with pytest.raises(PreconditionFailed):
        either.put("a", b"2", if_match="hmac-" + "0" * 64)
    with pytest.raises(PreconditionFailed):
        either.put("a", b"2", if_none_match=etag)
    with pytest.raises(PreconditionFailed):
        either.put("nothing", b"2", if_match="*")
    with pytest.raises(PreconditionFailed):
        either.post("a", b"2", if_match='"other"')
    with pytest.raises(PreconditionFailed):
        either.delete("a", if_match='"other"')
    assert either.get("a") == b"1"
    assert either.put("a", b"2", if_match=etag)["status"] == 200
    assert either.put("b", b"2", create_only=True)["status"] == 201
    with pytest.raises(ValueError, match="create_only"):
        either.put("a", b"", create_only=True, if_none_match=etag)
    with pytest.raises(TypeError):
        either.put("a", b"", if_none_match=True)


def test_conditional_get(either):
    etag = either.put("a", b"1")["etag"]
    assert either.get("a", if_none_match=etag) is None
    assert either.get("a", if_none_match=etag.strip('"')) is None
    assert either.get("a", if_none_match="*") is None
    assert either.get("a", if_none_match="other") == b"1"
    assert either.get_text("a", if_none_match=etag) is None
    assert either.request("GET", "a", headers={"If-None-Match": f"W/{etag}"}).not_modified


@pytest.mark.parametrize(
    ("span", "expected"),
    [((0, 0), b"0"), ((2, 4), b"234"), ((7, 99), b"789"), ((0, 9), b"0123456789")],
)
def test_ranges(either, span, expected):
    either.put("digits", b"0123456789")
    assert either.get("digits", range=span) == expected


def test_range_statuses(either):
    etag = either.put("digits", b"0123456789")["etag"]

    def ask(value: str, **more: str):
        return either.request("GET", "digits", headers={"Range": value, **more})

    part = ask("bytes=-3")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"789", "bytes 7-9/10")
    assert ask("bytes=8-").body == b"89"
    beyond = ask("bytes=10-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */10")
    assert ask("items=0-1").status == 200
    assert ask("bytes=5-2").status == 200
    assert ask("bytes=0-1", **{"If-Range": etag}).status == 206
    assert ask("bytes=0-1", **{"If-Range": '"other"'}).status == 200
    either.put("empty", b"")
    assert either.request("GET", "empty", headers={"Range": "bytes=0-0"}).status == 416


def test_statuses_of_raw_requests(either):
    created = either.request("PUT", "a b", b"x")
    assert (created.status, created.created, created.ok) == (201, True, True)
    assert created.headers["location"] == "/home/a%20b"
    assert either.request("PUT", "a b", b"x").status == 200
    assert either.request("HEAD", "a b").body == b""
    assert either.request("HEAD", "a b").headers["content-length"] == "1"
    options = either.request("OPTIONS", "a b")
    assert options.status == 204
    assert {"GET", "HEAD", "PUT", "POST", "DELETE"} <= set(options.headers["allow"].split(", "))
    assert either.request("BREW", "a b").status == 405
    assert either.request("GET", "nothing").status == 404
    assert either.request("DELETE", "a b").status == 204
    assert either.request("DELETE", "a b").status == 404
    assert either._raw("GET", "/proc/version")[0] == 200


def test_delete(either):
    either.put("a", b"")
    assert either.delete("a") is True
    assert either.delete("a") is False
    assert not either.exists("a")


def test_deleting_leaves_two_rows_in_the_ledger_and_starts_a_new_chain(either):
    first = either.put("a", b"x")["etag"]
    either.delete("a")
    assert "var/log/deletes" in either.list()
    assert either.verify("var/log/deletes")
    assert either.put("a", b"x")["etag"] == first
    with pytest.raises(ElastikError):
        either.delete("var/log/deletes")


def test_errors_tell_what_was_tried(either):
    with pytest.raises(NotFound) as caught:
        either.get("nothing")
    error = caught.value
    assert (error.status, error.method, error.path) == (404, "GET", "nothing")
    assert error.body == b"world not found\n"
    assert error.request_id == error.headers["x-request-id"]
    assert str(error).startswith("elastik 404 GET nothing: b'world not found\\n' (request-id=")


def test_bad_paths_are_refused_before_anything_is_sent(either):
    for call in (either.get, either.head, either.delete, either.exists, either.stream):
        with pytest.raises(BadPath):
            call("a/../b")


def test_wire_headers_are_refused(either):
    with pytest.raises(ValueError, match="Content-Length"):
        either.put("a", b"x", headers={"Content-Length": "5"})
    with pytest.raises(ValueError, match="line breaks"):
        either.put("a", b"x", headers={"X-A": "1\r\nX-B: 2"})


def test_stream(either):
    body = bytes(range(256)) * 1000
    etag = either.put("big", body)["etag"]
    with either.stream("big") as source:
        assert (source.status, source.size, source.etag) == (200, len(body), etag)
        assert source.read(3) == body[:3]
        assert source.read(300) == body[3:303]
        assert b"".join(source) == body[303:]
        assert source.read() == b""
    with either.stream("big", range=(10, None)) as source:
        assert source.status == 206
        assert source.read() == body[10:]
    with either.stream("big", if_none_match=etag) as source:
        assert (source.status, source.read()) == (304, b"")
    with pytest.raises(NotFound):
        either.stream("nothing")


def test_listen(either):
    with either.listen("inbox/*", timeout=5) as events:
        either.put("other", b"")
        etag = either.put("inbox/a:b", b"1")["etag"]
        either.post("inbox/a:b", b"2")
        either.delete("inbox/a:b")
        put, post, gone = next(events), next(events), next(events)
    assert (put["event"], put["method"], put["path"]) == ("put", "PUT", "/home/inbox/a:b")
    assert put["etag"] == etag.strip('"')
    assert (post["event"], gone["event"], gone["method"]) == ("post", "delete", "DELETE")
    assert int(put["id"]) < int(post["id"]) < int(gone["id"])
    assert put["data"].splitlines()[0] == "path: /home/inbox/a:b"


def test_listen_resumes(either):
    with either.listen("*", timeout=5) as events:
        for n in range(3):
            either.put(f"r/{n}", b"")
        first = next(events)
    with either.listen("r/*", last_event_id=first["id"], timeout=5) as events:
        assert [next(events)["path"] for _ in range(2)] == ["/home/r/1", "/home/r/2"]


def test_listen_to_several_patterns(either):
    with either.listen(["a/*", "/tmp/x"], timeout=5) as events:
        for path in ("a/1", "b/1", "tmp/x", "a/2"):
            either.put(path, b"")
        heard = [next(events)["path"] for _ in range(3)]
    assert heard == ["/home/a/1", "/tmp/x", "/home/a/2"]


def test_listen_with_bodies(either):
    with either.listen("b/*", timeout=5, inline=True, max_inline=10) as events:
        either.put("b/small", b"body")
        small = next(events)
        either.put("b/large", b"x" * 11)
        large = next(events)
        either.delete("b/small")
        gone = next(events)
    assert small["body"] == b"body"
    assert (large["body"], large["body-state"]) == (None, "too-large")
    assert gone["body"] is None


def test_a_superseded_body_is_told(either):
    either.put("b", b"0")
    with either.listen("b", timeout=5, inline=True) as events:
        either.put("b", b"1")
        either.put("b", b"2")
        seen = [next(events), next(events)]
    # Whatever arrives, it is never another version's bytes.
    assert seen[0]["body"] in (b"1", None)
    assert seen[0]["body"] == b"1" or seen[0]["body-state"] == "superseded"
    assert seen[1]["body"] == b"2"


# -- what is built on the verbs --------------------------------------------------------------------


def test_formats_round_trip(either):
    either.put_text("t", "grün", encoding="latin-1")
    assert either.get("t") == "grün".encode("latin-1")
    assert either.head("t")["content-type"] == "text/plain; charset=latin-1"
    assert either.get_text("t", encoding="latin-1") == "grün"
    either.put_json("j", {"ü": [1, None]})
    assert either.get_json("j") == {"ü": [1, None]}
    assert either.head("j")["content-type"] == "application/json"
    either.put_gzip("z", "text" * 100)
    assert either.sizeof("z") < 100
    assert either.get_gzip("z") == b"text" * 100
    assert either.head("z")["content-encoding"] == "gzip"
    either.put_csv("c", [["a", "b\nc"], [1, 'x"y']])
    assert either.get_csv("c") == [["a", "b\nc"], ["1", 'x"y']]
    either.put_struct("dev/s", ">ff", 1.0, 2.5)
    assert either.get_struct("dev/s", ">ff") == (1.0, 2.5)
    with pytest.raises(TypeError):
        either.put_gzip("z", 1)


def test_get_cached_follows_changes(either):
    either.put("a", b"1")
    assert either.get_cached("a") == b"1"
    either.request("PUT", "a", b"2")
    assert either.get_cached("a") == b"2"
    either.clear_cache("a")
    either.clear_cache()
    assert either.get_cached("a") == b"2"


def test_diff_and_preview(either):
    either.put("a", "one\ntwo\n")
    assert either.diff("a", "one\ntwo\n") == ""
    assert "-two\n+2\n" in either.diff("a", "one\n2\n")
    assert either.preview("a") == "one\ntwo"
    assert either.preview("a", max_lines=1) == "one"
    assert either.preview("a", max_bytes=0) == ""
    either.put("empty", b"")
    assert either.preview("empty") == ""


def test_mapping(either):
    either["note"] = "hello"
    assert either["note"] == b"hello"
    assert "note" in either
    assert "nothing" not in either
    assert 5 not in either
    assert set(either) == {"home/note"} | ({"var/log/deletes"} & set(either))
    assert len(either) == len(list(either))
    assert either.pop("note") == b"hello"
    assert either.pop("note", None) is None
    with pytest.raises(KeyError):
        either["note"]
    with pytest.raises(KeyError):
        del either["note"]
    either.update({"a": b"1", "b": b"2"})
    assert either.setdefault("a", b"x") == b"1"


def test_hierarchy(either):
    for path in ("sensor/kitchen/temp", "sensor/kitchen/hum", "sensor/x", "sensory", "tmp/q"):
        either.put(path, path.encode())
    assert either.ls("sensor") == ["home/sensor/kitchen/", "home/sensor/x"]
    assert either.ls("sensor", depth=-1) == [
        "home/sensor/kitchen/hum",
        "home/sensor/kitchen/temp",
        "home/sensor/x",
    ]
    assert either.ls("/home/sensor/x") == ["home/sensor/x"]
    assert set(either.ls()) >= {"home/", "tmp/"}
    assert either.du("sensor/kitchen") == {
        "home/sensor/kitchen/hum": 18,
        "home/sensor/kitchen/temp": 19,
    }
    assert either.tree("sensor") == ("home/sensor\n├── kitchen\n│   ├── hum\n│   └── temp\n└── x")
    assert either.tree("nothing") == "(empty)"
    with pytest.raises(ValueError, match="depth"):
        either.ls("sensor", depth=0)
    with pytest.raises(ValueError, match="force"):
        either.rm("home", recursive=True)
    with pytest.raises(ValueError, match="force"):
        either.rm("", recursive=True)
    assert either.rm("sensor", recursive=True) == 3
    assert either.rm("sensory") == 1
    assert either.rm("sensory") == 0


def test_copy_and_move(either):
    either.put("a", b"1", content_type="x/y", content_language="en", project="p")
    either.copy("a", "b")
    copied = either.head("b")
    assert (copied["content-type"], copied["content-language"]) == ("x/y", "en")
    assert copied["x-meta-project"] == "p"
    either.copy("a", "b", extra="1")
    assert either.head("b")["x-meta-extra"] == "1"
    with pytest.raises(FileExistsError):
        either.copy("a", "b", overwrite=False)
    with pytest.raises(FileExistsError):
        either.mv("a", "b")
    assert either.mv("a", "b", overwrite=True) == 1
    assert not either.exists("a")
    assert either.head("b")["x-meta-project"] == "p"
    with pytest.raises(NotFound):
        either.mv("a", "c")
    with pytest.raises(ValueError, match="different"):
        either.mv("b", "/home/b")


def test_moving_a_tree(either):
    either.put_many({"p/1": b"1", "p/s/2": b"2"})
    either.put("q/1", b"old")
    with pytest.raises(FileExistsError):
        either.mv("p", "q", recursive=True)
    assert either.ls("p", depth=-1) == ["home/p/1", "home/p/s/2"], "nothing was moved"
    assert either.mv("p", "q", recursive=True, overwrite=True) == 2
    assert either.get_many(["q/1", "q/s/2"]) == {"q/1": b"1", "q/s/2": b"2"}
    assert either.ls("p", depth=-1) == []


def test_tmp(either):
    with either.tmp("scratch") as path:
        assert path == "tmp/scratch"
        either.put(path, b"x")
    assert not either.exists(path)
    with either.tmp() as path:
        assert len(path) == len("tmp/") + 16


def test_reader(either):
    either.put("f", bytes(range(200)))
    with either.open("f") as f:
        assert f.read(8) == bytes(range(8))
        assert f.seek(100) == 100
        assert f.read(3) == bytes([100, 101, 102])
        assert f.seek(-2, io.SEEK_END) == 198
        assert f.read() == bytes([198, 199])
        assert f.read(5) == b""
        assert f.seek(-500) == 0
        buffer = bytearray(4)
        assert (f.readinto(buffer), bytes(buffer)) == (4, bytes(range(4)))
        assert f.tell() == 4
    with pytest.raises(ValueError, match="closed"):
        f.read(1)
    either.put("lines", "a\nb\n")
    assert list(io.TextIOWrapper(io.BufferedReader(either.open("lines")))) == ["a\n", "b\n"]
    with pytest.raises(ValueError, match="mode"):
        either.open("f", "r")
    with pytest.raises(NotFound):
        either.open("nothing")


def test_writer(either):
    with either.open("w", "wb", content_type="x/y") as f:
        f.write(b"one ")
        f.write(b"two")
        assert not either.exists("w"), "stored when closed"
    assert (either.get("w"), either.head("w")["content-type"]) == (b"one two", "x/y")
    assert f.written["status"] == 201
    with either.open("w", "ab") as f:
        f.write(b" three")
    assert either.get("w") == b"one two three"
    with either.open("new", "ab") as f:
        f.write(b"begun")
    assert either.get("new") == b"begun"
    f = either.open("w", "wb")
    f.write(b"half")
    with pytest.raises(ZeroDivisionError), f:
        f.write(b"%d" % (1 // 0))
    assert either.get("w") == b"one two three", "a failed block stores nothing"


def test_world_ref(either):
    report = either / "home" / "reports" / "q1.txt"
    assert isinstance(report, WorldRef)
    report.write("up")
    assert (report.read(), report.read_text()) == (b"up", "up")
    assert report.exists()
    assert report.stat()["content-length"] == "2"
    assert (report.name, report.stem, report.suffix) == ("q1.txt", "q1", ".txt")
    assert (str(report.parent), report.path) == ("home/reports", "home/reports/q1.txt")
    (either / "home" / "reports" / "deep" / "a.pdf").write(b"")
    folder = either / "home" / "reports"
    assert sorted(ref.path for ref in folder.iterdir()) == [
        "home/reports/deep",
        "home/reports/q1.txt",
    ]
    assert [ref.path for ref in folder.glob("*.txt")] == ["home/reports/q1.txt"]
    assert [ref.path for ref in folder.rglob("*.pdf")] == ["home/reports/deep/a.pdf"]
    assert len(folder.walk()) == 2
    with report.open() as f:
        assert f.read() == b"up"
    moved = report.rename("home/reports/q2.txt")
    assert moved.path == "home/reports/q2.txt"
    assert not report.exists()
    assert moved.unlink()
    assert folder.rmtree() == 1


def test_near_misses_of_keywords_warn(either):
    with pytest.warns(UserWarning, match="content_type"):
        either.put("a", b"", content_typ="x/y")


def test_download(either, tmp_path):
    body = bytes(range(256)) * 999
    either.put("big", body)
    target = tmp_path / "big"
    assert either.download("big", target) == len(body)
    assert target.read_bytes() == body
    assert [p.name for p in tmp_path.iterdir()] == ["big"]
