"""The verb `elastik serial observe`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION


@click.command("observe", cls=Verb)
@serial.device
@serial.board_path
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N values.")
@click.option("--timeout", type=DURATION, metavar="TIME", help="End after TIME, with exit code 9.")
@serial.talk
@click.pass_obj
def command(session, device, path, count, timeout, **wish):
    """Print a board's value whenever it changes, one a line, until stopped.

    \b
    Examples:
      elastik serial observe /dev/ttyACM0 temp
      elastik serial observe kitchen temp --count 10 --json
    """
    from elastik_cli.serialio.following import follow

    with serial.conversation(session, device, wish) as board:
        follow(session, board, path, count, timeout)
