"""elastik anchor"""

import click

from elastik_cli import offline
from elastik_cli.lazy import Verb


@click.command("anchor", cls=Verb)
@offline.store_with_past
@click.pass_obj
def command(session, **given):
    """Print a line that names the newest row of the audit log.

    Keep it where whoever keeps the store cannot write: by it, `elastik verify --anchor FILE`
    finds a store that was put back to an earlier day. It reads only: a server may run.

    \b
    Examples:
      elastik anchor >> anchors
      elastik anchor --data-dir ./data --key-file key
    """
    offline.hand_over(session, ["anchor"], given)
