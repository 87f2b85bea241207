"""elastik ls-data"""

import click

from elastik_cli import datadir
from elastik_cli.lazy import Verb


@click.command("ls-data", cls=Verb)
@click.argument("directory", required=False, default="./data", type=click.Path())
@click.pass_obj
def command(session, directory):
    """List the paths in a data directory.

    Reads the directory itself, without a server: elastik.db as well as the directories of 8.x,
    for which it also prints where each path lies.

    \b
    Examples:
      elastik ls-data
      elastik ls-data /srv/elastik --json
    """

    def plain(row):
        place = f"\t(disk: {row['disk']}/)" if "disk" in row else ""
        return row["path"] + place

    session.out.rows(datadir.worlds(directory), plain)
