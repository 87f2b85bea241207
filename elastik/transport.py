"""HTTP/1.1 over TCP, TLS or a Unix socket: kept-alive connections that survive threads and fork."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit

from elastik import errors
from elastik.errors import ElastikError
from elastik.sending import beginning_of, rewind

Body = bytes | IO[bytes] | Iterable[bytes] | None
CHUNK = 64 * 1024
# A connection that was idle this long is not worth a probe: servers and NATs forget it.
IDLE_LIMIT_S = 60.0
IDLE_CONNECTIONS = 8


class Readable(Protocol):
    """What an answer reads its body from."""

    def read(self, size: int = ..., /) -> bytes: ...
    def read1(self, size: int = ..., /) -> bytes: ...


class Wire(Protocol):
    """What an answer's connection can do while it is read."""

    def settimeout(self, timeout: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...


class Answer:
    """Status, lower-case headers and a body that is read once; repeated headers are joined."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: Readable,
        release: Callable[[bool], None] = lambda _whole: None,
        wire: Wire | None = None,
    ) -> None:
        self.status = status
        self.headers = dict(headers)
        self._body = body
        self._release: Callable[[bool], None] | None = release
        self._wire = wire

    def read(self) -> bytes:
        """The rest of the body; gives the connection back."""
        if self._release is None:
            return b""
        try:
            data = self._body.read()
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise unreachable(exc) from exc
        self._done(whole=True)
        return data

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The body in pieces of at most `size` bytes, as they arrive."""
        while piece := self.read1(size):
            yield piece

    def read1(self, size: int = CHUNK) -> bytes:
        """Some bytes, or b"" at the end, where a complete body gives its connection back."""
        if self._release is None:
            return b""
        try:
            piece = self._body.read1(size)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as exc:
            self.close()
            raise unreachable(exc) from exc
        if not piece:
            # http.client reports a body that broke off only by what it still expects.
            missing = getattr(self._body, "length", None)
            self._done(whole=not missing)
            if missing:
                raise errors.Unreachable(f"the answer broke off {missing} bytes before its end")
        return piece

    def close(self) -> None:
        """Drop what is unread, and the connection with it."""
        self._done(whole=False)

    def interrupt(self) -> None:
        """Wake a reader in another thread: its read ends as at the end of the body."""
        if self._wire is not None:
            with contextlib.suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)

    def settimeout(self, timeout: float | None) -> None:
        """Seconds the next read may take."""
        if self._wire is not None and self._release is not None:
            self._wire.settimeout(timeout)

    def _done(self, whole: bool) -> None:
        release, self._release = self._release, None
        if release is not None:
            release(whole)

    def __del__(self) -> None:
        self.close()


class Transport:
    """Connections to one server. Safe to use from several threads and after fork."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = 30.0,
        keep_alive: bool = True,
        cafile: str | os.PathLike[str] | None = None,
    ) -> None:
        self.timeout = timeout
        self.keep_alive = keep_alive
        self._cafile = cafile
        self._tls: Any = None
        self._parse(url)
        self._forget()

    def _parse(self, url: str) -> None:
        parts = urlsplit(url)
        self.scheme = parts.scheme.lower()
        self.base = parts.path.rstrip("/")
        if self.scheme == "http+unix":
            # Both http+unix:///run/e.sock and http+unix://%2Frun%2Fe.sock are in use.
            self.socket_path = unquote(parts.netloc) or parts.path
            self.base, self.host_header = "", "localhost"
            return
        if self.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http, https or http+unix URL: {url!r}")
        self.host = parts.hostname
        self.port = parts.port or (443 if self.scheme == "https" else 80)
        self.host_header = parts.netloc.rpartition("@")[2]

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[tuple[float, socket.socket]] = []

    # -- connections ---------------------------------------------------------------------------

    def connect(self, timeout: float | None) -> socket.socket:
        """A new connection."""
        if self.scheme == "http+unix":
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(timeout)
                sock.connect(self.socket_path)
            except BaseException:
                sock.close()
                raise
            return sock
        # As bytes it needs no IDNA codec, whose import takes longer than a request.
        host: Any = self.host.encode() if self.host.isascii() else self.host
        sock = socket.create_connection((host, self.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._wrapped(sock) if self.scheme == "https" else sock

    def _wrapped(self, sock: socket.socket) -> socket.socket:
        import ssl

        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._cafile)
        try:
            wrapped: socket.socket = self._tls.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise
        return wrapped

    def _checkout(self) -> socket.socket | None:
        """An idle connection that still lives, newest first."""
        if self._pid != os.getpid():
            # After fork the sockets belong to the parent; its lock may even be held for ever.
            inherited = self._idle
            self._forget()
            for _, sock in inherited:
                sock.close()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, sock = self._idle.pop()
            if time.monotonic() - since < IDLE_LIMIT_S and not _readable(sock):
                return sock
            sock.close()

    def _checkin(self, sock: socket.socket, pid: int) -> None:
        if pid == self._pid == os.getpid():
            with self._lock:
                if self.keep_alive and len(self._idle) < IDLE_CONNECTIONS:
                    self._idle.append((time.monotonic(), sock))
                    return
        sock.close()

    def close(self) -> None:
        """Close the idle connections. The transport can be used again afterwards."""
        while (sock := self._checkout()) is not None:
            sock.close()

    def __del__(self) -> None:
        # A client need not be closed: 8.3's had nothing to close. After fork this closes copies.
        for _, sock in getattr(self, "_idle", ()):
            sock.close()

    def has_idle(self) -> bool:
        """True when the next request would reuse a connection."""
        return bool(self._idle) and self._pid == os.getpid()

    # -- one request ---------------------------------------------------------------------------

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = None,
        *,
        timeout: float | None = None,
        fresh: bool = False,
    ) -> Answer:
        """Send one request and return its answer, whose body is still to be read.

        There is one more try on a new connection when a reused one turns out to be dead. `fresh`
        never reuses one, and neither does a body that can be read only once. Raises Unreachable or
        TimedOut.
        """
        wait = self.timeout if timeout is None else timeout
        start = beginning_of(body)
        sock = None if fresh or start is None else self._checkout()
        if sock is not None:
            try:
                return self._exchange(sock, method, target, headers, body, wait)
            except (OSError, http.client.HTTPException) as exc:
                if isinstance(exc, TimeoutError):
                    raise unreachable(exc, method, target) from exc
                rewind(body, start)
        try:
            return self._exchange(None, method, target, headers, body, wait)
        except (OSError, http.client.HTTPException) as exc:
            raise unreachable(exc, method, target) from exc

    def _exchange(
        self,
        sock: socket.socket | None,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body,
        timeout: float | None,
    ) -> Answer:
        head = self._head(method, target, headers, body)
        if sock is None:
            sock = self.connect(timeout)
        answer = None
        try:
            sock.settimeout(timeout)
            refused = _transmit(sock, head, body)
            answer = http.client.HTTPResponse(sock, method=method)
            answer.begin()
        except BaseException:
            if answer is not None:
                answer.close()
            sock.close()
            raise
        return self._answer(sock, answer, reusable=not refused)

    def _answer(
        self, sock: socket.socket, answer: http.client.HTTPResponse, reusable: bool
    ) -> Answer:
        pid = os.getpid()

        def release(whole: bool) -> None:
            stays = whole and reusable and not answer.will_close
            answer.close()
            if stays:
                self._checkin(sock, pid)
            else:
                sock.close()

        result = Answer(answer.status, _joined(answer), answer, release, sock)
        if answer.isclosed():
            result._done(whole=True)
        return result

    def _head(self, method: str, target: str, headers: Mapping[str, str], body: Body) -> bytes:
        lines = [f"{method} {self.base}{target} HTTP/1.1", f"Host: {self.host_header}"]
        if not self.keep_alive:
            lines.append("Connection: close")
        size = body_size(body)
        if size is None:
            lines.append("Transfer-Encoding: chunked")
        elif body is not None or method in ("PUT", "POST", "PATCH"):
            lines.append(f"Content-Length: {size}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        for line in lines:
            if "\r" in line or "\n" in line or "\0" in line:
                raise ValueError(f"line breaks are not allowed in a header: {line!r}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def body_size(body: Body) -> int | None:
    """Bytes that a body still holds, or None when only reading it can tell."""
    if body is None:
        return 0
    if isinstance(body, (bytes, bytearray, memoryview)):
        return len(body)
    file: Any = body
    try:
        # A regular file, or anything else that can seek; not a pipe.
        here: int = file.tell()
        end: int = file.seek(0, io.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return max(0, end - here)


def _transmit(sock: socket.socket, head: bytes, body: Body) -> bool:
    """Send everything; True when the server stopped listening and may have answered early."""
    if body is None or isinstance(body, (bytes, bytearray, memoryview)):
        whole = bytes(body or b"")
        if len(whole) <= CHUNK:
            head, whole = head + whole, b""
        return _send(sock, head) or (bool(whole) and _send(sock, whole))
    size = body_size(body)
    if _send(sock, head):
        return True
    left = size
    for piece in pieces(body):
        if size is None:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        elif left is not None:
            piece = piece[:left]
            left -= len(piece)
        if _send(sock, piece):
            return True
    if left:
        raise OSError(f"the file became {left} bytes shorter while it was sent")
    return _send(sock, b"0\r\n\r\n") if size is None else False


def pieces(body: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    """Non-empty pieces of a file or an iterable; TypeError for anything but bytes."""
    read = getattr(body, "read", None)
    source: Iterable[bytes] = iter(lambda: read(CHUNK), b"") if read is not None else body
    for piece in source:
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise TypeError(f"a body must give bytes, not {type(piece).__name__}")
        if len(piece):
            yield bytes(piece)


def _send(sock: socket.socket, data: bytes) -> bool:
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        # It may have answered 401 or 413 before the body was through: that answer is the reason.
        return True
    return False


def _readable(sock: socket.socket) -> bool:
    """An idle connection with something to read was closed by the server."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


def _joined(answer: http.client.HTTPResponse) -> dict[str, str]:
    """Lower-case headers; a repeated one is joined by a comma (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for name, value in answer.getheaders():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def unreachable(exc: BaseException, method: str = "", target: str = "") -> ElastikError:
    """The Unreachable or TimedOut that stands for a failure below HTTP."""
    # By way of the module: these two are loaded only when one is needed.
    kind = errors.TimedOut if isinstance(exc, TimeoutError) else errors.Unreachable
    if isinstance(exc, http.client.HTTPException) and not str(exc):
        exc = ConnectionError("the server closed the connection")
    return kind(exc, method=method, path=target)
