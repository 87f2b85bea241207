"""Datagrams between boards and the core: one connected UDP socket for each board."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from elastik_cli.serialio.loop import Loop
from elastik_cli.serialio.uplink import Uplink

DEFAULT_PORT = 5683
LARGEST = 65535
LOOK_UP_AGAIN_S = 10.0


class CoreWire:
    """The sockets of one board. Connected, so that strangers are not heard and refusals are."""

    def __init__(
        self, host: str, port: int, loop: Loop, say: Callable[[str], None], source_port: int = 0
    ) -> None:
        self.host, self.port, self.loop, self.say = host, port, loop, say
        self.source_port = source_port
        self.uplink: Uplink | None = None
        self._sockets: dict[int, socket.socket] = {}
        self._wanted: set[int] = set()
        self._trouble, self._again_at = "", 0.0

    def open(self, generation: int) -> None:
        """Make an endpoint; without an address now, again at the next datagram."""
        self._wanted.add(generation)
        if self.loop.now < self._again_at:
            return
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_DGRAM
            )[0]
            sock = socket.socket(family, kind)
        except OSError as error:
            self._say(f"coap://{self.host}:{self.port}: {error.strerror or error}")
            return
        try:
            sock.setblocking(False)
            if self.source_port:
                # Fixed by the user: a restarted bridge is then the same endpoint as before.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("::" if family == socket.AF_INET6 else "", self.source_port))
            sock.connect(address)
        except OSError as error:
            sock.close()
            self._say(f"coap://{self.host}:{self.port}: {error.strerror or error}")
            return
        self._trouble, self._again_at = "", 0.0
        self._sockets[generation] = sock
        self.loop.watch(sock, lambda: self._readable(generation))

    def close(self, generation: int) -> None:
        self._wanted.discard(generation)
        sock = self._sockets.pop(generation, None)
        if sock is not None:
            self.loop.forget(sock)
            sock.close()

    def send(self, generation: int, data: bytes) -> bool:
        """Send a datagram; False when it is certain that nothing listens (ICMP came at once)."""
        if generation in self._wanted and generation not in self._sockets:
            self.open(generation)
        sock = self._sockets.get(generation)
        if sock is None:
            return False
        # An error that waits is about an earlier datagram and must not be taken for this one's.
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and self.uplink:
            self.uplink.refused(generation)
        try:
            sock.send(data)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    def _readable(self, generation: int) -> None:
        sock = self._sockets.get(generation)
        for _ in range(64):
            if sock is None or self.uplink is None:
                return
            try:
                data = sock.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                self.uplink.refused(generation)
                return
            self.uplink.received(generation, data, self.loop.now)
            sock = self._sockets.get(generation)

    def _say(self, text: str) -> None:
        # Looking a name up can take long, and nothing else happens meanwhile.
        self._again_at = self.loop.now + LOOK_UP_AGAIN_S
        if text != self._trouble:
            self._trouble = text
            self.say(text)


class Listener:
    """A datagram socket of the door: a Unix socket for this user, or UDP where asked for."""

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        received: Callable[..., None],
        gone: Callable[..., None],
    ) -> None:
        self.sock, self.loop, self.on_datagram, self.on_gone = sock, loop, received, gone
        sock.setblocking(False)
        loop.watch(sock, self._readable)

    def _readable(self) -> None:
        for _ in range(64):
            try:
                data, peer = self.sock.recvfrom(LARGEST)
            except OSError:
                return
            if peer:
                self.on_datagram((self, peer), data, self.loop.now)

    def send(self, peer: Any, data: bytes) -> None:
        """Send; a client that is no more is forgotten, a slow one misses it."""
        try:
            self.sock.sendto(data, peer)
        except (ConnectionRefusedError, FileNotFoundError):
            self.on_gone((self, peer))
        except OSError:
            pass

    def close(self) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.loop.forget(self.sock)
        self.sock.close()
