"""`Elastik`: a store of worlds behind one URL, as a client and as a mapping."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING

from elastik.errors import NotFound
from elastik.formats import Formats
from elastik.hierarchy import Hierarchy
from elastik.sending import Data
from elastik.tracing import Tracing

if TYPE_CHECKING:
    from elastik.worlds import WorldRef

__all__ = ["Elastik"]


class Elastik(Tracing, Formats, Hierarchy, MutableMapping[str, bytes]):  # type: ignore[misc]
    """A client of one core.

    >>> e = Elastik("http://127.0.0.1:3105", "write-token")  # doctest: +SKIP
    >>> e.put("note", "hello")["status"]  # doctest: +SKIP
    201
    >>> e["note"], e.get_text("note")  # doctest: +SKIP
    (b'hello', 'hello')

    ``foo`` and ``/foo`` mean ``/home/foo``; the namespaces home, tmp, dev, sys, etc, lib, boot, usr
    and var can be named. Failures are subclasses of ElastikError. Safe to use from several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        bearer_token: str | None = None,
        *,
        debug: bool | str = False,
        timeout: float | None = 30.0,
        keep_alive: bool = True,
        cafile: str | os.PathLike[str] | None = None,
        retries: int = 2,
    ) -> None:
        super().__init__(
            url,
            bearer_token,
            timeout=timeout,
            keep_alive=keep_alive,
            cafile=cafile,
            retries=retries,
        )
        if debug:
            self.enable_debug(level="all" if debug is True else str(debug))

    def __repr__(self) -> str:
        from elastik.launcher import live_info

        live = live_info()
        state = live["state"] if live.get("url") == self.url else "external"
        return f"<Elastik {self.url} [{state}]>"

    def __getitem__(self, path: str) -> bytes:
        try:
            return self.get(path)
        except NotFound:
            raise KeyError(path) from None

    def __setitem__(self, path: str, data: Data) -> None:
        self.put(path, data)

    def __delitem__(self, path: str) -> None:
        if not self.delete(path):
            raise KeyError(path)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.exists(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def __truediv__(self, path: str) -> WorldRef:
        from elastik.worlds import WorldRef

        return WorldRef(self, path.strip("/"))
