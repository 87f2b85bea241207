"""elastik cp"""

import click

from elastik_cli import conditions, moving, options
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb
from elastik_cli.secrets import need_to_write


@click.command("cp", cls=Verb)
@click.argument("source", type=PREFIX)
@click.argument("target", type=PREFIX)
@options.recursive
@options.create_only
@conditions.options
@options.dry_run
@click.pass_obj
def command(session, source, target, recursive, create_only, if_match, target_if_match, dry_run):
    """Copy what is stored at a path.

    Bytes, type and headers go along; prints how many were copied.

    \b
    Examples:
      elastik cp note note-yesterday
      elastik cp -r site site-backup --dry-run
    """
    asked = conditions.asked_for(if_match, target_if_match, recursive=recursive)
    client = session.store(need_to_write(target))
    pairs = moving.plan(session, client, source, target, recursive=recursive)
    if dry_run:
        moving.show_plan(session, pairs)
    elif asked:
        moving.conditioned(session, client, "COPY", pairs, overwrite=not create_only, asked=asked)
    else:
        moving.copy(session, client, pairs, overwrite=not create_only)
