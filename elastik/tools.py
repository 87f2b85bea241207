"""A pool of warm shells for trusted handlers, and the disk-name helpers."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from elastik.paths import decode_disk_name, encode_disk_name

__all__ = [
    "ShellPool",
    "ShellPoolError",
    "ShellResult",
    "TrustedShellPool",
    "decode_disk_name",
    "encode_disk_name",
]


@dataclass(frozen=True)
class ShellResult:
    """`stdout` (with stderr in it), `returncode` (-1 when killed), `duration_s`, `timed_out`."""

    command: str
    stdout: str
    returncode: int
    duration_s: float
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Ended by itself, with 0."""
        return self.returncode == 0 and not self.timed_out


class ShellPoolError(RuntimeError):
    """A command failed under ``check=True``; `result` tells how."""

    def __init__(self, result: ShellResult) -> None:
        self.result = result
        super().__init__(f"shell command failed with {result.returncode}: {result.command!r}")


class TrustedShellPool:
    """Shells that are already running, one command at a time each.

    Not a sandbox: whoever writes a command runs it. Feed it from trusted worlds only.
    `timeout` and `acquire_timeout` are seconds; `env` replaces the environment when given.
    """

    def __init__(
        self,
        size: int = 4,
        *,
        shell: str | Iterable[str] | None = None,
        timeout: float = 30.0,
        acquire_timeout: float | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        encoding: str = "utf-8",
    ) -> None:
        if size < 1:
            raise ValueError("size must be >= 1")
        self.size = size
        self.timeout = timeout
        self.acquire_timeout = acquire_timeout
        self.argv = _argv(shell)
        self._options: dict[str, Any] = {"cwd": cwd, "env": env, "encoding": encoding}
        self._closed = False
        self._idle: queue.Queue[_Shell] = queue.Queue()
        for _ in range(size):
            self._idle.put(self._new())

    def _new(self) -> _Shell:
        return _Shell(self.argv, **self._options)

    def run(
        self,
        command: str,
        *,
        timeout: float | None = None,
        acquire_timeout: float | None = None,
        check: bool = False,
    ) -> ShellResult:
        """Run one command in a free shell. A shell that hangs or dies is replaced.

        TimeoutError when no shell becomes free in time, ShellPoolError with `check`.
        """
        if self._closed:
            raise RuntimeError("TrustedShellPool is closed")
        wait = self.acquire_timeout if acquire_timeout is None else acquire_timeout
        try:
            shell = self._idle.get(timeout=wait)
        except queue.Empty:
            raise TimeoutError("no trusted shell worker became available") from None
        try:
            if not shell.is_alive():
                shell.end()
                shell = self._new()
            result = shell.run(command, self.timeout if timeout is None else timeout)
        finally:
            # A command that broke off leaves its shell in an unknown state.
            if self._closed or not shell.is_clean:
                shell.end()
            if not self._closed:
                self._idle.put(shell if shell.is_clean else self._new())
        if check and not result.ok:
            raise ShellPoolError(result)
        return result

    def close(self) -> None:
        """End the idle shells; a busy one ends after its command."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().end()
            except queue.Empty:
                return

    def __enter__(self) -> TrustedShellPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


ShellPool = TrustedShellPool


class _Shell:
    """One shell process; a line with a fresh mark tells where a command's output ends."""

    def __init__(
        self,
        argv: list[str],
        *,
        cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None,
        encoding: str,
    ) -> None:
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding=encoding,
            errors="replace",
        )
        self._powershell = os.path.basename(argv[0]).lower().startswith(("powershell", "pwsh"))
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.is_clean = True
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as out:
            for line in out:
                self._lines.put(line)
        self._lines.put(None)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def run(self, command: str, timeout: float) -> ShellResult:
        started = time.monotonic()
        mark = f"__elastik_{os.urandom(16).hex()}__"
        self.is_clean = False
        said: list[str] = []
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(self._script(command, mark))
            self._process.stdin.flush()
            code = self._gather(said, mark, started + timeout)
        except OSError:
            code = self._ended()
        timed_out = code is None
        return ShellResult(
            command=command,
            stdout="".join(said),
            returncode=-1 if code is None else code,
            duration_s=time.monotonic() - started,
            timed_out=timed_out,
        )

    def _gather(self, said: list[str], mark: str, deadline: float) -> int | None:
        """Exit code of the command, or None when the time is over."""
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.end()
                return None
            if line is None:
                return self._ended()
            text, found, code = line.rpartition(mark + ":")
            if found:
                # The mark stands on a line of its own only when the output ended one.
                if text:
                    said.append(text)
                self.is_clean = True
                return int(code)
            said.append(line)

    def _ended(self) -> int:
        """The command ended its shell: that code is the command's."""
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.end()
            return -1

    def _script(self, command: str, mark: str) -> str:
        if self._powershell:
            return (
                f"$global:LASTEXITCODE = 0\ntry {{\n{command}\n$s = if ($LASTEXITCODE) "
                f"{{ $LASTEXITCODE }} elseif ($?) {{ 0 }} else {{ 1 }}\n}} catch "
                f"{{ Write-Error $_; $s = 1 }}\n[Console]::Out.WriteLine('{mark}:' + $s)\n\n"
            )
        return f"{command}\nprintf '%s:%s\\n' {mark} \"$?\"\n"

    def end(self) -> None:
        if self.is_alive():
            self._process.terminate()
            try:
                self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def _argv(shell: str | Iterable[str] | None) -> list[str]:
    if shell is None:
        if os.name == "nt":
            return ["powershell.exe", "-NoLogo", "-NoProfile", "-Command", "-"]
        return ["bash", "--noprofile", "--norc"]
    return [shell] if isinstance(shell, str) else [*shell]
