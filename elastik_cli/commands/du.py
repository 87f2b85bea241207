"""elastik du"""

import click

from elastik_cli import usage
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb


@click.command("du", cls=Verb)
@click.argument("prefix", required=False, default="", type=PREFIX)
@click.option("-h", "--human", is_flag=True, help="Sizes for people, with bars on a terminal.")
@click.option("-d", "--depth", type=click.IntRange(1), help="Sum up what lies deeper.")
@click.option("-s", "--summary", is_flag=True, help="Only the sum.")
@click.option("--sort", type=click.Choice(["path", "size"]), default="path", help="Order (path).")
@click.option("--max-workers", type=click.IntRange(1), hidden=True, help="Of 8.3; not needed.")
@click.pass_obj
def command(session, prefix, human, depth, summary, sort, max_workers):
    """Show how many bytes paths hold.

    One path a line, its size first.

    \b
    Examples:
      elastik du
      elastik du home --depth 1 --sort size
      elastik du -h
    """
    rows = usage.sizes(session, session.client("read"), prefix)
    if summary:
        rows = [(prefix, sum(size for _, size in rows))]
    elif depth:
        rows = usage.summed(rows, prefix, depth)
    if sort == "size":
        rows = sorted(rows, key=lambda row: (-row[1], row[0]))
    usage.show(session, rows, human=human)
