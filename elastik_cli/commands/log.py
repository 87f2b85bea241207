"""elastik log"""

import click

from elastik_cli import pages
from elastik_cli.completion import WORLD
from elastik_cli.exits import Exit, Failure
from elastik_cli.lazy import Verb


@click.command("log", cls=Verb)
@click.argument("path", type=WORLD)
@click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="Only the newest N.")
@click.pass_obj
def command(session, path, count):
    """List the kept versions of a path, newest first.

    Event number, time, size, version and path; the number goes to `get --at`, `diff --at` and
    `revert --at`. The server keeps old versions only where it is told to (--history).

    \b
    Examples:
      elastik log config.json
      elastik log config.json --count 1 --json | jq .event
    """
    client = session.client("read")
    rows = session.patiently(lambda: pages.versions(client, path))[:count]
    if not rows:
        client.head(path)  # nothing there at all is another answer than nothing kept
        hint = "the server keeps versions with --history 'PATTERN=COUNT'"
        raise Failure(f"{path}: no old version is kept", Exit.NOT_FOUND, hint)

    def plain(row):
        facts = [str(row[key]) for key in ("event", "time", "size", "etag")]
        return "\t".join([*facts, path])

    session.out.rows(({"path": path} | row for row in rows), plain)
