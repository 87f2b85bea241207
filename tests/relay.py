"""A TCP relay that can be cut and mended: the network between a client and its core."""

from __future__ import annotations

import contextlib
import socket
import threading


def hang_up(*ends):
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Relay:
    """A TCP relay that can be cut and mended."""

    def __init__(self, target):
        self.target, self.pairs, self.up = target, [], True
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            if not self.up:
                near.close()
                continue
            try:
                far = socket.create_connection(self.target)
            except OSError:  # nobody is there just now
                near.close()
                continue
            self.pairs += [near, far]
            threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def _serve(self, near, far):
        back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        back.start()
        self._pump(near, far)
        back.join()
        for end in (near, far):
            end.close()
            with contextlib.suppress(ValueError):
                self.pairs.remove(end)

    def _pump(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        hang_up(one, other)

    def cut(self):
        self.up = False
        hang_up(*self.pairs)
        self.pairs.clear()

    def mend(self):
        self.up = True
