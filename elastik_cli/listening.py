"""What `listen` is asked to do, put together: where to begin, what becomes of an event."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from elastik.errors import NotFound
from elastik.paths import matches
from elastik_cli import liveview
from elastik_cli.child import Command
from elastik_cli.config import state_dir
from elastik_cli.exits import Exit, Failure
from elastik_cli.feed import WINDOW, Event, Feed
from elastik_cli.handlers import Batches, Handler, Printer, Runs
from elastik_cli.listing import every_path
from elastik_cli.position import Position, state_file
from elastik_cli.quantities import parse_duration
from elastik_cli.runner import Limits, Runner
from elastik_cli.session import Session
from elastik_cli.workers import OnError, Workers

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

# How long a batch waits for more events when --every does not say it.
EVERY_S = 1.0
PLACEHOLDERS = ("{}", "{/}", "{.}")


def parse_on_error(text: str) -> OnError:
    """`retry:N`, `skip` or `stop`.

    Raises:
        Failure: for anything else.
    """
    if match := re.fullmatch(r"retry(?::(\d+))?", text):
        return OnError(retries=int(match[1] or 3))
    if text in ("skip", "stop"):
        return OnError(retries=0, stop=text == "stop")
    raise Failure(f"--on-error {text}: not known", Exit.USAGE, "retry:N, skip or stop")


def parse_since(text: str | None) -> tuple[int | None, float | None]:
    """An event id, or the Unix time that a duration before now leads to."""
    if text is None:
        return None, None
    if text.isdigit():
        return int(text), None
    try:
        return 0, time.time() - parse_duration(text)
    except ValueError:
        raise Failure(f"--since {text}: neither an event id nor a time", Exit.USAGE) from None


def command_for(session: Session, wish: dict[str, Any], argv: list[str] | None) -> Command | None:
    """What to run for each event; None when events are only printed.

    Raises:
        Failure: when it cannot be run at all.
    """
    if argv is not None and wish["shell"]:
        raise Failure("give either --exec or -- CMD", Exit.USAGE)
    if argv is None and not wish["shell"]:
        if _in_batches(wish):
            raise Failure("--batch and --every are for a command", Exit.USAGE, "-- CMD or --exec")
        return None
    if argv == []:
        raise Failure("nothing to run after --", Exit.USAGE)
    if _in_batches(wish) and any(mark in word for word in argv or () for mark in PLACEHOLDERS):
        hint = "its events are on standard input, one JSON object a line"
        raise Failure("a batch has no path of its own for {}", Exit.USAGE, hint)
    if argv and "{" not in argv[0]:
        _check_runnable(argv[0])
    extra = {"ELASTIK_URL": session.server.url}
    if session.context_name:
        extra["ELASTIK_CONTEXT"] = session.context_name
    token = session.token("write") if wish["pass_token"] else ""
    if token:
        extra["ELASTIK_WRITE_TOKEN"] = token
    return Command(
        argv,
        wish["shell"],
        extra,
        pass_token=wish["pass_token"],
        grouped=wish["jobs"] > 1,
        batch=_in_batches(wish),
    )


def _in_batches(wish: dict[str, Any]) -> bool:
    return bool(wish.get("batch") or wish.get("every"))


def _check_runnable(program: str) -> None:
    if shutil.which(program):
        return
    if os.path.exists(program) and os.sep in program:
        raise Failure(f"{program}: may not be run", Exit.NOT_RUNNABLE, f"chmod +x {program}")
    raise Failure(f"{program}: command not found", Exit.NO_COMMAND)


def existing(session: Session, client: Client, patterns: Iterable[str]) -> Iterator[Event]:
    """An event for each path that is there now."""
    wanted = list(patterns)
    for path in every_path(session, client):
        if any(matches(pattern, path) for pattern in wanted):
            try:
                head = client.head(path)
            except NotFound:
                continue
            etag = head.get("etag", "").strip('"')
            kind, size = head.get("content-type", ""), head.get("content-length", "")
            yield Event("put", path, etag=etag, type=kind, size=size)


def build(session: Session, patterns: list[str], wish: dict[str, Any], argv: Any) -> Runner:
    """The listener that the options ask for."""
    command = command_for(session, wish, argv)
    client = session.client("read")
    file = state_file(state_dir() / "listen", wish["state"]) if wish["state"] else None
    position = Position(file, session.server.url, patterns)
    since, not_before = parse_since(wish["since"])
    since = position.done_to if position.done_to is not None else since
    inbox: SimpleQueue[Any] = SimpleQueue()
    feed = None
    live = command is None and not wish["nul"] and liveview.fits(session)
    if not wish["now"]:
        bodies = command is not None or wish["body"] or live
        feed = Feed(client, patterns, inbox, since=since, bodies=bodies, retry=session.flags.retry)
    workers = _workers(session, command, client, inbox, wish) if command else None
    count = 1 if wish["once"] else wish["count"]
    return Runner(
        inbox=inbox,
        feed=feed,
        handler=_handler(session, workers, patterns if live else [], wish),
        workers=workers,
        position=position,
        limits=Limits(count, wish["timeout"], wish["on_gap"] == "stop", wish["grace"], not_before),
        say=session.say,
        note=session.note,
    )


def _handler(
    session: Session, workers: Workers | None, seen: list[str], wish: dict[str, Any]
) -> Handler:
    if workers is not None and _in_batches(wish):
        return Batches(workers, wish["batch"] or WINDOW, wish["every"] or EVERY_S)
    if workers is not None:
        return Runs(workers)
    return liveview.Live(session, seen) if seen else Printer(session, wish["nul"])


def _workers(
    session: Session, command: Command, client: Client, inbox: Any, wish: dict[str, Any]
) -> Workers:
    on_error = parse_on_error(wish["on_error"])
    on_error.dead_letter = wish["dead_letter"]
    if wish["dead_letter"]:
        client = session.client("write")
    return Workers(
        command,
        client,
        inbox,
        jobs=wish["jobs"],
        by_path=wish["order"] == "path",
        on_error=on_error,
        kill_after=wish["kill_after"],
        say=session.say,
    )
