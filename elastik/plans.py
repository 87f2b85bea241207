"""What a verb asks of a core and makes of the answers, without a wire.

A plan is a generator: it yields a step, is sent what the step gave (or is thrown what it raised),
and returns the result of the verb. `elastik.Elastik` and `elastik.aio.Elastik` differ only in how
they carry the steps out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import IO, Any, TypeVar

from elastik import paths
from elastik.errors import ElastikError, NotFound, Unsupported, error_of
from elastik.remembered import Remembered
from elastik.responses import Response, Written
from elastik.sending import SINCE, delete_headers, get_headers


# Plain classes: named tuples would cost every program a millisecond when it starts.
class Ask:
    """Send a request and read its answer whole: gives a `Response`.

    `target` is what goes on the wire when it is not the world `path`; errors tell `path`.
    """

    def __init__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        target: str | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.headers = headers
        self.target = target


class Version:
    """Ask which core it is, beside what the user asks for: gives its version."""


class Open:
    """GET: gives an answer whose body is still to be read, and closed; raises for 4xx and 5xx.

    `silence` is the longest one in seconds, None for that of the client.
    """

    def __init__(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        target: str | None = None,
        silence: float | None = None,
    ) -> None:
        self.path = path
        self.headers = headers
        self.target = target
        self.silence = silence


class Read:
    """Read what is left of an opened answer: gives bytes."""

    def __init__(self, source: Any) -> None:
        self.source = source


class Save:
    """Read an opened answer into a local file, down to the disk: gives the file's position."""

    def __init__(self, source: Any, out: IO[bytes]) -> None:
        self.source = source
        self.out = out


class Lines:
    """GET a page and give each of its lines to `take`."""

    def __init__(self, target: str, path: str, take: Callable[[bytes], object]) -> None:
        self.target = target
        self.path = path
        self.take = take


class Pause:
    """Wait so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Step = Ask | Version | Open | Read | Save | Lines | Pause
Result = TypeVar("Result")
Plan = Generator[Step, Any, Result]


class Plans:
    """The plans of the wire verbs, and what is known of the core they are for."""

    def __init__(self) -> None:
        self._core_version: tuple[int, ...] = ()
        # What a core of its version should have and has refused.
        self._lacks: set[str] = set()
        self.remembered = Remembered()

    # -- parts of plans ------------------------------------------------------------------------

    def knows(self, capability: str) -> Plan[bool]:
        """What the core can do, decided once by /proc/version."""
        version = self._core_version
        if not version:
            # Empty: no core, or one that cannot answer just now. That decides nothing for later.
            version = self._core_version = yield Version()
        return version >= SINCE[capability] and capability not in self._lacks

    def need(self, capability: str, what: str) -> Plan[None]:
        """Raise Unsupported on a core that cannot do it."""
        if not (yield from self.knows(capability)):
            raise Unsupported(f"this core has no {what}")

    def checked(self, ask: Ask) -> Plan[Response]:
        """An answer below 400; the error that stands for it otherwise."""
        answer: Response = yield ask
        if not answer.ok:
            raise error_of(answer, ask.method, ask.path)
        return answer

    # -- verbs ---------------------------------------------------------------------------------

    def put(self, path: str, body: Any, sent: Mapping[str, str], lifetime: bool) -> Plan[Written]:
        """See `Elastik.put`."""
        if lifetime:
            yield from self.need("lifetimes", "lifetimes")
        answer = yield from self.checked(Ask("PUT", path, body, sent))
        self.remembered.set(path, answer.etag, body)
        return _receipt(answer)

    def post(self, path: str, body: Any, sent: Mapping[str, str]) -> Plan[Written]:
        """See `Elastik.post`."""
        answer = yield from self.checked(Ask("POST", path, body, sent))
        self.remembered.forget(path)
        return _receipt(answer)

    def get(
        self,
        path: str,
        sent: Mapping[str, str],
        version: str | None = None,
        whole: bool = False,
    ) -> Plan[bytes | None]:
        """See `Elastik.get`; `version` is the target of an old one, `whole` what may be kept."""
        if version is not None:
            yield from self.need("history", "old versions")
        answer = yield from self.checked(Ask("GET", path, None, sent, version))
        if answer.status == 304:
            return None
        if whole and version is None:
            self.remembered.set(path, answer.etag, answer.body)
        return answer.body

    def delete(self, path: str, if_match: str | None = None, purge: bool = False) -> Plan[bool]:
        """See `Elastik.delete`."""
        if purge:
            yield from self.need("purge", "purging")
        try:
            yield from self.checked(Ask("DELETE", path, None, delete_headers(if_match, purge)))
        except NotFound:
            return False
        self.remembered.forget(path)
        return True

    def head(self, path: str) -> Plan[dict[str, str]]:
        """See `Elastik.head`."""
        return (yield from self.checked(Ask("HEAD", path))).headers

    def size(self, path: str) -> Plan[int | None]:
        """Bytes of a world; None when it is not there."""
        try:
            return int((yield from self.head(path)).get("content-length", "0"))
        except NotFound:
            return None

    def exists(self, path: str) -> Plan[bool]:
        """See `Elastik.exists`."""
        return (yield from self.size(path)) is not None

    def cached(self, path: str) -> Plan[bytes]:
        """See `Elastik.get_cached`."""
        etag, kept = self.remembered.get(path) or (None, b"")
        body = yield from self.get(path, get_headers(None, etag, None, None), None, True)
        return kept if body is None else body

    def beginning(self, path: str, size: int) -> Plan[bytes]:
        """The first bytes; an empty world has none, and is 416 for any range (core.md §3.3)."""
        try:
            body = yield from self.get(path, get_headers((0, size - 1), None, None, None))
        except ElastikError as exc:
            if exc.status != 416:
                raise
            body = None
        return body or b""

    def verify(self, path: str) -> Plan[bool]:
        """See `Elastik.verify` (core.md §5)."""
        page = f"/proc/audit/{paths.canonical(path)}/verify"
        answer: Response = yield Ask("HEAD", page)
        if answer.status == 200:
            return answer.headers.get("x-audit-valid") == "true"
        # 409 is a broken chain. 404 where the world is: it is the page that this core lacks.
        if answer.status in (204, 409):
            return False
        if answer.status == 404 and (yield from self.exists(path)):
            return False
        raise error_of(answer, "HEAD", page)

    def names(self) -> Plan[list[str]]:
        """See `Elastik.list`."""
        answer = yield from self.checked(Ask("GET", "/proc/worlds"))
        return [line for line in answer.body.decode("utf-8").split("\n") if line]

    # -- changes in one commit -----------------------------------------------------------------

    def patch(self, path: str, body: bytes, sent: Mapping[str, str]) -> Plan[Written]:
        """See `Elastik.patch`."""
        yield from self.need("patch", "PATCH")
        answer = yield from self.checked(Ask("PATCH", path, body, sent))
        self.remembered.forget(path)
        return _receipt(answer)

    def batch(self, body: bytes, sent: Mapping[str, str]) -> Plan[bytes]:
        """See `Elastik.batch`."""
        yield from self.need("batch", "batches")
        answer = yield from self.checked(Ask("POST", "/proc/batch", body, sent))
        self.remembered.forget(None)
        return answer.body

    def revert(self, path: str, version: str, sent: Mapping[str, str]) -> Plan[Written]:
        """See `Elastik.revert`; `version` is the target of an old one."""
        yield from self.need("history", "old versions")
        answer = yield from self.checked(Ask("POST", path, b"", sent, version))
        self.remembered.forget(path)
        return _receipt(answer)


def _receipt(answer: Response) -> Written:
    return {"status": answer.status, "etag": answer.etag}
