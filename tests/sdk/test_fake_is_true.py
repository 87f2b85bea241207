"""`FakeElastik` beside a real core: any sequence of calls has the same outcomes."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from elastik import ElastikError, FakeElastik
from elastik.testing import HeaderAllowlist

PATHS = st.sampled_from(["a", "b", "a/b", "tmp/m", "tmp/a/b"])
BODIES = st.sampled_from([b"", b"x", "text", b"0123456789"])
# Symbols: the tag that is in force, one that was, one that never was.
TAGS = st.sampled_from([None, None, "now", "old", "*", "no", 'W/"no"'])
RANGES = st.one_of(
    st.none(), st.tuples(st.integers(0, 11), st.integers(0, 11)).map(lambda t: tuple(sorted(t)))
)
RAW_RANGES = st.sampled_from(
    ["bytes=0-", "bytes=-3", "bytes=2-4", "bytes=9-2", "bytes=99-", "bytes=-0", "lines=0-1",
     "Bytes=0-0", "bytes=x-y", "0-1", "bytes = 0-1", "bytes=-99"]
)  # fmt: skip
OFFSETS = st.sampled_from([None, None, 0, 1, 10])

CALLS = st.one_of(
    st.tuples(
        st.just("put"), PATHS, BODIES,
        st.fixed_dictionaries({}, optional={
            "if_match": TAGS, "if_none_match": TAGS, "content_type": st.just("x/y"),
            "cache_control": st.just("no-store"), "project": st.just("p"),
        }),
    ),
    st.tuples(st.just("create"), PATHS, BODIES),
    st.tuples(st.just("post"), PATHS, BODIES, TAGS, OFFSETS),
    st.tuples(st.just("get"), PATHS, RANGES, TAGS, TAGS),
    st.tuples(st.just("raw range"), PATHS, RAW_RANGES),
    st.tuples(st.just("raw condition"), PATHS, st.sampled_from(["GET", "HEAD"]), TAGS),
    st.tuples(st.just("delete"), PATHS, TAGS),
    st.tuples(st.sampled_from(["head", "exists", "verify", "is_audited", "ls", "du"]), PATHS),
    st.tuples(st.just("copy"), PATHS, PATHS, st.booleans()),
    st.tuples(st.just("mv"), PATHS, PATHS, st.booleans()),
    st.tuples(st.just("rm"), PATHS),
    st.tuples(st.just("list")),
)  # fmt: skip


class Player:
    """Plays calls on one client; tags are told by their history, as their digits differ."""

    def __init__(self, client) -> None:
        self.client = client
        self.tags: dict[str, list[str]] = {}

    def tag(self, path: str, symbol: str | None) -> str | None:
        known = self.tags.get(path, [])
        if symbol == "now":
            return known[-1] if known else "none-yet"
        if symbol == "old":
            return known[0] if len(known) > 1 else "none-before"
        return symbol

    def seen(self, path: str, tag: str) -> str:
        known = self.tags.setdefault(path, [])
        if tag and tag not in known:
            known.append(tag)
        return re.sub("[0-9a-f]{64}", "*", tag)

    def play(self, call) -> object:
        try:
            return getattr(self, call[0].replace(" ", "_"), self.plain)(call)
        except (ElastikError, ValueError, FileExistsError) as exc:
            body = getattr(exc, "body", b"")
            return type(exc).__name__, getattr(exc, "status", 0), bool(body)

    def plain(self, call):
        result = getattr(self.client, call[0])(*call[1:])
        if call[0] == "head":
            self.seen(call[1], result["etag"])
            kept = ("content-type", "content-length", "cache-control", "x-meta-project", "link")
            return {name: result.get(name) for name in kept}
        return result

    def list(self, _):
        return [path for path in self.client.list() if path != "var/log/deletes"]

    def put(self, call):
        _, path, body, options = call
        options = {k: self.tag(path, v) if k.startswith("if_") else v for k, v in options.items()}
        written = self.client.put(path, body, **options)
        return written["status"], self.seen(path, written["etag"])

    def create(self, call):
        written = self.client.put(call[1], call[2], create_only=True)
        return written["status"], self.seen(call[1], written["etag"])

    def post(self, call):
        _, path, body, tag, offset = call
        written = self.client.post(path, body, if_match=self.tag(path, tag), offset=offset)
        return written["status"], self.seen(path, written["etag"])

    def get(self, call):
        _, path, span, none_match, if_range = call
        return self.client.get(
            path, range=span, if_none_match=self.tag(path, none_match),
            if_range=self.tag(path, if_range) if span else None,
        )  # fmt: skip

    def raw_range(self, call):
        answer = self.client.request("GET", call[1], headers={"Range": call[2]})
        return answer.status, answer.headers.get("content-range"), answer.ok and answer.body

    def raw_condition(self, call):
        _, path, method, tag = call
        sent = {} if tag is None else {"If-Match": self.quoted(self.tag(path, tag))}
        answer = self.client.request(method, path, headers=sent)
        return answer.status, answer.ok and answer.body

    @staticmethod
    def quoted(tag: str) -> str:
        return tag if tag.startswith(('"', "W/", "*")) else f'"{tag}"'

    def delete(self, call):
        return self.client.delete(call[1], if_match=self.tag(call[1], call[2]))

    def copy(self, call):
        written = self.client.copy(call[1], call[2], overwrite=call[3])
        return written["status"], self.seen(call[2], written["etag"])

    def mv(self, call):
        return self.client.mv(call[1], call[2], overwrite=call[3])

    def rm(self, call):
        return self.client.rm(call[1], recursive=True)


@given(st.lists(CALLS, min_size=1, max_size=12))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example([("put", "a", b"0123456789", {}), ("post", "a", b"x", None, 10)])
@example([("put", "a", b"0123456789", {}), ("post", "a", b"x", None, 1)])
@example([("put", "a", b"x", {}), ("raw condition", "a", "GET", "no")])
def test_any_sequence_of_calls_has_the_outcomes_of_a_core(e, calls):
    for path in e.list():
        if path != "var/log/deletes":
            e.delete(path)
    real = Player(e)
    fake = Player(FakeElastik(persist_allow=HeaderAllowlist.parse("x-meta-*")))
    for number, call in enumerate(calls):
        assert fake.play(call) == real.play(call), calls[: number + 1]


@pytest.mark.parametrize(
    "page", ["/proc/metrics", "/proc/health", "/proc/ready", "/proc/list/home"]
)
def test_pages_that_the_fake_lacks_are_no_missing_worlds(page):
    with pytest.raises(NotImplementedError):
        FakeElastik().page("GET", page)
