"""COPY, MOVE, PATCH, recursive DELETE, batches, appends at an offset, and repeated requests."""

from __future__ import annotations

import json

import pytest

from realcore import READ, WRITE, scoped_token

BOARD = "board-secret"
MERGE = "application/merge-patch+json"
OPS = "application/json-patch+json"


@pytest.fixture(params=["home", "tmp"])
def place(request, fresh):
    return fresh(request.param).rsplit("/", 1)[0]


def move(core, source, destination, method="MOVE", token=None, **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    fields["Destination"] = destination
    options = {"token": token} if token else {}
    return core.request(method, source, None, fields, **options)


def batch(core, *ops, **options):
    body = "".join(json.dumps(op) + "\n" for op in ops).encode()
    return core.request("POST", "/proc/batch", body, **options)


def test_copy_is_a_put_on_the_destination(wire, place):
    wire.put(f"{place}/a", b"body", Content_Type="text/x", Cache_Control="no-store")
    reply = move(wire, f"{place}/a", f"{place}/b", "COPY")
    assert (reply.status, reply.headers["location"]) == (201, f"{place}/b")
    copy = wire.get(f"{place}/b")
    assert (copy.body, copy.etag) == (b"body", reply.etag)
    assert (copy.headers["content-type"], copy.headers["cache-control"]) == ("text/x", "no-store")
    assert wire.get(f"{place}/a").status == 200
    again = move(wire, f"{place}/a", f"{place}/b", "COPY")
    assert again.status == 204
    assert "location" not in again.headers


def test_a_large_body_is_copied_whole(wire, fresh):
    source, body = fresh(), bytes(range(256)) * 8000
    wire.put(source, body)
    assert move(wire, source, f"{source}2", "COPY").status == 201
    assert wire.get(f"{source}2").body == body
    assert wire.verify(f"{source}2").headers["x-audit-events"] == "1"


def test_move_takes_the_source_away_and_tells_both(wire, place):
    wire.put(f"{place}/a", b"body")
    with wire.listen("*") as ears:
        assert move(wire, f"{place}/a", f"{wire.url}{place}/b").status == 201
        put, delete = ears.event(), ears.event()
    assert (put["event"], put["path"], put["from"]) == ("put", f"{place}/b", f"{place}/a")
    assert (delete["event"], delete["path"], delete["to"]) == ("delete", f"{place}/a", f"{place}/b")
    assert (wire.get(f"{place}/a").status, wire.get(f"{place}/b").body) == (404, b"body")


def test_a_move_over_memory_and_disk(wire, fresh):
    memory, disk = fresh("tmp"), fresh("home")
    wire.put(memory, b"body")
    assert move(wire, memory, disk).status == 201
    assert move(wire, disk, memory).status == 201
    assert (wire.get(memory).body, wire.get(disk).status) == (b"body", 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 204),
        ({"Overwrite": "T"}, 204),
        ({"Overwrite": "F"}, 412),
        ({"Overwrite": "x"}, 400),
        ({"If-Match": "*"}, 204),
        ({"If-Match": '"other"'}, 412),
        ({"X-Destination-If-Match": "*"}, 204),
        ({"X-Destination-If-Match": '"other"'}, 412),
        ({"X-Destination-If-None-Match": "*"}, 412),
        ({"Depth": "1"}, 400),
    ],
)
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_conditions_on_both_sides(wire, place, method, headers, status):
    wire.put(f"{place}/a", b"a")
    wire.put(f"{place}/b", b"b")
    assert move(wire, f"{place}/a", f"{place}/b", method, **headers).status == status
    done = status == 204
    assert wire.get(f"{place}/b").body == (b"a" if done else b"b")
    assert wire.get(f"{place}/a").status == (404 if done and method == "MOVE" else 200)


@pytest.mark.parametrize(
    ("destination", "status"),
    [
        ("", 400),
        ("b", 400),
        ("/home", 400),
        ("/a//b", 400),
        ("/proc/worlds", 400),
        ("http://elsewhere.example/b", 502),
        ("/home/" + "x" * 300, 414),
    ],
)
def test_a_bad_destination_changes_nothing(wire, place, destination, status):
    wire.put(f"{place}/a", b"a")
    assert move(wire, f"{place}/a", destination).status == status
    assert wire.get(f"{place}/a").status == 200


def test_source_and_destination_must_differ(wire, place):
    wire.put(f"{place}/a", b"a")
    assert move(wire, f"{place}/a", f"{place}/a").status == 403
    assert move(wire, f"{place}/none", f"{place}/a").status == 404
    assert move(wire, f"{place}/none", f"{place}/a", If_Match="*").status == 412
    assert wire.request("MOVE", f"{place}/a").status == 400


@pytest.mark.parametrize(
    ("method", "token", "source", "destination", "status"),
    [
        ("COPY", READ, "/home/k/a", "/home/k/b", 403),
        ("COPY", WRITE, "/home/k/a", "/home/k/b", 201),
        ("COPY", WRITE, "/home/k/a", "/etc/k", 403),
        ("MOVE", WRITE, "/home/k/a", "/home/k/b", 403),
        ("COPY", "nobody", "/home/k/a", "/home/k/b", 401),
    ],
)
def test_tiers_of_copy_and_move(core, method, token, source, destination, status):
    core.put("/home/k/a", b"a")
    assert move(core, source, destination, method, token=token).status == status


def test_a_tree_moves_in_one_commit(wire, place):
    for name in ("a/1", "a/2/x", "a", "ab"):
        wire.put(f"{place}/{name}", name.encode())
    reply = move(wire, f"{place}/a", f"{place}/c", Depth="infinity")
    assert (reply.status, reply.body) == (200, b"2\n")
    assert wire.get(f"{place}/c/2/x").body == b"a/2/x"
    listed = wire.get(f"/proc/list{place}").body.decode().splitlines()
    names = [line.split("\t")[0].removeprefix(f"{place[1:]}/") for line in listed]
    assert names == ["a", "ab", "c/1", "c/2/x"]
    for target in (f"{place}/c/d", place):
        assert move(wire, f"{place}/c", target, Depth="infinity").status == 403


def test_a_tree_is_deleted_whole_and_roots_are_safe(wire, place):
    for name in ("a/1", "a/2/x", "a", "ab"):
        wire.put(f"{place}/{name}", b"")
    whole = {"Depth": "infinity"}
    assert wire.request("DELETE", f"{place}/a", None, whole, token=WRITE).status == 403
    reply = wire.request("DELETE", f"{place}/a", None, whole)
    assert (reply.status, reply.body) == (200, b"2\n")
    assert [wire.get(f"{place}/{n}").status for n in ("a", "a/1", "ab")] == [200, 404, 200]
    assert wire.request("DELETE", f"{place}/a", None, whole).status == 404
    for root in ("/home", "/tmp", "/var/log", "/"):
        assert wire.request("DELETE", root, None, whole).status in (400, 405)


def test_a_group_that_is_too_large_is_refused_whole(start_core):
    core = start_core(env={"ELASTIK_MAX_GROUP_WORLDS": "2"})
    for number in range(3):
        core.put(f"/home/a/{number}", b"")
    reply = core.request("DELETE", "/home/a", None, {"Depth": "infinity"})
    assert (reply.status, reply.body[:17]) == (413, b"group too large: ")
    assert move(core, "/home/a", "/home/b", Depth="infinity").status == 413
    ops = [{"op": "put", "path": f"/home/c/{n}"} for n in range(3)]
    assert batch(core, *ops).status == 413
    assert len(core.get("/proc/worlds").body.splitlines()) == 3


def test_patches_of_both_kinds(wire, place):
    wire.put(f"{place}/j", b'{"a": 1, "b": {"c": 2.50}}', Content_Type="application/json")
    reply = wire.request("PATCH", f"{place}/j", b'{"a": null, "d": [1]}', {"Content-Type": MERGE})
    assert reply.status == 200
    world = wire.get(f"{place}/j")
    assert (world.body, world.etag) == (b'{"b":{"c":2.50},"d":[1]}', reply.etag)
    assert world.headers["content-type"] == "application/json"
    ops = b'[{"op":"test","path":"/d/0","value":1},{"op":"add","path":"/d/-","value":2}]'
    assert wire.request("PATCH", f"{place}/j", ops, {"Content-Type": OPS}).status == 200
    assert json.loads(wire.get(f"{place}/j").body)["d"] == [1, 2]
    assert (
        wire.request("PATCH", f"{place}/j", ops.replace(b"1}", b"9}"), {"Content-Type": OPS}).status
        == 409
    )


@pytest.mark.parametrize(
    ("kind", "patch", "status"),
    [
        ("application/json", b"{}", 415),
        ("", b"{}", 415),
        (MERGE, b"nonsense", 422),
        (OPS, b"{}", 422),
        (OPS, b'[{"op":"remove","path":"/none"}]', 422),
        (MERGE + "; charset=utf-8", b'{"x":1}', 200),
    ],
)
def test_patches_that_are_none(wire, place, kind, patch, status):
    wire.put(f"{place}/j", b"{}")
    reply = wire.request("PATCH", f"{place}/j", patch, {"Content-Type": kind})
    assert reply.status == status
    if status == 415:
        assert reply.headers["accept-patch"] == f"{MERGE}, {OPS}"


def test_patches_keep_conditions_and_need_json(wire, place):
    wire.put(f"{place}/t", b"no json")
    merge = {"Content-Type": MERGE}
    assert wire.request("PATCH", f"{place}/t", b"{}", merge).status == 422
    assert wire.request("PATCH", f"{place}/none", b"{}", merge).status == 404
    assert wire.request("PATCH", f"{place}/t", b"{}", merge | {"If-Match": '"x"'}).status == 412
    assert wire.request("PATCH", f"{place}/t", b"{}", merge, token=READ).status == 403


def test_appends_at_an_offset_never_interleave(wire, place):
    wire.put(f"{place}/log", b"abc")
    at = {"X-Append-Offset": "3"}
    assert wire.request("POST", f"{place}/log", b"def", at).status == 200
    late = wire.request("POST", f"{place}/log", b"xyz", at)
    assert (late.status, late.headers["x-append-offset"]) == (412, "6")
    assert late.body == b"precondition failed: world ends at byte 6\n"
    assert wire.get(f"{place}/log").body == b"abcdef"
    bad = {"X-Append-Offset": "-1"}
    assert wire.request("POST", f"{place}/log", b"", bad).status == 400


@pytest.mark.parametrize("namespace", ["home", "tmp"])
def test_a_repeated_request_gives_the_first_answer(start_core, namespace):
    core = start_core()
    core.put(f"/{namespace}/a", b"")
    keyed = {"Idempotency-Key": "k1"}

    def attempt():
        to = {name: keyed | {"Destination": f"/{namespace}/{name}"} for name in "nc"}
        replies = [
            core.request("POST", f"/{namespace}/a", b"x", keyed),
            core.request("PATCH", f"/{namespace}/j", b'{"n":1}', keyed | {"Content-Type": MERGE}),
            core.request("MOVE", f"/{namespace}/m", None, to["n"]),
            core.request("COPY", f"/{namespace}/a", None, to["c"]),
            batch(core, {"op": "append", "path": f"{namespace}/a", "body": "y"}, headers=keyed),
        ]
        return [(r.status, r.headers.get("etag"), r.body) for r in replies]

    core.put(f"/{namespace}/j", b"{}")
    core.put(f"/{namespace}/m", b"m")
    first = attempt()
    assert [status for status, _, _ in first] == [200, 200, 201, 201, 200]
    with core.listen("*") as ears:
        assert attempt() == first
        core.put(f"/{namespace}/end", b"")
        assert ears.event()["path"] == f"/{namespace}/end"
    assert core.get(f"/{namespace}/a").body == b"xy"
    other = core.request("POST", f"/{namespace}/a", b"z", keyed, token=WRITE)
    assert (other.status, core.get(f"/{namespace}/a").body) == (200, b"xyz")


def test_a_key_holds_across_a_restart(start_core, tmp_path):
    core = start_core()
    core.put("/home/a", b"")
    keyed = {"Idempotency-Key": "k1"}
    first = core.request("POST", "/home/a", b"x", keyed)
    core.kill()
    core = start_core()
    again = core.request("POST", "/home/a", b"x", keyed)
    assert (again.status, again.etag) == (200, first.etag)
    assert core.get("/home/a").body == b"x"


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_keys_have_a_size(wire, key):
    assert wire.request("POST", "/home/x", b"", {"Idempotency-Key": key}).status == 400


def test_a_batch_is_one_commit_in_order(wire, place):
    wire.put(f"{place}/old", b"1")
    reply = batch(
        wire,
        {"op": "put", "path": f"{place}/a", "body": "é", "headers": {"cache-control": "no-store"}},
        {"op": "append", "path": f"{place}/a", "base64": "AP8=", "offset": 2},
        {"op": "check", "path": f"{place}/old", "if-match": "*"},
        {"op": "delete", "path": f"{place}/old"},
    )
    assert (reply.status, reply.headers["content-type"]) == (200, "application/jsonl")
    rows = [json.loads(line) for line in reply.body.splitlines()]
    assert [row["status"] for row in rows] == [201, 200, 200, 204]
    world = wire.get(f"{place}/a")
    assert (world.body, world.etag) == ("é".encode() + b"\0\xff", f'"{rows[1]["etag"]}"')
    assert world.headers["content-type"] == "text/plain; charset=utf-8"
    assert world.headers["cache-control"] == "no-store"
    assert wire.get(f"{place}/old").status == 404


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        ({"op": "check", "path": "/home/none", "if-match": "*"}, 412),
        ({"op": "append", "path": "/home/none"}, 404),
        ({"op": "delete", "path": "/home/none"}, 404),
        ({"op": "put", "path": "/home"}, 400),
        ({"op": "put"}, 400),
    ],
)
def test_a_batch_is_done_whole_or_not_at_all(wire, place, bad, status):
    assert batch(wire, {"op": "put", "path": f"{place}/a", "body": "x"}, bad).status == status
    assert wire.get(f"{place}/a").status == 404


@pytest.mark.parametrize(
    ("op", "needed"),
    [
        ({"op": "put", "path": "/home/t"}, "write"),
        ({"op": "put", "path": "/etc/t"}, "approve"),
        ({"op": "delete", "path": "/home/t"}, "approve"),
    ],
)
def test_a_batch_needs_what_its_strongest_part_needs(wire, place, op, needed):
    harmless = {"op": "put", "path": f"{place}/h"}
    reply = batch(wire, harmless, op, token=WRITE)
    assert reply.status == (200 if needed == "write" else 403)
    assert batch(wire, harmless, token=READ).status == 403
    assert batch(wire, harmless, token=None).status == 401


def test_scopes_hold_for_every_path_of_an_op(start_core, tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text(scoped_token("b", BOARD, "approve", "/home/b/*"))
    core = start_core(arguments=("--tokens-file", str(file)))
    core.put("/home/b/x/1", b"")
    core.put("/home/c/x", b"")
    for source, destination, status in [
        ("/home/b/x/1", "/home/b/y", 201),
        ("/home/b/x/1", "/home/c/y", 403),
        ("/home/c/x", "/home/b/z", 403),
    ]:
        assert move(core, source, destination, "COPY", token=BOARD).status == status
    tree = {"Depth": "infinity"}
    assert move(core, "/home/b/x", "/home/c/t", token=BOARD, **tree).status == 403
    assert move(core, "/home/b/x", "/home/b/t", token=BOARD, **tree).status == 200
    assert core.request("DELETE", "/home/b", None, tree, token=BOARD).status == 403
    ops = {"op": "put", "path": "/home/b/k"}, {"op": "put", "path": "/home/c/k"}
    assert batch(core, *ops, token=BOARD).status == 403
    assert core.get("/home/b/k").status == 404
