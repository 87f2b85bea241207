"""The verb `elastik serial discover`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb


@click.command("discover", cls=Verb)
@serial.device
@serial.talk
@click.pass_obj
def command(session, device, **wish):
    """List what a board has: its /.well-known/core, as a table.

    \b
    Examples:
      elastik serial discover /dev/ttyACM0
      elastik serial discover kitchen --json | jq -r .path
    """
    from elastik_cli.linkrows import show

    answer = serial.exchange(session, device, "GET", ".well-known/core", wish)
    show(session.out, answer.payload)
