"""Starts real cores for the tests and speaks raw HTTP to them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

KEY = "0123456789abcdef0123456789abcdef"
READ, WRITE, APPROVE = "r-token-for-tests", "w-token-for-tests", "a-token-for-tests"
BANNER = re.compile(rb" on (https?://\S+)/\s*$")
START_SECONDS = 20


class Reply(NamedTuple):
    """One HTTP answer; header names are lower-case, the first of a repeated name wins."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers["etag"]


@dataclass
class Core:
    """A running core: its address, its secrets, its process and what it said on stderr."""

    process: subprocess.Popen[bytes]
    data: Path
    url: str = ""
    key: str = KEY
    read: str = READ
    write: str = WRITE
    approve: str = APPROVE
    log: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host.strip("[]"), int(port)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        token: str | None = APPROVE,
    ) -> Reply:
        """Send one request on a connection of its own; the target goes out as it is written."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if token is not None:
                connection.putheader("Authorization", f"Bearer {token}")
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            fields: dict[str, str] = {}
            for name, value in answer.getheaders():
                fields.setdefault(name.lower(), value)
            return Reply(answer.status, fields, answer.read())
        finally:
            connection.close()

    def put(self, path: str, body: bytes, **headers: str) -> Reply:
        """PUT with the strongest token; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("PUT", path, body, named)

    def get(self, path: str, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", path, headers=named)

    def verify(self, world: str) -> Reply:
        return self.request("GET", f"/proc/audit/{world}/verify")

    def exchange(self, data: bytes, *, hang_up: bool = False, seconds: float = 5) -> bytes:
        """Send these bytes and read until the core closes; raises TimeoutError if it does not."""
        with socket.create_connection(self.address, timeout=seconds) as line:
            line.sendall(data)
            if hang_up:
                line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))

    def listen(self, pattern: str = "*", **kwargs: Any) -> Listener:
        return Listener(self, pattern, **kwargs)

    def kill(self) -> None:
        """End it as a power cut would: no handler runs."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 15) -> int:
        """Ask it to end with SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def stderr(self) -> str:
        return b"".join(self.log).decode(errors="replace")


class Listener:
    """One open event stream; `frame()` gives the next frame's exact text."""

    def __init__(
        self,
        core: Core,
        pattern: str,
        *,
        last_event_id: str | None = None,
        token: str | None = APPROVE,
        seconds: float = 30,
    ):
        self.connection = http.client.HTTPConnection(*core.address, timeout=seconds)
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.connection.request("GET", f"/listen/{pattern}", headers=headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        # The stream has no end of its own, so the response must not be drained.
        with contextlib.suppress(OSError):
            self.connection.close()
            self.response.close()

    def frame(self) -> str:
        """The next frame up to its empty line, comments included; "" when the stream ends."""
        lines = []
        while line := self.response.readline():
            if line == b"\n":
                return b"".join(lines).decode()
            lines.append(line)
        return ""

    def event(self) -> dict[str, str]:
        """The next frame that is an event, as its fields: event, id, path, method, etag, …"""
        while frame := self.frame():
            if frame.startswith(":"):
                continue
            return fields_of(frame)
        return {}


def fields_of(frame: str) -> dict[str, str]:
    found = {}
    for line in frame.splitlines():
        name, _, value = line.partition(": ")
        if name == "data":
            name, _, value = value.partition(": ")
        found[name] = value
    return found


def wait_for(claim: Callable[[], bool], seconds: float = 10) -> bool:
    """Ask again and again until the claim holds; False when it never did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if claim():
            return True
        time.sleep(0.02)
    return False


def scoped_token(
    name: str, secret: str, tier: str, prefix: str, expires: datetime | None = None
) -> str:
    """One entry of a tokens file."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    text = f'[[token]]\nname = "{name}"\nsha256 = "{digest}"\n'
    text += f'tier = "{tier}"\nprefix = "{prefix}"\n'
    return text + (f"expires = {expires.isoformat()}\n" if expires else "")


def free_port() -> int:
    """A port that was free a moment ago, for the published core, which cannot name its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launch(
    binary: Path,
    data: Path,
    *,
    port: int = 0,
    tokens: bool = True,
    env: dict[str, str | None] | None = None,
    arguments: tuple[str, ...] = (),
    pass_fds: tuple[int, ...] = (),
) -> Core:
    """Start a core and wait for the line that names its address.

    An entry of `env` that is None takes the variable away.
    """
    settings = {"ELASTIK_KEY": KEY, "ELASTIK_PORT": str(port), "ELASTIK_DATA": str(data)}
    if tokens:
        settings |= {
            "ELASTIK_READ_TOKEN": READ,
            "ELASTIK_WRITE_TOKEN": WRITE,
            "ELASTIK_APPROVE_TOKEN": APPROVE,
        }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    merged = inherited | settings | (env or {})
    process = subprocess.Popen(
        [binary, *arguments],
        env={name: value for name, value in merged.items() if value is not None},
        stderr=subprocess.PIPE,
        bufsize=0,
        pass_fds=pass_fds,
    )
    core = Core(process, data)
    try:
        core.url = banner_address(core)
    except BaseException:
        core.kill()
        raise
    threading.Thread(target=drain, args=(core,), daemon=True).start()
    return core


def banner_address(core: Core) -> str:
    assert core.process.stderr is not None
    while select.select([core.process.stderr], [], [], START_SECONDS)[0]:
        line = core.process.stderr.readline()
        core.log.append(line)
        if match := BANNER.search(line):
            return match[1].decode()
        if not line:
            raise RuntimeError(f"the core ended with {core.process.wait()}: {core.stderr()}")
    raise TimeoutError(f"no address in {START_SECONDS} s: {core.stderr()}")


def drain(core: Core) -> None:
    """Keep the pipe empty, so that a talkative core never blocks on its own log."""
    assert core.process.stderr is not None
    with contextlib.suppress(ValueError, OSError):
        core.log.extend(core.process.stderr)


def refuse(binary: Path, env: dict[str, str], arguments: tuple[str, ...] = ()) -> tuple[int, str]:
    """Start a core that must not start; returns its exit code and its stderr."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    done = subprocess.run(
        [binary, *arguments],
        env=inherited | env,
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.stdout == b"", "nothing is said on standard output"
    return done.returncode, done.stderr.decode()
