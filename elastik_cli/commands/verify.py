"""elastik verify"""

import click

from elastik_cli import auditing
from elastik_cli.completion import WORLD
from elastik_cli.exits import Exit, Quit
from elastik_cli.lazy import Verb


@click.command("verify", cls=Verb)
@click.argument("path", nargs=-1, type=WORLD, metavar="PATH...")
@click.option("--all", "-a", "everything", is_flag=True, help="Every audited path of the server.")
@click.pass_obj
def command(session, path, everything):
    """Check the audit chain of a path.

    Prints verdict, number of events, newest version and path. Exits 1 when a chain is broken,
    and for a path in memory (tmp, dev, sys), which is not audited.

    \b
    Examples:
      elastik verify note
      elastik verify --all --json
    """
    if bool(path) == everything:
        raise click.UsageError("give paths or --all")
    client = session.client("read")
    verdicts = auditing.check(client, auditing.audited(session, client) if everything else path)
    bad = []

    def seen():
        for verdict in verdicts:
            bad.extend([verdict["path"]] if verdict["verdict"] != "valid" else [])
            yield verdict

    session.out.rows(seen(), auditing.plain)
    if bad:
        session.say(f"{len(bad)} not valid, first: {bad[0]}")
        raise Quit(Exit.NO)
