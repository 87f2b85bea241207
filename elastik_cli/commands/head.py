"""elastik head"""

import click

from elastik_cli.completion import WORLD
from elastik_cli.lazy import Verb


@click.command("head", cls=Verb)
@click.argument("path", type=WORLD)
@click.pass_obj
def command(session, path):
    """Print what is known about a path.

    One header a line: its size, type, version (etag) and whatever was stored with it.

    \b
    Examples:
      elastik head note
      elastik head note --json | jq -r .etag
    """
    client = session.client("read")
    headers = session.patiently(lambda: client.head(path))
    if session.out.json:
        session.out.record({"path": path, **headers})
        return
    for name, value in headers.items():
        session.out.line(session.out.style(name, 36), f": {value}")
