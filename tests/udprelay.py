"""A UDP relay that loses datagrams both ways by a seed: a network as boards know it."""

from __future__ import annotations

import random
import select
import socket
import threading


class LossyRelay:
    """Forwards datagrams to `target` from any number of clients; loses `loss` of them."""

    def __init__(self, target: tuple[str, int], loss: float, seed: int = 1) -> None:
        self.target, self.loss, self.rand = target, loss, random.Random(seed)
        self.lost = self.passed = 0
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.port: int = self.front.getsockname()[1]
        self._behind: dict[tuple[str, int], socket.socket] = {}
        self._halt, self._halted = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            back = {sock: client for client, sock in self._behind.items()}
            ready, _, _ = select.select([self._halted, self.front, *back], [], [])
            if self._halted in ready:
                return
            for sock in ready:
                try:
                    data, sender = sock.recvfrom(65535)
                except ConnectionError:
                    continue
                if self.rand.random() < self.loss:
                    self.lost += 1
                    continue
                self.passed += 1
                if sock is self.front:
                    self._to(sender).send(data)
                else:
                    self.front.sendto(data, back[sock])

    def _to(self, client: tuple[str, int]) -> socket.socket:
        """The socket that stands for this client: to the server each is an endpoint of its own."""
        if client not in self._behind:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.connect(self.target)
            self._behind[client] = made
        return self._behind[client]

    def __enter__(self) -> LossyRelay:
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.close()
        self._thread.join()
        for sock in (self.front, self._halted, *self._behind.values()):
            sock.close()
