"""elastik rm"""

import click

from elastik_cli import options, removal
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb


@click.command("rm", cls=Verb)
@click.argument("path", nargs=-1, type=PREFIX, metavar="PATH...")
@options.recursive
@click.option(
    "-f", "--force", is_flag=True, help="Allow -r on a whole namespace; none is no error."
)
@click.option("--from-file", metavar="FILE", help="Read paths from FILE (-: standard input).")
@click.option("-0", "--null", "nul", is_flag=True, help="With --from-file: paths end with NUL.")
@click.option("--purge", is_flag=True, help="Remove kept versions too; only hashes stay.")
@options.if_match
@options.dry_run
@click.pass_obj
def command(session, path, recursive, force, from_file, nul, purge, if_match, dry_run):
    """Delete what is stored at a path.

    Prints how many were deleted. Each delete is audited; with -r everything below the
    path goes, and a whole namespace only with --force.

    \b
    Examples:
      elastik rm note
      elastik rm -r site --dry-run
      elastik ls -0 old | elastik rm --from-file - -0
    """
    wanted = [*path, *(removal.read_paths(from_file, nul) if from_file else ())]
    if not wanted and not from_file:
        raise click.UsageError("missing argument 'PATH...'")
    client = session.client("approve")
    plan = removal.plan(session, client, wanted, recursive=recursive, force=force)
    if dry_run:
        session.out.rows(({"path": p} for p in plan), lambda row: row["path"])
        return
    removal.apply(session, client, plan, if_match=if_match, force=force, purge=purge)
