"""elastik ls"""

import click

from elastik_cli import listing, options
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb


@click.command("ls", cls=Verb)
@click.argument("prefix", required=False, default="", type=PREFIX)
@click.option("--all", "-a", "everything", is_flag=True, help="All paths below, not one level.")
@click.option("-l", "--long", "long", is_flag=True, help="With size, type and version.")
@click.option(
    "--sort",
    type=click.Choice(["path", "size", "age"]),
    default="path",
    help="Order (path); size: the largest first; age: the newest first.",
)
@options.nul
@click.pass_obj
def command(session, prefix, everything, long, sort, nul):
    """List paths.

    One level below PREFIX (default: everything), one path a line; what has paths below
    it ends in a slash.

    \b
    Examples:
      elastik ls
      elastik ls home/sensor --all
      elastik ls -l site --sort size
      elastik ls --all -0 old | elastik rm --from-file - -0
    """
    client = session.client("read")
    rows = listing.rows(session, client, prefix, depth=-1 if everything else 1, long=long)
    if sort != "path":
        rows = listing.ordered(rows, sort)
    listing.show(session, rows, long=long, nul=nul)
