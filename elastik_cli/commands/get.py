"""elastik get"""

import click

from elastik_cli.completion import WORLD
from elastik_cli.lazy import Verb
from elastik_cli.transfer import download, show_body


@click.command("get", cls=Verb)
@click.argument("path", type=WORLD)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all.")
@click.option("--resume", is_flag=True, help="With -o: go on where FILE.part ends.")
@click.option("--range", "span", metavar="A-B", help="Only these bytes, counted from 0.")
@click.option("--raw", is_flag=True, help="Write control bytes to a terminal too.")
@click.pass_obj
def command(session, path, output, resume, span, raw):
    """Print the bytes stored at a path, unchanged.

    On a terminal a body that holds NUL or ESC is not written; into a pipe or a file
    go always the exact bytes.

    \b
    Examples:
      elastik get note
      elastik get config.json | jq .port
      elastik get backup.tar -o backup.tar --resume
      elastik get log --range 0-99
    """
    if resume and not output:
        raise click.UsageError("--resume needs -o FILE")
    client = session.client("read")
    if output and output != "-":
        download(session, client, path, output, resume=resume, span=span)
    else:
        show_body(session, client, path, span=span, raw=raw)
