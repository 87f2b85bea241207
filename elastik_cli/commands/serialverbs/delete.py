"""The verb `elastik serial delete`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb


@click.command("delete", cls=Verb)
@serial.device
@serial.board_path
@serial.talk
@click.pass_obj
def command(session, device, path, **wish):
    """Delete what a board has at a path.

    DEVICE is a port, VID:PID, by-id:GLOB, or the name of a board that a running bridge has.

    \b
    Examples:
      elastik serial delete kitchen log
    """
    from elastik.coap.messages import code_text

    answer = serial.exchange(session, device, "DELETE", path, wish)
    session.say(f"{path}: {code_text(answer.code)}")
