"""elastik diff"""

import click

from elastik_cli import diffing, options, pager
from elastik_cli.completion import FILE, WORLD
from elastik_cli.exits import Exit, Quit
from elastik_cli.lazy import Verb


@click.command("diff", cls=Verb)
@click.argument("one", metavar="PATH", type=WORLD)
@click.argument("other", metavar="[PATH]", required=False, type=WORLD)
@click.option("--file", type=FILE, metavar="FILE", help="Compare with FILE (-: standard input).")
@click.option("--to-context", metavar="NAME", help="Compare with a path on that server.")
@click.option("--at", multiple=True, metavar="EVENT|TIME", help="A kept version; twice: both.")
@click.option("-U", "--unified", type=click.IntRange(0), default=3, help="Lines around a change.")
@click.pass_obj
def command(session, one, other, file, to_context, at, unified):
    """Compare two paths, or a path and a file.

    Text line by line, JSON value by value, anything else by size and hash. Exits 0 when they
    are the same and 1 when they differ. On a terminal a long answer goes through $PAGER
    (less -FIRX); --no-pager prints it.

    \b
    Examples:
      elastik diff note note-yesterday
      elastik diff config.json --file config.json
      elastik diff note --to-context lab
      elastik diff config.json --at 1 --at 2
    """
    if file and (other or to_context):
        raise click.UsageError("give a second path or --file, not both")
    if not (file or other or to_context or at) or len(at) > 2:
        raise click.UsageError("what with? a second path, --file, --to-context or --at, --at")
    first, second = [*map(options.moment, at), None, None][:2]
    left = diffing.stored(session, one, at=first)
    if file:
        right = diffing.local(file, left.type)
    else:
        right = diffing.stored(diffing.at(session, to_context), other or one, to_context, second)
    differ = left.bytes != right.bytes
    with pager.paged(session.out, not session.flags.no_pager):
        diffing.show(session, left, right, unified)
    if differ:
        raise Quit(Exit.NO)
