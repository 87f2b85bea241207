"""elastik sync"""

import click

from elastik_cli import options, syncing, trees
from elastik_cli.completion import SIDE
from elastik_cli.lazy import Verb


@click.command("sync", cls=Verb)
@click.argument("source", type=SIDE)
@click.argument("target", type=SIDE)
@options.dry_run
@click.option("--delete", is_flag=True, help="Delete what the source does not have.")
@click.option("--max-delete", type=click.IntRange(0), metavar="N", help="Do nothing beyond N.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only names that fit.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not names that fit.")
@options.jobs
@click.pass_obj
def command(session, source, target, dry_run, delete, max_delete, include, exclude, jobs):
    """Make a directory and a prefix the same, one way.

    The server's side is written :PREFIX, or CONTEXT:PREFIX for another server. Prints what
    is done: action, size and path; --dry-run prints the same and does nothing. Files are
    compared by their bytes, never by their times. Run it again to go on after a failure.

    \b
    Examples:
      elastik sync ./site :site --dry-run
      elastik sync ./site :site --delete --max-delete 10
      elastik sync :sensor ./copy --include '*.json'
    """
    chosen = trees.chooser(include, exclude)
    session, steps = syncing.sync(session, source, target, chosen, delete=delete)
    syncing.limit_deletes(steps, max_delete)
    syncing.show(session, steps)
    if not dry_run:
        syncing.carry_out(session, steps, jobs)
