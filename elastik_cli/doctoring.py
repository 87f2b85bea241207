"""What `doctor` looks at: each check gives evidence and, if need be, the next command."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastik import __version__
from elastik.errors import ElastikError
from elastik_cli.config import config_file
from elastik_cli.exits import Failure
from elastik_cli.quantities import human_size
from elastik_cli.session import Session
from elastik_cli.shells import places

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

# A clock that is further off makes times of events and of tokens misleading.
CLOCK_S = 5.0
# On a network that carries a store, an answer to one datagram takes less.
COAP_S = 1.0


def finding(check: str, state: str, evidence: str, then: str = "") -> dict[str, str]:
    """One line of the report; `state` is ok, warn, fail or skip."""
    return {"check": check, "state": state, "evidence": evidence, "next": then}


def examine(session: Session) -> Iterator[dict[str, str]]:
    """Every check, local ones first; those of the server end when it does not answer."""
    yield from _settings(session)
    yield _binary()
    yield from _data_dir(session)
    yield _completion()
    yield from _serial_ports()
    if session.server.url.lower().startswith("coap:"):
        yield _coap(session)
        return
    try:
        client = session.client("read", timeout=min(session.timeout, 5.0))
        version = client.request("GET", "/proc/version")
    except (ElastikError, Failure) as error:
        reason = getattr(error, "reason", None) or error
        where = getattr(reason, "strerror", None) or reason
        first = session.config.get("contexts") or session.server.url_source != "default"
        then = "elastik run" if first else "elastik init && elastik run"
        yield finding("server", "fail", f"{session.server.url}: {where}", then)
        return
    yield _version(session, version)
    yield _clock(version.headers.get("date", ""))
    yield from _rights(session)
    yield _events(client)
    yield from _storage(client)
    yield from _store(client)
    yield _coap(session)


def _settings(session: Session) -> Iterator[dict[str, str]]:
    file = config_file()
    if not file.exists():
        yield finding("config", "ok", f"{file}: not there, not needed", "elastik init makes one")
    else:
        mode = stat.S_IMODE(file.stat().st_mode)
        names = ", ".join(session.config.get("contexts", {})) or "none"
        state = "warn" if mode & 0o077 and os.name != "nt" else "ok"
        then = f"chmod 600 {file}" if state == "warn" else ""
        yield finding("config", state, f"{file}: mode {mode:04o}, contexts: {names}", then)
    server = session.server
    yield finding("url", "ok", f"{server.url} from {server.url_source}")
    for tier, secret in server.tokens.items():
        try:
            secret.read()
            yield finding(f"{tier} token", "ok", f"from {secret.origin}")
        except Failure as error:
            yield finding(f"{tier} token", "fail", error.message, error.hint)
    for reason in server.kept_back:
        yield finding("tokens", "warn", f"not sent: {reason}", "elastik context show")


def _binary() -> dict[str, str]:
    from elastik.launcher import find_core

    try:
        return finding("binary", "ok", str(find_core()))
    except RuntimeError as error:
        return finding("binary", "warn", str(error).splitlines()[0], "only `run` needs it")


def _data_dir(session: Session) -> Iterator[dict[str, str]]:
    if not (named := session.context.get("data_dir")):
        return
    path = session.config_base / named
    if not path.is_dir():
        yield finding("data", "warn", f"{path}: not there yet", "elastik run makes it")
        return
    mode, free = stat.S_IMODE(path.stat().st_mode), shutil.disk_usage(path).free
    state = "warn" if mode & 0o077 and os.name != "nt" else "ok"
    evidence = f"{path}: mode {mode:04o}, {human_size(free)} free"
    yield finding("data", state, evidence, f"chmod 700 {path}" if state == "warn" else "")


def _completion() -> dict[str, str]:
    shell = os.path.basename(os.environ.get("SHELL", ""))
    paths = dict(places())
    if shell not in paths:
        return finding("completion", "skip", f"no script for the shell {shell or 'unknown'}")
    system = Path("/usr/share/bash-completion/completions/elastik")
    if paths[shell].exists() or (shell == "bash" and system.exists()):
        return finding("completion", "ok", f"{shell}: {paths[shell]}")
    return finding("completion", "warn", f"{shell}: not installed", "elastik completions install")


def _serial_ports() -> Iterator[dict[str, str]]:
    try:
        from serial.tools.list_ports import comports
    except ImportError:
        yield finding("serial", "skip", "pyserial is not installed", "pip install pyserial")
        return
    ports = [port.device for port in comports()]
    if not ports:
        yield finding("serial", "skip", "no ports")
    for device in ports:
        usable = os.access(device, os.R_OK | os.W_OK)
        then = "" if usable else "sudo usermod -aG dialout $USER, then log in again"
        state = "ok" if usable else "fail"
        yield finding("serial", state, f"{device}: {'usable' if usable else 'no permission'}", then)


def _version(session: Session, answer: Any) -> dict[str, str]:
    said = answer.body.decode("utf-8", "replace").strip()
    if answer.status != 200 or not said.startswith("elastik-core "):
        evidence = f"{session.server.url} is something else (status {answer.status})"
        return finding("server", "fail", evidence, "elastik context show")
    major = said.split()[1].lstrip("v").split(".")[0]
    state = "ok" if major == __version__.split(".", maxsplit=1)[0] else "warn"
    then = "" if state == "ok" else "it works, without what is new in this version"
    return finding("server", state, f"{said}; this command {__version__}", then)


def _clock(date: str) -> dict[str, str]:
    from datetime import datetime, timezone
    from email.utils import parsedate_to_datetime

    try:
        theirs = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return finding("clock", "skip", "the server tells no time")
    off = (theirs - datetime.now(timezone.utc)).total_seconds()
    # The header tells whole seconds, so up to one is not a difference.
    state = "ok" if abs(off) < CLOCK_S + 1 else "warn"
    then = "" if state == "ok" else "timedatectl set-ntp true"
    return finding("clock", state, f"the server's differs by {abs(off):.0f}s", then)


def _rights(session: Session) -> Iterator[dict[str, str]]:
    """What the tokens may do, by requests that the server must refuse for another reason."""
    never = {"If-Match": '"never-the-version-of-anything"'}
    path = f"/home/.doctor-{os.urandom(8).hex()}"
    for right, method, need in (("write", "PUT", "write"), ("delete", "DELETE", "approve")):
        body = b"" if method == "PUT" else None
        status = session.client(need).request(method, path, body, never).status
        if status == 412:
            yield finding(f"may {right}", "ok", f"{method} passed the token check")
        else:
            yield finding(f"may {right}", "warn", f"status {status}", "elastik context show")
    status = session.client("read").request("GET", "/proc/worlds").status
    state = "ok" if status == 200 else "fail"
    yield finding(
        "may read", state, f"status {status}", "" if state == "ok" else "elastik help config"
    )


def _events(client: Client) -> dict[str, str]:
    try:
        client.listen(f"tmp/.doctor-{os.urandom(8).hex()}").close()
    except ElastikError as error:
        return finding("events", "fail", f"status {error.status}: {error}")
    return finding("events", "ok", "the stream opens")


def _storage(client: Client) -> Iterator[dict[str, str]]:
    answer = client.request("GET", "/proc/df")
    if answer.status != 200:
        yield finding("storage", "skip", f"status {answer.status}")
        return
    for line in answer.body.decode().splitlines():
        name, used, quota, free = [*line.split("\t"), "", "", ""][:4]
        # Old versions and rows of the log make room by themselves.
        bounded = name not in ("history", "log") and free.isdigit() and quota.isdigit()
        full = bounded and int(free) * 10 < int(quota)
        then = "raise the quota or delete" if full else ""
        shown = [
            human_size(int(n)) if n.isdigit() and name != "worlds" else n for n in (used, quota)
        ]
        evidence = f"{shown[0]} used of {shown[1]}"
        yield finding(name, "warn" if full else "ok", evidence, then)
    ledger = client.request("GET", "/proc/audit/var/log/deletes/verify")
    if ledger.status == 409:
        yield finding("audit", "fail", "the chain of deletes is broken", "elastik verify --all")
    else:
        events = ledger.headers.get("x-audit-events", "no")
        yield finding("audit", "ok", f"chain of deletes: {events} events", "elastik verify --all")


def _store(client: Client) -> Iterator[dict[str, str]]:
    """Whether it takes writes, and what the check in the background found."""
    answer = client.request("GET", "/proc/ready")
    if answer.status not in (200, 503):
        yield finding("ready", "skip", "the server does not tell")
        return
    said = answer.body.decode("utf-8", "replace").strip().removeprefix("not ready: ")
    state = "ok" if answer.status == 200 else "fail"
    damaged = "does not hold" in said
    yield finding("ready", state, said, "elastik data recover" if damaged else "")
    lines = client.request("GET", "/proc/pool").body.decode("utf-8", "replace").splitlines()
    count = {name: value for name, value, *_ in map(str.split, lines)}
    if "scrub_passes" not in count:
        return
    passes, problems = count["scrub_passes"], count.get("scrub_problems", "0")
    aside = count.get("worlds_set_aside", "0")
    evidence = f"{passes} passes, {problems} problems, {aside} worlds set aside"
    bad = problems != "0" or aside != "0"
    yield finding("scrub", "fail" if bad else "ok", evidence, "elastik verify --all" if bad else "")


def _coap(session: Session) -> dict[str, str]:
    """A sign of life of the CoAP door: it resets an empty request (RFC 7252 section 4.3)."""
    import socket
    from urllib.parse import urlsplit

    server = urlsplit(session.server.url)
    if not (host := server.hostname) or server.scheme == "http+unix":
        return finding("coap", "skip", "the server is reached by a Unix socket")
    port = os.environ.get("ELASTIK_COAP_PORT") or "5683"
    if server.scheme == "coap":
        port = str(server.port or port)
    where, mid = f"coap://{host}:{port}", os.urandom(2)
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as line:
            line.settimeout(min(session.timeout, COAP_S))
            line.connect(address)
            line.send(b"\x40\x00" + mid)
            if line.recv(100) == b"\x70\x00" + mid:
                return finding("coap", "ok", f"{where} answers")
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or error
        then = "ELASTIK_COAP_PORT=5683 elastik run, where CoAP is wanted"
        return finding("coap", "skip", f"{where}: {reason}", then)
    return finding("coap", "warn", f"{where} is something else", "set ELASTIK_COAP_PORT")
