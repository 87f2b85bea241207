"""Every case of the wire's contract asked of both cores: status, headers and body."""

from __future__ import annotations

import http.client
import re
from typing import NamedTuple
from urllib.parse import quote

import pytest

from core.published_cases import CASES, OPEN, PAGE, RAW, SMALL
from core.published_differences import (
    DATE,
    Seen,
    entries,
    expected,
    is_other,
    means,
    without_more_lines,
)
from realcore import APPROVE, READ, WRITE, Core, free_port, launch

SECRETS = {"read": READ, "write": WRITE, "approve": APPROVE, "wrong": "nobodys-token"}
HEADERS = {
    "ELASTIK_PERSIST_HEADERS": "x-meta-*,cookie",
    "ELASTIK_DENY_HEADERS": "x-meta-denied,x-robots-tag",
}
QUOTAS = {
    "ELASTIK_MAX_WORLD_BYTES": "100",
    "ELASTIK_MAX_MEMORY_BYTES": "200",
    "ELASTIK_MAX_STORAGE_BYTES": "200",
}
# What is another one in each answer: the test asks only that it is there, and of the right form.
VOLATILE = {
    "date": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "last-modified": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "x-request-id": r"\d+",
    "x-elapsed-us": r"\d+",
}
WORLDS = {"/home/w": b"0123456789", "/tmp/w": b"0123456789", "/home/j": b'{"a":1}'}


class Line:
    """One kept-alive connection to a core, made again when the core closes it."""

    def __init__(self, core: Core, token: str | None, *, breaks: bool):
        self.wire = http.client.HTTPConnection(*core.address, timeout=20)
        self.token = token
        # 8.3 closes a connection without a word when it did not read a request's body.
        self.breaks = breaks
        self.changed = True
        self.tags: tuple[tuple[str, str], ...] = ()
        self.fresh: dict[str, str] = {}

    def send(self, *request) -> Seen:
        try:
            return self._send(*request)
        except (ConnectionError, http.client.HTTPException):
            self.wire.close()
            if not self.breaks:
                raise
            return self._send(*request)

    def _send(self, method, target, headers=(), body=None) -> Seen:
        self.wire.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            self.wire.putheader(name, value.encode())
        if body is not None:
            self.wire.putheader("Content-Length", str(len(body)))
        self.wire.endheaders(body)
        answer = self.wire.getresponse()
        found: dict[str, str] = {}
        for name, value in answer.getheaders():
            name = name.lower()
            assert re.fullmatch(VOLATILE.get(name, ".*"), value), (name, value)
            value = DATE if name in VOLATILE else value
            found[name] = f"{found[name]}; {value}" if name in found else value
        # A stream has no end; neither core says anything before the first event.
        endless = found.get("content-type") == "text/event-stream" and method == "GET"
        text = b"" if endless else answer.read()
        if endless or answer.will_close:
            self.wire.close()
            answer.close()
        return Seen(answer.status, found, text)

    def bearer(self, token):
        return [("Authorization", f"Bearer {token}")] if token else []

    def ask(self, request: str) -> Seen:
        """One request as the cases have it."""
        start, *more = request.split(" | ")
        method, target = start.split(" ", 1)
        self.changed |= method not in ("GET", "HEAD", "OPTIONS")
        token, body, headers = self.token, None, []
        for part in more:
            name, _, value = part.partition(":")
            for mark, tag in self.tags:
                value = re.sub(rf"\b{mark}\b", tag, value)
            if part.startswith("body="):
                body = part.removeprefix("body=").encode()
            elif part.startswith("token="):
                token = SECRETS.get(part.removeprefix("token="))
            elif part != "bodiless":
                headers.append((name, value.strip(" ")))
        seen = self.send(method, target, self.bearer(token) + headers, body)
        return seen._replace(body=b"") if "bodiless" in more else seen

    def prepare(self) -> None:
        """The worlds that each case begins with, and no others."""
        if not self.changed:
            return
        mine = self.bearer(self.token)
        for path in self.send("GET", "/proc/worlds", mine).body.decode().split("\n")[:-1]:
            # The tag of a new world is always the same one, and of no other version.
            tag = self.send("HEAD", "/" + quote(path), mine).headers["etag"]
            if path != "var/log/deletes" and self.fresh.get(f"/{path}") != tag:
                self.send("DELETE", "/" + quote(path), mine)
        for path, body in WORLDS.items():
            new = [*mine, ("Content-Type", "text/x")]
            if path.startswith("/tmp/"):
                self.send("PUT", path, new, body)
            else:
                self.send("PUT", path, [*new, ("If-None-Match", "*")], body)
            self.fresh[path] = self.send("HEAD", path, mine).headers.get("etag", "")
        tags = [self.fresh[path].strip('"') for path in ("/home/w", "/tmp/w")]
        self.tags = (("TAG", tags[0]), ("MTAG", tags[1]))
        self.changed = False


class Both(NamedTuple):
    ours: Core
    theirs: Core


@pytest.fixture(scope="module")
def start_both(published, core_binary, tmp_path_factory):
    running = []

    def start(env=None, tokens=True):
        folder = tmp_path_factory.mktemp("wire")
        for binary, name in ((core_binary, "ours"), (published.binary, "theirs")):
            options = {"port": free_port(), "env": env, "tokens": tokens}
            running.append(launch(binary, folder / name, **options))
        return Both(*running[-2:])

    yield start
    for core in running:
        core.kill()


def lines(start_both, env=None, token=APPROVE):
    ours, theirs = start_both(env, tokens=token is not None)
    return [Line(ours, token, breaks=False), Line(theirs, token, breaks=True)]


@pytest.fixture(scope="module")
def both(start_both):
    return lines(start_both, HEADERS)


@pytest.fixture(scope="module")
def small(start_both):
    return lines(start_both, QUOTAS)


@pytest.fixture(scope="module")
def without_tokens(start_both):
    return lines(start_both, token=None)


def compare(pair, requests):
    ours, theirs = pair
    ours.prepare()
    theirs.prepare()
    for request in requests:
        answer, published = ours.ask(request), theirs.ask(means(request))
        if is_other(request):
            assert answer != expected(request, published), f"{request} is no difference any more"
        else:
            answer = without_more_lines(request, answer)
            assert answer == expected(request, published), request


@pytest.mark.parametrize("requests", [c[1] for c in CASES], ids=[c[0][:90] for c in CASES])
def test_a_case(both, requests):
    compare(both, requests)


@pytest.mark.parametrize("requests", [c[1] for c in SMALL], ids=[c[0] for c in SMALL])
def test_a_quota(small, requests):
    compare(small, requests)


@pytest.mark.parametrize("requests", [c[1] for c in OPEN], ids=[c[0] for c in OPEN])
def test_without_tokens(without_tokens, requests):
    compare(without_tokens, requests)


@pytest.fixture(scope="module")
def raw_cores(start_both):
    return start_both()


@pytest.mark.parametrize("sent", RAW.values(), ids=RAW)
def test_bytes(raw_cores, sent):
    answers = []
    for core in raw_cores:
        came = core.exchange(sent.replace(b"APPROVE", APPROVE.encode()), seconds=20)
        came = re.sub(rb"elastik-core \S+", b"elastik-core <version>", came)
        heads = re.findall(rb"HTTP/1\.[01] \d+", came)
        answers.append((heads, [part.partition(b"HTTP/1.")[0] for part in came.split(b"\r\n\r\n")]))
    assert answers[0][0] == answers[1][0]
    if answers[0][0][0].endswith((b"200", b"201")):
        assert answers[0][1][1:] == answers[1][1][1:]


def test_every_difference_has_its_entry():
    page = PAGE.with_name("migrating.md").read_text()
    assert not {entry for entry in entries() if f'<a id="{entry}"></a>' not in page}
