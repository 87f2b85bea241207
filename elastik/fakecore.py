"""A core's HTTP behaviour over a dict: the statuses, headers and texts of core.md §2 to §6."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from elastik import chain, paths
from elastik.errors import BadPath
from elastik.headers import HeaderAllowlist, is_kept

KEY = b"fake-elastik-key-known-to-everybody"
VERSION = b"elastik-core 8.3.0 (fake)\n"
REPLAY = 1024
_METHODS = "GET, HEAD, PUT, POST, DELETE, OPTIONS"
_TEXT = "text/plain; charset=utf-8"
_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_EMPTY_META = chain.meta_sha256("", {})

_LACKED = {f"/proc/{name}" for name in ("df", "pool", "metrics", "health", "ready", "batch")}
# Request headers with a meaning for a core that is not imitated here.
_NOT_IMITATED = frozenset(
    "if-modified-since if-unmodified-since x-elastik-ttl x-elastik-purge depth".split()
)

Headers = dict[str, str]


@dataclass
class World:
    """One path's current state and its chain."""

    body: bytes
    content_type: str
    headers: Headers
    hmacs: list[str] = field(default_factory=list)


class Refusal(Exception):
    """An answer of 400 or more."""

    def __init__(self, status: int, text: str, headers: Headers | None = None) -> None:
        super().__init__(status, text)
        self.status, self.text, self.headers = status, text, headers or {}


class FakeCore:
    """Worlds, the delete ledger, and who listens."""

    def __init__(self, allow: HeaderAllowlist, deny: HeaderAllowlist) -> None:
        self._allow, self._deny = allow, deny
        self._worlds: dict[str, World] = {}
        self._lock = threading.RLock()
        self._requests = 0
        self._newest = 0
        self._ring: deque[tuple[int, str, bytes]] = deque(maxlen=REPLAY)
        self._listeners: set[FakeStream] = set()

    def handle(
        self, method: str, target: str, headers: Headers, body: bytes
    ) -> tuple[int, Headers, bytes | FakeStream]:
        """Status, headers and body for one request; `headers` are lower-case."""
        started = time.perf_counter()
        common = {"vary": "Authorization", "x-content-type-options": "nosniff"}
        with self._lock:
            self._requests += 1
            common["x-request-id"] = str(self._requests)
            content: bytes | FakeStream
            try:
                status, answered, content = self._route(method, target, headers, body)
            except Refusal as refusal:
                status, content = refusal.status, refusal.text.encode()
                answered = {"content-type": _TEXT, **refusal.headers}
        if isinstance(content, bytes) and status not in (204, 304):
            answered.setdefault("content-length", str(len(content)))
        common["x-elapsed-us"] = str(int((time.perf_counter() - started) * 1e6))
        return status, {**answered, **common}, content

    def _route(
        self, method: str, target: str, headers: Headers, body: bytes
    ) -> tuple[int, Headers, bytes | FakeStream]:
        path = target.partition("?")[0]
        if path.startswith("/listen/"):
            return self._listen(method, path.removeprefix("/listen/"), headers)
        if path == "/" or path.startswith("/proc/"):
            return self._proc(method, path)
        if method == "OPTIONS":
            return 204, {"allow": _METHODS}, b""
        handlers = {
            "GET": self._get,
            "HEAD": self._get,
            "PUT": self._put,
            "POST": self._post,
            "DELETE": self._delete,
        }
        if method not in handlers:
            raise Refusal(405, "method not allowed\n", {"allow": _METHODS})
        try:
            world = paths.canonical(unquote_to_bytes(path).decode("utf-8"))
        except (BadPath, UnicodeDecodeError) as exc:
            raise Refusal(400, f"bad request: {exc}\n") from None
        if not _NOT_IMITATED.isdisjoint(headers):
            raise NotImplementedError(f"FakeElastik ignores no {_NOT_IMITATED & {*headers}}")
        return handlers[method](world, headers, body)

    # -- /proc ---------------------------------------------------------------------------------

    def _proc(self, method: str, path: str) -> tuple[int, Headers, bytes]:
        allow = "GET, HEAD, OPTIONS"
        if method == "OPTIONS":
            return 204, {"allow": allow}, b""
        if method not in ("GET", "HEAD"):
            raise Refusal(405, "method not allowed\n", {"allow": allow})
        if path.startswith("/proc/audit/") and path.endswith("/verify"):
            return self._verify(path[len("/proc/audit/") : -len("/verify")])
        if path in _LACKED or path.startswith(("/proc/list/", "/proc/history/", "/proc/audit/")):
            raise NotImplementedError(f"FakeElastik has no {path}")
        names = sorted(self._worlds, key=lambda name: name.encode())
        pages = {
            "/": VERSION,
            "/proc/version": VERSION,
            "/proc/worlds": "".join(f"{name}\n" for name in names).encode(),
            "/proc/du": "".join(f"{n}\t{len(self._worlds[n].body)}\n" for n in names).encode(),
        }
        if path not in pages:
            raise Refusal(404, "world not found\n")
        return 200, {"content-type": _TEXT}, pages[path]

    def _verify(self, quoted: str) -> tuple[int, Headers, bytes]:
        world = self._worlds.get(paths.canonical(unquote_to_bytes(quoted).decode("utf-8")))
        if world is None:
            raise Refusal(404, "world not found\n")
        if not world.hmacs:
            return 204, {"x-audit-valid": "n/a"}, b""
        found = {
            "x-audit-valid": "true",
            "x-audit-events": str(len(world.hmacs)),
            "x-audit-genesis": f"hmac-{world.hmacs[0]}",
            "x-audit-latest": f"hmac-{world.hmacs[-1]}",
        }
        return 200, {"content-type": _TEXT, **found}, b""

    # -- worlds --------------------------------------------------------------------------------

    def _get(self, name: str, headers: Headers, _: bytes) -> tuple[int, Headers, bytes]:
        world = self._worlds.get(name)
        if world is None:
            raise Refusal(404, "world not found\n")
        etag = _etag(world)
        quoted = paths.quote(name)
        answered = {
            "content-type": world.content_type,
            "accept-ranges": "bytes",
            "etag": etag,
            "link": f'</listen/{quoted}>; rel="monitor", </proc/worlds>; rel="collection"',
            **dict(sorted(world.headers.items())),
        }
        match = headers.get("if-match", "")
        if match and match != "*" and etag not in _tags(match):
            raise Refusal(412, "precondition failed: If-Match did not match current ETag\n")
        wanted = headers.get("if-none-match", "")
        if wanted == "*" or etag in (tag.removeprefix("W/") for tag in _tags(wanted)):
            return 304, answered, b""
        asked = headers.get("range")
        if asked is None or headers.get("if-range", etag) != etag:
            return 200, answered, world.body
        return _ranged(asked, world.body, answered)

    def _put(self, name: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        world = self._judged(name, headers)
        kept = {
            key: value
            for key, value in headers.items()
            if is_kept(key, self._allow, self._deny) and re.fullmatch(r"[\t\x20-\x7e]*", value)
        }
        kind = headers.get("content-type") or "application/octet-stream"
        fresh = World(body, kind, kept, world.hmacs if world else [])
        self._worlds[name] = fresh
        self._commit(name, fresh, "put")
        if world is not None:
            return 200, {"content-type": _TEXT, "etag": _etag(fresh)}, b""
        where = {"location": "/" + paths.quote(name)}
        return 201, {"content-type": _TEXT, "etag": _etag(fresh), **where}, b""

    def _post(self, name: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        world = self._judged(name, headers)
        if world is None:
            raise Refusal(404, "world not found\n")
        asked = headers.get("x-append-offset", str(len(world.body)))
        if not asked.isdecimal():
            raise Refusal(400, "bad request: x-append-offset must be a number of bytes\n")
        if int(asked) != len(world.body):
            raise Refusal(412, f"precondition failed: the world ends at byte {len(world.body)}\n")
        world.body += body
        self._commit(name, world, "append")
        return 200, {"content-type": _TEXT, "etag": _etag(world)}, b""

    def _delete(self, name: str, headers: Headers, _: bytes) -> tuple[int, Headers, bytes]:
        if name == paths.LEDGER:
            raise Refusal(401, "auth required: delete ledger is append-only\n")
        world = self._judged(name, headers)
        if world is None:
            raise Refusal(404, "world not found\n")
        ledger = self._worlds.setdefault(paths.LEDGER, World(b"", "application/octet-stream", {}))
        for kind in ("delete_intent", "delete_commit"):
            _chain(ledger, name, kind, world.body, size=0, content_type="", meta=_EMPTY_META)
        del self._worlds[name]
        self._announce("delete", name, "")
        return 204, {}, b""

    def _judged(self, name: str, headers: Headers) -> World | None:
        """The world before a write, when the preconditions hold (core.md §3.4)."""
        world = self._worlds.get(name)
        match, none_match = headers.get("if-match", ""), headers.get("if-none-match", "")
        if match and world is None:
            raise Refusal(412, "precondition failed: If-Match requires an existing world\n")
        if world is None:
            return None
        if match and match != "*" and _etag(world) not in _tags(match):
            raise Refusal(412, "precondition failed: If-Match did not match current ETag\n")
        if none_match == "*" or _etag(world) in _tags(none_match):
            raise Refusal(412, "precondition failed: If-None-Match matched current ETag\n")
        return world

    def _commit(self, name: str, world: World, kind: str) -> None:
        if paths.is_durable(name):
            meta = chain.meta_sha256(world.content_type, world.headers)
            size = len(world.body)
            _chain(world, name, kind, world.body, size, world.content_type, meta)
        self._announce("put" if kind == "put" else "post", name, _etag(world).strip('"'))

    # -- events --------------------------------------------------------------------------------

    def _announce(self, kind: str, name: str, etag: str) -> None:
        self._newest += 1
        lines = [f"event: {kind}", f"id: {self._newest}", f"data: path: /{name}"]
        lines += [f"data: method: {kind.upper()}"] + ([f"data: etag: {etag}"] if etag else [])
        event = (self._newest, name, ("\n".join(lines) + "\n\n").encode())
        self._ring.append(event)
        for listener in list(self._listeners):
            listener.offer(event)

    def _listen(
        self, method: str, quoted: str, headers: Headers
    ) -> tuple[int, Headers, bytes | FakeStream]:
        if method == "OPTIONS":
            return 204, {"allow": "GET, OPTIONS"}, b""
        if method != "GET":
            raise Refusal(405, "method not allowed\n", {"allow": "GET, OPTIONS"})
        after = headers.get("last-event-id", "")
        stream = FakeStream(quoted.replace("%2A", "\0").replace("%2a", "\0"), self._listeners)
        if after.isdecimal():
            oldest = self._ring[0][0] if self._ring else self._newest + 1
            missed = oldest - int(after) - 1
            if missed > 0:
                stream.say(f"event: lag\ndata: missed: {missed}\n\n".encode())
            for event in self._ring:
                if event[0] > int(after):
                    stream.offer(event)
        self._listeners.add(stream)
        answered = {"content-type": "text/event-stream", "cache-control": "no-cache"}
        return 200, {**answered, "x-last-event-id": str(self._newest)}, stream


class FakeStream:
    """The body of a listen answer: blocks until an event, a heartbeat is due, or it is closed."""

    def __init__(self, quoted: str, listeners: set[FakeStream]) -> None:
        text = unquote_to_bytes(quoted).decode("utf-8", "replace").replace("\0", "%2A")
        self._pattern = text
        self._listeners = listeners
        self._waiting = bytearray()
        self._arrived = threading.Condition()
        self._timeout: float | None = None
        self._ended = False

    def offer(self, event: tuple[int, str, bytes]) -> None:
        if paths.matches(self._pattern, event[1]):
            self.say(event[2])

    def say(self, data: bytes) -> None:
        with self._arrived:
            self._waiting += data
            self._arrived.notify_all()

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def shutdown(self, _how: int) -> None:
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()
        self._listeners.discard(self)

    def read(self, size: int = -1) -> bytes:
        raise NotImplementedError("an event stream has no end to read to")

    def read1(self, size: int = -1) -> bytes:
        with self._arrived:
            came = self._arrived.wait_for(lambda: self._waiting or self._ended, self._timeout)
            if not came:
                raise TimeoutError("timed out")
            data = b"" if self._ended else bytes(self._waiting)
            self._waiting.clear()
            return data


def _etag(world: World) -> str:
    if world.hmacs:
        return f'"hmac-{world.hmacs[-1]}"'
    return f'"sha256-{hashlib.sha256(world.body).hexdigest()}"'


def _tags(text: str) -> list[str]:
    return re.findall(r'(?:W/)?"[^"]*"', text)


def _chain(
    world: World, target: str, kind: str, body: bytes, size: int, content_type: str, meta: str
) -> None:
    world.hmacs.append(
        chain.event_hmac(
            KEY,
            previous=world.hmacs[-1] if world.hmacs else "",
            kind=kind,
            target=target,
            body_sha256=hashlib.sha256(body).hexdigest(),
            size=size,
            content_type=content_type,
            meta_sha256=meta,
        )
    )


def _ranged(asked: str, body: bytes, answered: Headers) -> tuple[int, Headers, bytes]:
    """One byte range (RFC 9110 §14.1.2); what is not one is ignored."""
    if "," in asked and asked.lower().startswith("bytes="):
        raise NotImplementedError("FakeElastik knows one range at a time")
    match = _RANGE.fullmatch(asked)
    size = len(body)
    if match is None or match[1] == match[2] == "":
        return 200, answered, body
    if not match[1]:
        first, last = max(0, size - int(match[2])), size - 1
        empty = int(match[2]) == 0
    else:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < first:
            return 200, answered, body
        empty = False
    if empty or first >= size:
        raise Refusal(
            416,
            "range not satisfiable\n",
            {"content-range": f"bytes */{size}", "accept-ranges": "bytes"},
        )
    found = {**answered, "content-range": f"bytes {first}-{last}/{size}"}
    return 206, found, body[first : last + 1]
