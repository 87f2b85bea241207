"""elastik key"""

import click

from elastik_cli import offline
from elastik_cli.lazy import Verb


@click.group("key", subcommand_metavar="ACTION")
def command():
    """Change the audit key while no server runs.

    \b
    Examples:
      elastik key rotate --new-key-file key-2027
      elastik key rotate --new-key-file key-2027 --key-file key --data-dir ./data
    """


@command.command("rotate", cls=Verb)
@click.option(
    "--new-key-file", metavar="FILE", required=True, help="The new key, 32 bytes or more."
)
@offline.store
@click.pass_obj
def rotate(session, new_key_file, **given):
    """Let a new audit key take over; no world changes, and all ETags stay.

    From then on run and verify want the new key, such as by `elastik context set NAME
    key_file=FILE`. Keep the old one in a directory for --keyring: it verifies what was
    written under it.
    """
    asked = offline.flags(new_key_file=new_key_file)
    offline.hand_over(session, ["key", "rotate"], given, *asked)
