"""elastik data"""

import click

from elastik_cli import offline
from elastik_cli.lazy import Verb


@click.group("data", subcommand_metavar="ACTION")
def command():
    """Work on a data directory itself, without a server.

    The store and its key are those that `elastik run` would take; --data-dir and --key-file
    name others. While a server runs, export works; import and compact want the store alone.

    \b
    Examples:
      elastik data compact
      elastik data export --to ./old-layout
      elastik data import --from ./8.3-data --data-dir ./new
    """


@command.command("import", cls=Verb)
@click.option("--from", "source", metavar="DIR", help="The old directory; without it, in place.")
@offline.store
@click.pass_obj
def take_over(session, source, **given):
    """Import a data directory of 8.x or 6.x, as the first start on it would.

    In place the old directories are set aside whole; with --from they stay as they are.
    Exits 8 when some worlds were set aside or left out.
    """
    offline.hand_over(session, ["data", "import"], given, *offline.flags(**{"from": source}))


@command.command("export", cls=Verb)
@click.option("--to", metavar="DIR", required=True, help="A directory, empty or not there yet.")
@click.option("--layout", type=click.Choice(["8"]), default="8", help="The layout: that of 8.x.")
@click.option("--rechain", is_flag=True, help="Make HMACs anew where a world needs it.")
@offline.store_with_past
@click.pass_obj
def export(session, to, layout, rechain, **given):
    """Write the store in the layout of 8.x, which 8.3 opens under the same key.

    What is written is read back and checked. Exits 8 when some worlds were left out.
    """
    asked = offline.flags(to=to, layout=layout, rechain=rechain)
    offline.hand_over(session, ["data", "export"], given, *asked)


@command.command("compact", cls=Verb)
@click.option(
    "--prune-days",
    type=click.IntRange(0),
    metavar="N",
    help="First remove log rows older than N days; listeners cannot replay them.",
)
@offline.store
@click.pass_obj
def compact(session, prune_days, **given):
    """Write the store's file anew without its free pages; it needs that room again meanwhile."""
    asked = offline.flags(prune_days=prune_days)
    offline.hand_over(session, ["data", "compact"], given, *asked)
