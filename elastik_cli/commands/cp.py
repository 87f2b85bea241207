"""elastik cp"""

import click

from elastik_cli import moving, options
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb
from elastik_cli.secrets import need_to_write


@click.command("cp", cls=Verb)
@click.argument("source", type=PREFIX)
@click.argument("target", type=PREFIX)
@options.recursive
@options.create_only
@options.dry_run
@click.pass_obj
def command(session, source, target, recursive, create_only, dry_run):
    """Copy what is stored at a path.

    Bytes, type and headers go along; prints how many were copied.

    \b
    Examples:
      elastik cp note note-yesterday
      elastik cp -r site site-backup --dry-run
    """
    client = session.store(need_to_write(target))
    pairs = moving.plan(session, client, source, target, recursive=recursive)
    if dry_run:
        moving.show_plan(session, pairs)
        return
    moving.copy(session, client, pairs, overwrite=not create_only)
