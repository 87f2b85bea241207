"""What a handler may return: intents that the reactor carries out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from elastik.errors import PreconditionFailed

if TYPE_CHECKING:
    from elastik.client import Elastik


class Ctx:
    """One event for one handler: `body`, `path`, `etag`, `pattern`, `meta`, `e`, `method`, `event`.

    `superseded` tells that `body` and `etag` are not the event's own any more but the newest.
    """

    __slots__ = (
        "body",
        "e",
        "etag",
        "event",
        "meta",
        "method",
        "path",
        "pattern",
        "superseded",
        "world",
    )

    def __init__(
        self,
        body: bytes,
        path: str,
        etag: str,
        pattern: str,
        meta: dict[str, str],
        e: Elastik,
        method: str = "",
        event: dict[str, Any] | None = None,
        superseded: bool = False,
    ) -> None:
        self.body = body
        self.path = path
        self.world = path
        self.etag = etag
        self.pattern = pattern
        self.meta = meta
        self.e = e
        self.method = method
        self.event = event or {}
        self.superseded = superseded


class Action:
    """Base class of intents."""

    def execute(self, ctx: Ctx) -> None:
        """Carry it out."""
        raise NotImplementedError


class MoveTo(Action):
    """Write the body to `dest`, then delete the source; `meta` goes to `put`."""

    def __init__(self, dest: str, **meta: Any) -> None:
        self.dest = dest
        self.meta = meta

    def execute(self, ctx: Ctx) -> None:
        """Put and delete; nothing when the event is itself a DELETE, as a move's own last step."""
        if ctx.method == "DELETE":
            return
        ctx.e.put(self.dest, ctx.body, **self.meta)
        _delete_seen(ctx)


class Reply(Action):
    """Write `body` to `dest`; the source stays."""

    def __init__(self, dest: str, body: bytes | str, **meta: Any) -> None:
        self.dest = dest
        self.body = body
        self.meta = meta

    def execute(self, ctx: Ctx) -> None:
        """Put."""
        ctx.e.put(self.dest, self.body, **self.meta)


class Archive(Action):
    """Move the source below `prefix`, under its own last segment."""

    def __init__(self, prefix: str = "/home/archive/") -> None:
        self.prefix = prefix

    def execute(self, ctx: Ctx) -> None:
        """Put and delete; nothing when the event is itself a DELETE."""
        if ctx.method == "DELETE":
            return
        name = ctx.path.rstrip("/").rpartition("/")[2] or "anon"
        ctx.e.put(f"{self.prefix.rstrip('/')}/{name}", ctx.body)
        _delete_seen(ctx)


class Drop(Action):
    """Delete the source."""

    def execute(self, ctx: Ctx) -> None:
        """Delete."""
        _delete_seen(ctx)


def _delete_seen(ctx: Ctx) -> None:
    """Delete the version that was handled; a newer one has an event of its own to come."""
    if ctx.method == "DELETE":
        return
    with contextlib.suppress(PreconditionFailed):
        ctx.e.delete(ctx.path, if_match=ctx.etag or None)


def run_actions(result: Any, ctx: Ctx) -> None:
    """Execute what a handler returned: None, an Action, or a list of them."""
    for action in result if isinstance(result, (list, tuple)) else (result,):
        if isinstance(action, Action):
            action.execute(ctx)
