"""The verb `elastik serial get`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb


@click.command("get", cls=Verb)
@serial.device
@serial.board_path
@serial.talk
@click.pass_obj
def command(session, device, path, **wish):
    """Print what a board has at a path.

    DEVICE is a port, VID:PID, by-id:GLOB, or the name of a board that a running bridge has.

    \b
    Examples:
      elastik serial get /dev/ttyACM0 temp
      elastik serial get kitchen .well-known/core
    """
    answer = serial.exchange(session, device, "GET", path, wish)
    session.out.bytes(answer.payload)
