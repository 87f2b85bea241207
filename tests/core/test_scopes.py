"""Scoped tokens: what a board with a token of its own sees, hears and may; and browsers' rules."""

from __future__ import annotations

import base64
import signal
from datetime import datetime, timedelta, timezone

import pytest

from realcore import APPROVE, WRITE, scoped_token, wait_for

BOARD, READER = "board-secret", "reader-secret"


@pytest.fixture
def board(start_core, tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text(
        scoped_token("b1", BOARD, "write", "/home/sensor/b1/*")
        + scoped_token("r", READER, "read", "/home/sensor/*")
    )
    core = start_core(arguments=("--tokens-file", str(file), "--access-log"))
    core.file = file
    for path in ("/home/sensor/b1/t", "/home/sensor/b10/t", "/home/other"):
        core.put(path, b"x")
    return core


def reload(core, text):
    seen = core.stderr().count("reloaded")
    core.file.write_text(text)
    core.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: core.stderr().count("reloaded") > seen)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/home/sensor/b1/t", 200),
        ("PUT", "/home/sensor/b1/new", 201),
        ("POST", "/home/sensor/b1/t", 200),
        ("DELETE", "/home/sensor/b1/t", 403),
        ("GET", "/home/sensor/b10/t", 403),
        ("PUT", "/home/sensor/b10/t", 403),
        ("GET", "/home/none", 403),
        ("PUT", "/etc/x", 403),
        ("GET", "/home/sensor/b1/none", 404),
        ("GET", "/proc/df", 403),
        ("GET", "/proc/pool", 403),
        ("GET", "/proc/metrics", 403),
        ("GET", "/proc/audit/home/sensor/b1/t/verify", 200),
        ("GET", "/proc/audit/home/other/verify", 403),
    ],
)
def test_what_a_board_may(board, method, path, status):
    body = b"x" if method in ("PUT", "POST") else None
    assert board.request(method, path, body, token=BOARD).status == status


@pytest.mark.parametrize("page", ["/proc/worlds", "/proc/du", "/proc/list", "/proc/list?depth=4"])
def test_lists_leave_out_what_others_have(board, page):
    text = board.request("GET", page, token=BOARD).body.decode()
    assert "home/sensor/b1/t" in text
    assert "b10" not in text
    assert "other" not in text


def test_a_folded_list_shows_no_directory_of_others(board):
    board.put("/home/sensor/b0/t", b"x")
    listed = board.request("GET", "/proc/list/sensor?depth=1", token=BOARD).body
    assert listed == b"home/sensor/b1/\n"


def test_a_board_hears_its_own_and_is_named(board):
    with board.listen("*", token=BOARD) as ears, board.listen("*") as all_ears:
        board.put("/home/sensor/b10/t", b"y")
        board.request("PUT", "/home/sensor/b1/t", b"z", token=BOARD)
        event = ears.event()
        assert (event["path"], event["writer"]) == ("/home/sensor/b1/t", "b1")
        assert "writer" not in all_ears.event()
        assert all_ears.event()["writer"] == "b1"
    assert wait_for(lambda: 'tier=write token="b1"' in board.stderr())


def test_a_board_that_has_heard_nothing_knows_where_to_resume(board):
    with board.listen("*", token=BOARD) as ears:
        start = ears.response.getheader("x-last-event-id")
    board.put("/home/sensor/b10/t", b"others")
    written = board.put("/home/sensor/b1/t", b"while nobody listened")
    assert board.request("HEAD", "/listen/*", token=BOARD).headers["x-last-event-id"] > start
    with board.listen("*", token=BOARD, last_event_id=start) as again:
        event = again.event()
        assert f'"{event["etag"]}"' == written.etag


def test_lag_tells_a_board_no_number_of_others(start_core, tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text(scoped_token("t", BOARD, "read", "/tmp/*"))
    core = start_core(arguments=("--tokens-file", str(file)))
    with core.listen("*", token=BOARD, last_event_id=str(1 << 52)) as ears:
        event = ears.event()
        assert (event["event"], event["missed"]) == ("lag", "0")


def test_reload_judges_open_streams_again(board):
    with board.listen("*", token=BOARD) as ears, board.listen("*", token=READER) as others:
        reload(board, scoped_token("r", READER, "read", "/home/sensor/*"))
        assert ears.event() == {}
        assert board.request("GET", "/home/sensor/b1/t", token=BOARD).status == 401
        board.put("/home/sensor/b1/t", b"y")
        assert others.event()["path"] == "/home/sensor/b1/t"


def test_a_bad_file_changes_nothing(board):
    board.file.write_text("[[token]]\nname = 5\n")
    board.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: "token 1: name must be text" in board.stderr())
    assert board.request("GET", "/home/sensor/b1/t", token=BOARD).status == 200


def test_a_token_ends_at_its_time_and_so_does_its_stream(start_core, tmp_path):
    file = tmp_path / "tokens.toml"
    end = (datetime.now(timezone.utc) + timedelta(seconds=2)).replace(microsecond=0)
    file.write_text(scoped_token("t", BOARD, "read", "*", end))
    core = start_core(arguments=("--tokens-file", str(file)))
    with core.listen("*", token=BOARD, seconds=10) as ears:
        if ears.status == 200:
            assert ears.event() == {}
    assert datetime.now(timezone.utc) >= end
    assert core.request("GET", "/proc/worlds", token=BOARD).status == 401


def basic(token):
    return "Basic " + base64.b64encode(f"me:{token}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://good.example"}, 201),
    ],
)
def test_other_sites_cannot_write_with_a_browsers_password(start_core, headers, status):
    core = start_core(arguments=("--cors-origins", "https://good.example"))
    signed = headers | {"Authorization": basic(WRITE)}
    assert core.request("PUT", "/home/x", b"", signed, token=None).status == status
    # A header that a script has set itself is no ambient credential.
    assert core.request("PUT", "/home/y", b"", headers).status == 201
    signed["Authorization"] = basic(APPROVE)
    expected = 204 if status == 201 else 403
    assert core.request("DELETE", "/home/y", None, signed, token=None).status == expected


PAGES = ["text/html; charset=utf-8", "image/svg+xml", "application/rss+xml"]


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_may_talk_to_its_own_core_only(wire, fresh, kind):
    path = fresh()
    wire.put(path, b"<p>", Content_Type=kind)
    assert wire.get(path).headers["content-security-policy"].startswith("default-src 'self' ")
    own = "default-src 'none'"
    wire.put(path, b"<p>", Content_Type=kind, Content_Security_Policy=own)
    assert wire.get(path).headers["content-security-policy"] == own
    wire.put(path, b"<p>", Content_Type="text/plain")
    assert "content-security-policy" not in wire.get(path).headers


def test_the_policy_can_be_switched_off(start_core):
    core = start_core(arguments=("--content-security-policy", ""))
    core.put("/home/p", b"<p>", Content_Type="text/html")
    assert "content-security-policy" not in core.get("/home/p").headers


def test_a_configured_origin_may_ask_from_a_browser(start_core):
    core = start_core(arguments=("--cors-origins", "https://good.example"))
    wanted = {
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    good = {"Origin": "https://good.example"}
    reply = core.request("OPTIONS", "/home/a", None, good | wanted, token=None)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == "https://good.example"
    assert reply.headers["access-control-allow-headers"] == "authorization"
    assert "PUT" in reply.headers["access-control-allow-methods"]
    answer = core.request("GET", "/home/a", headers=good)
    assert answer.headers["access-control-allow-origin"] == "https://good.example"
    bad = {"Origin": "https://bad.example"}
    for reply in (
        core.request("OPTIONS", "/home/a", None, bad | wanted),
        core.request("GET", "/", headers=bad),
    ):
        assert "access-control-allow-origin" not in reply.headers
