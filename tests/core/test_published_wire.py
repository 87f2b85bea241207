"""The requests of docs/http.md asked of both cores: where 8.3.0 answers otherwise, and why.

DIFFERENT is the one list of deliberate differences on the wire; docs/migrating.md explains each.
"""

from __future__ import annotations

import pytest

from core.test_http_page import CASES, PAGE, ask, quoted
from realcore import launch

# Anchor in docs/migrating.md -> requests, as the table of docs/http.md has them.
DIFFERENT = {
    "ranges": [
        "GET /home/w Range: bytes=5-2",
        "GET /home/w Range: lines=1-2",
        "GET /home/w Range: bytes=0-1,3-4",
        "HEAD /home/w Range: bytes=2-4",
        "HEAD /home/w Range: bytes=10-",
    ],
    "conditions": [
        'GET /home/w If-Match: "other"',
        "GET /home/w If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
        "GET /home/w If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
        "PUT /home/w body=x If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
    ],
    "headers-with-a-meaning": [
        "PUT /home/w body=x X-Elastik-TTL: soon",
        "POST /home/w body=x X-Append-Offset: 9",
        "POST /home/w body=x X-Append-Offset: x",
        "DELETE /home/w X-Elastik-Purge: maybe",
        "DELETE /home/w Depth: 1",
    ],
    "new-methods": [
        'PATCH /home/j body={"a":2} Content-Type: application/merge-patch+json',
        'PATCH /home/j body=[{"op":"test","path":"/a","value":2}]'
        " Content-Type: application/json-patch+json",
        'PATCH /home/j body=[{"op":"remove","path":"/b"}]'
        " Content-Type: application/json-patch+json",
        "PATCH /home/w body={} Content-Type: application/json-patch+json",
        "PATCH /home/j body={} Content-Type: text/plain",
        "COPY /home/w Destination: /home/n",
        "COPY /home/w Destination: /tmp/w",
        "COPY /home/w Destination: /tmp/w Overwrite: F",
        'COPY /home/w Destination: /tmp/w X-Destination-If-Match: "other"',
        "COPY /home/w Destination: /home/w",
        "COPY /home/w",
        "COPY /home/w Destination: http://elsewhere.example/n",
        "COPY /home/none Destination: /home/n",
        "MOVE /home/w Destination: /home/n",
        'MOVE /home/w Destination: /home/n If-Match: "other"',
        "MOVE /home/d Destination: /home/d/e Depth: infinity",
    ],
    "new-pages": [
        'POST /proc/batch body={"op":"put","path":"/home/n"}',
        'POST /proc/batch body={"op":"append","path":"/home/none"}',
        "POST /proc/batch body=nonsense",
        "POST /proc/batch body=",
        "GET /proc/list/home?limit=x",
        "GET /proc/list/home Accept: application/jsonl",
        "GET /proc/history/home/w?at=x",
        "POST /proc/history/home/w body=",
        "GET /proc/audit/home/w/events?after=0",
        "GET /proc/audit/tmp/w/events",
        "GET /listen/*?body=raw",
    ],
    "head-and-options": ["HEAD /listen/*", "OPTIONS *"],
}
ASKED = {f"{row[0].strip('`')} {' '.join(quoted(row[1]))}".strip(): row for row in CASES}

ALL = {case for cases in DIFFERENT.values() for case in cases}


@pytest.fixture(scope="module")
def both(published, core_binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    ours = launch(core_binary, folder / "ours")
    theirs = published.start(folder / "theirs")
    yield ours, theirs
    ours.kill()
    theirs.kill()


def status_of(core, row):
    """What a core says to one row of the table."""
    for name in ("/home/n", "/home/none", "/home/d"):
        core.request("DELETE", name)
    for name in ("/home/w", "/tmp/w", "/home/j"):
        core.request("DELETE", name)
        core.put(name, b'{"a":1}' if name == "/home/j" else b"0123456789", Content_Type="text/x")
    tag = core.get("/home/w").etag.strip('"')
    method, target = row[0].strip("`").split(" ", 1)
    headers, body = {}, b"" if method in ("PUT", "PATCH") else None
    for part in quoted(row[1]):
        name, _, value = part.partition(": ")
        if part.startswith("body="):
            body = part.removeprefix("body=").encode()
        else:
            headers[name] = value.replace("TAG", tag)
    return ask(core, method, target, headers, body)[0].status


@pytest.mark.parametrize("case", ASKED)
def test_the_same_status_as_8_3(both, case):
    ours, theirs = (status_of(core, ASKED[case]) for core in both)
    assert (ours != theirs) == (case in ALL), (ours, theirs)


def test_the_list_names_requests_of_the_page():
    assert set(ASKED) >= ALL


def test_every_difference_has_its_entry():
    page = PAGE.with_name("migrating.md").read_text()
    assert not {entry for entry in DIFFERENT if f'<a id="{entry}"></a>' not in page}
