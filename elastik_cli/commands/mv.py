"""elastik mv"""

import click

from elastik_cli import conditions, moving, options
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb


@click.command("mv", cls=Verb)
@click.argument("source", type=PREFIX)
@click.argument("target", type=PREFIX)
@options.recursive
@click.option("--overwrite", is_flag=True, help="Replace what is at the target.")
@conditions.options
@options.dry_run
@click.pass_obj
def command(session, source, target, recursive, overwrite, if_match, target_if_match, dry_run):
    """Move what is stored at a path.

    Prints how many were moved. What is at the target stays, unless --overwrite.

    \b
    Examples:
      elastik mv draft published
      elastik mv -r inbox archive/2026 --dry-run
    """
    asked = conditions.asked_for(if_match, target_if_match, recursive=recursive)
    client = session.store("approve")
    pairs = moving.plan(session, client, source, target, recursive=recursive)
    if dry_run:
        moving.show_plan(session, pairs)
    elif asked:
        moving.conditioned(session, client, "MOVE", pairs, overwrite=overwrite, asked=asked)
    else:
        moving.move(session, client, source, target, recursive=recursive, overwrite=overwrite)
