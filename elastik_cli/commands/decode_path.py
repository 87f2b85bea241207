"""elastik decode-path"""

import click

from elastik_cli.completion import as_text
from elastik_cli.lazy import Verb


@click.command("decode-path", cls=Verb)
@click.argument("name")
@click.pass_obj
def command(session, name):
    """Print the path that a directory name of 8.x stands for.

    \b
    Examples:
      elastik decode-path home%2Fnote%2Etxt
      ls data | xargs -n 1 elastik decode-path
    """
    from elastik.paths import decode_disk_name

    path = decode_disk_name(as_text(name))
    if session.out.json:
        session.out.record({"name": name, "path": path})
    else:
        session.out.line(path)
