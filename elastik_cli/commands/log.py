"""elastik log"""

from itertools import islice

import click

from elastik_cli import timeline
from elastik_cli.completion import WORLD
from elastik_cli.exits import Exit, Failure
from elastik_cli.lazy import Verb


@click.command("log", cls=Verb)
@click.argument("path", type=WORLD)
@click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="Only the newest N.")
@click.option("--kept", is_flag=True, help="Only old versions that can still be read.")
@click.pass_obj
def command(session, path, count, kept):
    """List what happened to a path, newest first.

    Event number, time, action, state, size, version and path of each write. The state is
    current, kept or gone: the number of a kept one goes to `get --at`, `diff --at` and
    `revert --at`. The server keeps old versions only where it is told to (--history).

    \b
    Examples:
      elastik log config.json
      elastik log config.json --count 1 --json | jq .event
      elastik log config.json --kept
    """
    asked = None if kept else count
    found = timeline.rows(session, session.client("read"), path, asked)
    if kept:
        found = (row for row in found if row["state"] == "kept")
    out = session.out
    shown = out.rows(islice(found, count), timeline.plain, human=lambda r: timeline.table(out, r))
    if not shown:
        hint = "the server keeps versions with --history 'PATTERN=COUNT'"
        raise Failure(f"{path}: no old version is kept", Exit.NOT_FOUND, hint)
