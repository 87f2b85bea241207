"""elastik revert"""

import click

from elastik_cli import bodies, options, pages
from elastik_cli.completion import WORLD
from elastik_cli.lazy import Verb


@click.command("revert", cls=Verb)
@click.argument("path", type=WORLD)
@click.option("--at", required=True, metavar="EVENT|TIME", help="The version to put back.")
@options.if_match
@click.pass_obj
def command(session, path, at, if_match):
    """Put an old version back as the newest one.

    Bytes, type and headers come back; the history goes on, so this can be reverted too.

    \b
    Examples:
      elastik revert config.json --at 1
      elastik revert config.json --at 2 --json
    """
    client = session.client("approve")
    answer = pages.put_back(client, path, options.moment(at), if_match)
    bodies.report(session, path, {"status": answer.status, "etag": answer.etag})
