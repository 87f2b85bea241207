"""A listing of a million paths passes through a client that keeps none of them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MILLION = 1_000_000
LINES = 1000
# As much as the interpreter and the sockets may grow; a million paths as strings take 90 MB.
MAY_GROW = 8 << 20
VERSIONS = {"new": b"elastik-core 9.0.0 (rust)\n", "old": b"elastik-core 8.3.0 (rust)\n"}
JSON = b'{"path":"home/some/directory/and-a-file-%09d","size":17,"etag":"hmac-0"}\n'
TABS = b"home/some/directory/and-a-file-%09d\t17\n"

READ = """
import resource, sys
sys.path.insert(0, {root!r})
def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
def check(number, entry):
    if number == 1000:
        check.start = peak()
    assert entry["path"].startswith("home/some/directory/") and entry["size"] == 17
"""
WAYS = {
    "sync": """
from elastik import Elastik
count = 0
for count, entry in enumerate(Elastik({url!r}, "").entries("some"), 1):
    check(count, entry)
print(count, peak() - check.start)
""",
    "aio": """
import asyncio
from elastik.aio import Elastik
async def main():
    count = 0
    async with Elastik({url!r}, "") as e:
        async for entry in e.entries("some"):
            count += 1
            check(count, entry)
    return count
count = asyncio.run(main())
print(count, peak() - check.start)
""",
}


class Listing:
    """A server of as many lines as there are to be, of which it holds a thousand at a time."""

    def __init__(self, version: bytes, line: bytes) -> None:
        self._version, self._line = version, line
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as file:
            while request := file.readline():
                while file.readline() not in (b"\r\n", b""):
                    pass
                if b"/proc/version" in request:
                    size = b"Content-Length: %d" % len(self._version)
                    line.sendall(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (size, self._version))
                    continue
                line.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in range(0, MILLION, LINES):
                    piece = b"".join(self._line % n for n in range(start, start + LINES))
                    line.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                line.sendall(b"0\r\n\r\n")

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize(("way", "core"), [("sync", "new"), ("sync", "old"), ("aio", "new")])
def test_a_million_paths_in_constant_memory(way, core):
    if way == "aio":
        pytest.importorskip("aiohttp", reason="pip install 'elastik[aio]'")
    server = Listing(VERSIONS[core], JSON if core == "new" else TABS)
    try:
        code = (READ + WAYS[way]).format(root=str(ROOT), url=server.url)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=240
        )
    finally:
        server.close()
    assert done.returncode == 0, done.stderr
    count, grown = map(int, done.stdout.split())
    assert count == MILLION
    assert grown < MAY_GROW
