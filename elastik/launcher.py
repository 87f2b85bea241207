"""Find the core's binary, run it as a child, and never leave it behind."""

from __future__ import annotations

import atexit
import os
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from elastik.settings import client_url, connect_host, default_url, parse_port, write_token

if TYPE_CHECKING:
    from elastik.client import Elastik

__all__ = [
    "Core",
    "binary_info",
    "default_url",
    "find_core",
    "is_running",
    "launch",
    "live_info",
    "start",
    "stop",
]

START_S = 10.0
STOP_S = 3.0
_CAPTURED_BYTES = 4000
_EXE = "elastik-core.exe" if sys.platform == "win32" else "elastik-core"
# The banner's first line; the log lines before it may be anything.
_BANNER = re.compile(rb"^elastik-core v(\S+) on (https?://\S+?)/?\s*$", re.MULTILINE)


def find_core() -> Path:
    """The core's binary: `$ELASTIK_CORE`, the bundled one, or that of a checkout.

    RuntimeError lists the places that were tried.
    """
    tried = list(_places())
    for place in tried:
        if place.is_file() and os.access(place, os.X_OK):
            return place
    places = "\n".join(f"  {place}" for place in tried)
    raise RuntimeError(
        f"the elastik-core binary was not found; tried:\n{places}\n"
        "Set ELASTIK_CORE to its path, or build it in a checkout with `make build`."
    )


def _places() -> list[Path]:
    package = Path(__file__).resolve().parent
    chosen = os.environ.get("ELASTIK_CORE")
    if chosen:
        return [Path(chosen)]
    target = Path(os.environ.get("CARGO_TARGET_DIR") or package.parent / "core-bin" / "target")
    checkout = [target / "release" / _EXE, target / "debug" / _EXE]
    is_checkout = (package.parent / "core-bin" / "Cargo.toml").is_file()
    return [package / "_bin" / _EXE, *(checkout if is_checkout else [])]


def binary_info() -> dict[str, Any]:
    """`path`, `exists`, `size_bytes` (or None) and `platform` of the binary that start() runs."""
    try:
        path = find_core()
    except RuntimeError:
        path = _places()[0]
    there = path.is_file()
    return {
        "path": str(path),
        "exists": there,
        "size_bytes": path.stat().st_size if there else None,
        "platform": sys.platform,
    }


class _Output:
    """Drain the child's output: keep the newest bytes, find the banner, pass it on if wanted."""

    def __init__(self, pipe: IO[bytes], echo: bool) -> None:
        self._kept = bytearray()
        self._lock = threading.Lock()
        self._echo = echo
        self.announced = threading.Event()
        self.url: str | None = None
        self._thread = threading.Thread(target=self._drain, args=(pipe,), daemon=True)
        self._thread.start()

    def _drain(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := os.read(pipe.fileno(), 4096):
                if self._echo:
                    sys.stderr.write(data.decode("utf-8", "replace"))
                    sys.stderr.flush()
                with self._lock:
                    self._kept += data
                    banner = None if self.url else _BANNER.search(self._kept)
                    if banner is not None:
                        self.url = banner[2].decode("ascii", "replace")
                        self.announced.set()
                    del self._kept[:-_CAPTURED_BYTES]
        self.announced.set()

    def text(self) -> str:
        """What the child said last, after it ended."""
        self._thread.join(timeout=0.5)
        with self._lock:
            said = self._kept.decode("utf-8", "replace").strip()
        return f"\nchild output:\n{said}" if said else ""


class Core:
    """One running core: `url`, `data_dir`, `pid`, `stop()`; `tokens` by tier if they are known."""

    def __init__(
        self, process: subprocess.Popen[bytes], leash: int | None, data_dir: str | None
    ) -> None:
        self.process = process
        self.data_dir = data_dir
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.owner = os.getpid()
        self._leash = leash
        _LEASHES.add(self)

    @property
    def pid(self) -> int:
        """Of the core's process."""
        return self.process.pid

    def is_running(self) -> bool:
        """True while the process lives."""
        return self.process.poll() is None

    def stop(self) -> None:
        """SIGTERM, three seconds, SIGKILL. Does nothing in a forked child, which owns no core."""
        if self.owner != os.getpid():
            return
        self.let_go()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def let_go(self) -> None:
        """Close this process' end of the pipe whose end the core watches."""
        leash, self._leash = self._leash, None
        _LEASHES.discard(self)
        if leash is not None:
            os.close(leash)


# A forked child must not hold a write end: the core would outlive the parent by it.
_LEASHES: set[Core] = set()


def _drop_leashes() -> None:
    for core in list(_LEASHES):
        core.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_leashes)


def launch(
    environment: dict[str, str], *, arguments: tuple[str, ...] = (), quiet: bool = True
) -> Core:
    """Start a core with exactly this environment and wait until it answers.

    Port 0 takes a free one, also on an 8.x core, which would not tell which.

    The core gets the read end of a pipe (``--exit-on-eof FD``); only this process holds the write
    end, so that the core also ends when this process is killed. That works alike on Linux and
    macOS and, unlike a parent-death signal, does not depend on the thread that started it.
    """
    binary = find_core()
    command = [str(binary), *arguments]
    read_end, write_end = os.pipe() if sys.platform != "win32" else (None, None)
    if read_end is not None:
        command += ["--exit-on-eof", str(read_end)]
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=() if read_end is None else (read_end,),
        )
    except BaseException:
        if write_end is not None:
            os.close(write_end)
        raise
    finally:
        if read_end is not None:
            os.close(read_end)
    core = Core(process, write_end, environment.get("ELASTIK_DATA"))
    assert process.stdout is not None
    output = _Output(process.stdout, echo=not quiet)
    try:
        announced = _wait_for(core, output, environment)
    except BaseException:
        core.stop()
        raise
    if announced.endswith(":0"):
        core.stop()
        again = environment | {"ELASTIK_PORT": str(free_port())}
        return launch(again, arguments=arguments, quiet=quiet)
    return core


def _wait_for(core: Core, output: _Output, environment: dict[str, str]) -> str:
    """Wait until the core answers; the URL it announced."""
    deadline = time.monotonic() + START_S
    where = f"{environment.get('ELASTIK_HOST')}:{environment.get('ELASTIK_PORT')}"
    while not output.announced.wait(0.05) and core.is_running():
        if time.monotonic() > deadline:
            core.stop()
            raise RuntimeError(
                f"elastik-core did not start on {where} within {START_S:.0f} s{output.text()}"
            )
    if output.url is None:
        core.stop()
        raise RuntimeError(
            f"elastik-core exited during startup (code {core.process.returncode}){output.text()}"
        )
    port = output.url.rpartition(":")[2]
    if port == "0":
        return output.url
    core.url = client_url(environment.get("ELASTIK_HOST", "127.0.0.1"), int(port))
    if not _answers_as_core(core.url):
        core.stop()
        raise RuntimeError(f"{where} did not answer as elastik-core{output.text()}")
    return output.url


def free_port() -> int:
    """A port that is free now, for cores that cannot tell which one they took for 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers_as_core(url: str) -> bool:
    from elastik.errors import ElastikError
    from elastik.transport import Transport

    try:
        answer = Transport(url, timeout=START_S, keep_alive=False).send("GET", "/proc/version", {})
        return answer.status == 200 and answer.read().startswith(b"elastik-core ")
    except ElastikError:
        return False


# -- the one core of this process ------------------------------------------------------------------

_core: Core | None = None
_last: dict[str, str] = {}
_start_lock = threading.Lock()


def start(
    port: int | None = None,
    host: str | None = None,
    key: str | None = None,
    read_token: str | None = None,
    write_token: str | None = None,
    approve_token: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    debug: bool | str = False,
) -> Elastik:
    """Run the bundled core as a child of this process and return a client with its best token.

    What is not given comes from the ELASTIK_* environment; `port=0` takes a free one. Without a
    read token reads are public; without a write or an approve token those tiers are disabled.
    `quiet=False` passes the core's own lines to stderr. RuntimeError says why it did not start.
    The core ends with `stop()`, at exit, and when this process dies in any way.
    """
    global _core
    from elastik import mirror
    from elastik.client import Elastik

    with _start_lock:
        if is_running():
            raise RuntimeError("elastik already running in this process; call elastik.stop() first")
        environment = _environment(
            port, host, key, read_token, write_token, approve_token, data_dir
        )
        wanted = int(environment["ELASTIK_PORT"])
        if wanted and _is_taken(environment["ELASTIK_HOST"], wanted):
            raise RuntimeError(
                f"port already in use before elastik start: {environment['ELASTIK_HOST']}:{wanted}"
            )
        _core = launch(environment, quiet=quiet)
        atexit.register(stop)
    _last.clear()
    _last["url"] = _core.url
    if _core.data_dir:
        _last["data_dir"] = _core.data_dir
    if not quiet:
        _tell_tiers(environment)
    tokens = (environment.get(f"ELASTIK_{t}_TOKEN", "") for t in ("APPROVE", "WRITE", "READ"))
    client = Elastik(_core.url, next(filter(None, tokens), ""), debug=debug)
    mirror.set_default(client)
    return client


def _environment(
    port: int | None,
    host: str | None,
    key: str | None,
    read: str | None,
    write: str | None,
    approve: str | None,
    data_dir: str | os.PathLike[str] | None,
) -> dict[str, str]:
    chosen = os.environ.get("ELASTIK_PORT", "3105") if port is None else port
    data = os.environ.get("ELASTIK_DATA") if data_dir is None else os.fspath(data_dir)
    settings = {
        "HOST": host or os.environ.get("ELASTIK_HOST") or "127.0.0.1",
        "PORT": str(parse_port(chosen, "ELASTIK_PORT" if port is None else "port")),
        "KEY": _checked_key(key),
        "READ_TOKEN": os.environ.get("ELASTIK_READ_TOKEN", "") if read is None else read,
        "WRITE_TOKEN": write_token() if write is None else write,
        "APPROVE_TOKEN": os.environ.get("ELASTIK_APPROVE_TOKEN", "")
        if approve is None
        else approve,
        "DATA": data,
    }
    environment = dict(os.environ)
    # The old name would come back as a fallback where the caller chose no write token.
    environment.pop("ELASTIK_TOKEN", None)
    for name, value in settings.items():
        environment.pop(f"ELASTIK_{name}", None)
        environment.pop(f"ELASTIK_{name}_FILE", None)
        if value:
            environment[f"ELASTIK_{name}"] = value
    return environment


def _checked_key(key: str | None) -> str:
    source = "ELASTIK_KEY" if key is None else "key="
    value = os.environ.get("ELASTIK_KEY") if key is None else key
    advice = 'Make one with: python -c "import secrets; print(secrets.token_hex(32))"'
    if value is None:
        raise RuntimeError(
            "audit key required: pass key=... to elastik.start(), or set ELASTIK_KEY in the "
            f"environment or in .env.\n{advice}"
        )
    try:
        size = len(value.encode("utf-8"))
    except UnicodeError:
        raise RuntimeError(f"audit key is invalid: {source} must be valid UTF-8 text.") from None
    if not value.strip():
        raise RuntimeError(f"audit key is invalid: {source} must not be blank.\n{advice}")
    if size < 32:
        warnings.warn(
            f"{source} has {size} bytes; an audit key should have at least 32. {advice}",
            UserWarning,
            stacklevel=4,
        )
    return value


def _is_taken(host: str, port: int) -> bool:
    """Somebody accepts there already; a bind could also fail for a port that is only cooling."""
    try:
        socket.create_connection((connect_host(host), port), timeout=0.2).close()
    except OSError:
        return False
    return True


def _tell_tiers(environment: dict[str, str]) -> None:
    """Say on stderr which tiers are off, as 8.3 did for `quiet=False`."""
    off = {
        "READ": "reads are public",
        "WRITE": "ordinary PUT and POST are disabled",
        "APPROVE": "DELETE and system writes are disabled",
    }
    for tier, meaning in off.items():
        if not environment.get(f"ELASTIK_{tier}_TOKEN"):
            print(f"elastik: ELASTIK_{tier}_TOKEN not set; {meaning}", file=sys.stderr, flush=True)


def stop() -> None:
    """End the core that start() ran. Safe to call again, and in a forked child."""
    global _core
    core, _core = _core, None
    if core is not None:
        core.stop()


def is_running() -> bool:
    """True while the core that start() ran in this process lives."""
    return _core is not None and _core.owner == os.getpid() and _core.is_running()


def live_info() -> dict[str, str]:
    """`url`, `data_dir` and `state` (running or stopped) of the core that start() ran; else {}."""
    if not _last:
        return {}
    return {**_last, "state": "running" if is_running() else "stopped"}
