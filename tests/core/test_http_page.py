"""Every row of the tables in docs/http.md is asked of a running core."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realcore import APPROVE, READ, WRITE, Listener, scoped_token

PAGE = Path(__file__).resolve().parents[2] / "docs" / "http.md"
SCOPED = "scoped-token-for-tests"
TOKENS = {"anonymous": None, "read": READ, "write": WRITE, "approve": APPROVE, "scoped": SCOPED}
METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "COPY", "MOVE", "BREW"]
MERGE = {"Content-Type": "application/merge-patch+json"}


def table(heading):
    """The rows of the first table below a heading, as lists of cells."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") or line == "|---"]
    cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return cells[0], cells[1:]


def quoted(cell):
    return re.findall(r"`([^`]*)`", cell)


ROUTES, WHO, CASES = (table(h)[1] for h in ("Routes", "Who may", "Requests and their answers"))


@pytest.fixture(scope="module")
def page_core(core_binary, tmp_path_factory):
    from realcore import launch

    folder = tmp_path_factory.mktemp("page")
    file = folder / "tokens.toml"
    file.write_text(scoped_token("b", SCOPED, "write", "/home/b/*"))
    core = launch(core_binary, folder / "data", arguments=("--tokens-file", str(file)))
    yield core
    core.kill()


def ask(core, method, target, headers=None, body=None, token=APPROVE):
    """As `request`, but a stream is not read to its end."""
    if method == "GET" and target.startswith("/listen/"):
        with Listener(core, target.removeprefix("/listen/"), token=token) as ears:
            if ears.status == 200:
                return ears.response, b""
            return ears.response, ears.response.read()
    reply = core.request(method, target, body, headers, token=token)
    return reply, reply.body


def test_the_page_has_its_tables():
    assert (len(ROUTES), len(WHO), len(CASES)) >= (15, 30, 80)


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: row[0])
def test_a_route(page_core, row):
    (target,), (allow,) = quoted(row[0]), quoted(row[1])
    reply = page_core.request("OPTIONS", target, token=None)
    assert (reply.status, reply.headers["allow"]) == (204, allow)
    for method in METHODS:
        if method not in allow.split(", "):
            refused = page_core.request(method, target, None if method != "PUT" else b"")
            assert (refused.status, refused.headers["allow"]) == (405, allow)
    method = "GET" if "GET" in allow else "POST"
    status = ask(page_core, method, target, body=None if method == "GET" else b"", token=None)[
        0
    ].status
    assert (status == 401) == (row[2] != "none")


CELLS = [
    (row[0].strip("`"), who, int(status))
    for row in WHO
    for who, status in zip(TOKENS, row[1:], strict=True)
]


@pytest.mark.parametrize(("request_", "who", "status"), CELLS)
def test_who_may(page_core, request_, who, status):
    for path in ("/home/b/x", "/home/b/y", "/home/c/x", "/tmp/x", "/etc/x", "/var/log/x"):
        page_core.put(path, b"{}")
    method, target, *rest = request_.split(" ")
    headers = {"Destination": rest[0]} if rest else {}
    body = None
    if method == "PATCH":
        headers |= MERGE
    if method in ("PUT", "POST", "PATCH"):
        body = b'{"op":"put","path":"/home/b/x"}' if target == "/proc/batch" else b"{}"
    assert ask(page_core, method, target, headers, body, TOKENS[who])[0].status == status


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_case(page_core, row):
    for name in ("/home/n", "/home/none", "/home/d"):
        page_core.request("DELETE", name)
    for name in ("/home/w", "/tmp/w", "/home/j"):
        page_core.request("DELETE", name)
        page_core.put(
            name, b'{"a":1}' if name == "/home/j" else b"0123456789", Content_Type="text/x"
        )
    tag = page_core.get("/home/w").etag.strip('"')
    method, target = row[0].strip("`").split(" ", 1)
    headers, body = {}, None
    for part in quoted(row[1]):
        if part.startswith("body="):
            body = part.removeprefix("body=").encode()
        else:
            name, _, value = part.partition(": ")
            headers[name] = value.replace("TAG", tag)
    if method in ("PUT", "PATCH") and body is None:
        body = b""
    reply, text = ask(page_core, method, target, headers, body)
    assert reply.status == int(row[2])
    if reply.status >= 400:
        assert method == "HEAD" or (text.endswith(b"\n") and text.count(b"\n") == 1)
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    for part in quoted(row[3]):
        name, _, value = part.partition(": ")
        if name in reply.headers:
            assert reply.headers[name] == value.replace("TAG", tag)
        else:
            assert part in text.decode().rstrip("\n")
