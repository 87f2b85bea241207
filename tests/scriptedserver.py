"""A server that answers by a script: for what a real core does only when it breaks."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "x"\r\n\r\nok'
VERSION_9 = b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\nelastik-core 9.0.0 (rust)"[:-1]
VERSION_8 = b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\nelastik-core 8.3.0 (rust)"[:-1]
HANG_UP = None

# (connection number, request number on it, head) -> raw answer, or None to close without one
Script = Callable[[int, int, str], "bytes | None"]


class Scripted:
    """Accepts connections, reads whole requests, answers what the script says."""

    def __init__(
        self, script: Script, *, family: int = socket.AF_INET, path: str = "",
        tls: ssl.SSLContext | None = None, read_bodies: bool = True,
    ) -> None:  # fmt: skip
        self.script = script
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self._tls = tls
        self._read_bodies = read_bodies
        self._socket = socket.socket(family)
        self._socket.bind(path or ("127.0.0.1", 0))
        self._socket.listen()
        address = self._socket.getsockname()
        self.url = f"http+unix://{path}" if path else f"http://127.0.0.1:{address[1]}"
        if tls:
            self.url = f"https://localhost:{address[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line = self._socket.accept()[0]
                self.connections += 1
                threading.Thread(
                    target=self._serve, args=(line, self.connections), daemon=True
                ).start()

    def _serve(self, line: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._tls:
                line = self._tls.wrap_socket(line, server_side=True)
            with line, line.makefile("rb") as file:
                turn = 0
                while head := self._head(file):
                    turn += 1
                    self.requests.append(head)
                    self.bodies.append(self._body(head, file) if self._read_bodies else b"")
                    answer = self.script(number, turn, head)
                    if answer is None:
                        return
                    line.sendall(answer)
                    if b"connection: close" in answer.lower():
                        return

    @staticmethod
    def _head(file) -> str:
        lines = []
        while (line := file.readline()) not in (b"\r\n", b""):
            lines.append(line.decode())
        return "".join(lines)

    @staticmethod
    def _body(head: str, file) -> bytes:
        lower = head.lower()
        if "transfer-encoding: chunked" in lower:
            body = b""
            while size := int(file.readline(), 16):
                body += file.read(size)
                file.readline()
            file.readline()
            return body
        length = lower.partition("content-length: ")[2].partition("\r")[0]
        return file.read(int(length or 0))

    def close(self) -> None:
        self._socket.close()
