"""elastik verify"""

import click

from elastik_cli import auditing, offline
from elastik_cli.completion import WORLD
from elastik_cli.exits import Exit, Quit
from elastik_cli.lazy import Verb


@click.command("verify", cls=Verb)
@click.argument("path", nargs=-1, type=WORLD, metavar="PATH...")
@click.option("--all", "-a", "everything", is_flag=True, help="Every audited path of the server.")
@click.option("--anchor", metavar="FILE", help="Hold the log against these anchors, offline.")
@offline.store_with_past
@click.pass_obj
def command(session, path, everything, anchor, **given):
    """Check the audit chain of a path.

    Prints verdict, number of events, newest version and path. Exits 1 when a chain is broken,
    and for a path in memory (tmp, dev, sys), which is not audited.

    With --data-dir, --keyring or --anchor no server is asked: the core reads the store itself,
    names all that does not hold, bodies and log included, and sums up.

    \b
    Examples:
      elastik verify note
      elastik verify --all --json
      elastik verify --all --data-dir ./backup --key-file key
      elastik verify --anchor anchors
    """
    if path and everything:
        raise click.UsageError("give paths or --all")
    if anchor or given["data_dir"] or given["keyring"]:
        offline.hand_over(session, ["verify"], given, *offline.flags(anchor=anchor), "--", *path)
        return
    if given["key_file"]:
        raise click.UsageError("--key-file is for a store without a server: add --data-dir")
    if not path and not everything:
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
