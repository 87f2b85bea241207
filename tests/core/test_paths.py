"""Path rules: what a request target means, what is refused, and that nothing leaves the store."""

from __future__ import annotations

from urllib.parse import quote

import pytest

RESERVED = "world path is a reserved namespace root"
EMPTY = "world path has empty segment"
DOTS = "world path contains dot or encoded-dot segment"
CONTROL = "world path contains control bytes"
BACKSLASH = "world path contains backslash"

SAME = [
    ("/note", "/home/note"),
    ("/home/note", "/home/note"),
    ("//home/note", "/home/note"),
    ("/%2Fhome/note", "/home/note"),
    ("/home%2Fnote", "/home/note"),
    ("/home/note?query=1", "/home/note"),
    ("/Home/note", "/home/Home/note"),
    ("/mnt/x", "/home/mnt/x"),
    ("/a+b", "/home/a+b"),
    ("/a%20b", "/home/a%20b"),
    ("/%e6%97%a5", "/home/%E6%97%A5"),
    ("/a%zz", "/home/a%25zz"),
    ("/listen", "/home/listen"),
    ("/home/proc/x", "/home/proc/x"),
    ("/home/...", "/home/..."),
    ("/home/..a", "/home/..a"),
    ("/home/a.", "/home/a."),
    ("/home/*", "/home/*"),
    ("/home/a%3Fb", "/home/a%3Fb"),
    ("/home/a;b:c=d@e", "/home/a;b:c=d@e"),
    ("/var/x", "/var/x"),
    ("/dev/x", "/dev/x"),
]

REFUSED = [
    *[(f"/{root}", RESERVED) for root in "home tmp dev sys etc lib boot usr var".split()],
    ("/var/log", RESERVED),
    ("/proc%2Fworlds", RESERVED),
    ("/home/", EMPTY),
    ("/home/a//b", EMPTY),
    ("/home/a/", EMPTY),
    ("/home/.", DOTS),
    ("/home/..", DOTS),
    ("/home/a/../b", DOTS),
    ("/home/%2e%2e/b", DOTS),
    ("/home/.%2e/b", DOTS),
    ("/home/%252e%252e/b", DOTS),
    ("/home/.%252E/b", DOTS),
    ("/home/a%00b", CONTROL),
    ("/home/a%0ab", CONTROL),
    ("/home/a%7f", CONTROL),
    ("/home/a%C2%85b", CONTROL),
    ("/home/a%5Cb", BACKSLASH),
]

# Every one of these names a file on the way out in some server somewhere.
TRAVERSALS = [
    "/../../../../etc/passwd",
    "/home/../../etc/passwd",
    "/home/..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/home/%2e%2e%2f%2e%2e%2fetc/passwd",
    "/home/..%5c..%5cetc%5cpasswd",
    "/home/....//....//etc/passwd",
    "/home/%252e%252e%252fetc%252fpasswd",
    "/home/a/..;/..;/etc/passwd",
    "/home/%c0%ae%c0%ae/etc/passwd",
    "/home/..%00/etc/passwd",
    "/home//etc/passwd",
    "/etc/../../../../../../etc/passwd",
    "/tmp/../../../../../../etc/passwd",
    "/proc/self/environ",
    "/proc/audit/../../../etc/passwd/verify",
    "/proc/audit/home/..%2f..%2f/verify",
    "/elastik.db",
    "/home/../elastik.db",
    "/home/elastik.db",
]


@pytest.mark.parametrize(("target", "canonical"), SAME)
def test_a_target_means_one_canonical_world(core, target, canonical):
    reply = core.put(target, b"x")
    assert (reply.status, reply.headers["location"]) == (201, canonical)
    assert core.get(canonical).body == b"x"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize(("target", "why"), REFUSED)
def test_a_path_that_breaks_a_rule_is_400_and_says_which(wire, method, target, why):
    reply = wire.request(method, target, None if method in ("GET", "DELETE") else b"x")
    assert (reply.status, reply.body.decode()) == (400, f"bad request: {why}\n")


@pytest.mark.parametrize("target", ["/home/%ff", "/home/a%C3"])
def test_a_path_that_is_not_utf8_is_400(wire, target):
    assert wire.put(target, b"x").status == 400


def test_the_path_is_judged_before_the_token(wire):
    assert wire.request("PUT", "/home", b"x", token=None).status == 400


@pytest.mark.parametrize("target", TRAVERSALS)
def test_nothing_outside_the_store_can_be_read(core, target):
    assert core.get(target).status in (400, 404)
    assert core.process.poll() is None


@pytest.mark.parametrize("target", TRAVERSALS)
def test_nothing_outside_the_data_directory_can_be_written(core, tmp_path, target):
    before = {p.relative_to(tmp_path) for p in tmp_path.rglob("*")}
    core.put(target, b"mine")
    after = {p.relative_to(tmp_path) for p in tmp_path.rglob("*")}
    assert {p.parts[0] for p in after - before} <= {"data"}
    assert core.get("/proc/version").status == 200


@pytest.mark.parametrize("target", TRAVERSALS)
def test_a_line_that_no_client_library_would_send_is_survived(wire, target):
    line = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.read}\r\n"
    answer = wire.exchange(f"{line}Connection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"400", b"404")


@pytest.mark.parametrize(
    "name",
    ['quote"d', "<angle>", "sp ace", "日本/ファイル", "%", "#hash", "e\u0301", "é", "🦀", "\u2028"],
)
def test_strange_names_come_back_as_they_went_in(core, name):
    target = "/home/" + quote(name)
    assert core.put(target, name.encode()).status == 201
    assert core.get(target).body == name.encode()
    assert core.get("/proc/worlds").body.decode() == f"home/{name}\n"
    assert core.verify("home/" + quote(name)).status == 200
    assert core.request("DELETE", target).status == 204


def test_a_name_at_the_limit_is_stored_and_one_beyond_is_refused(wire):
    # 8.3 kept each durable world in a directory: 255 bytes, seven of them `home%2F`.
    assert wire.put("/home/" + "a" * 248, b"x").status in (200, 201)
    assert wire.put("/home/" + "a" * 249, b"x").status == 414
    assert wire.get("/home/" + "a" * 249).status == 414
    assert wire.put("/tmp/" + "a" * 2000, b"x").status in (200, 201)
