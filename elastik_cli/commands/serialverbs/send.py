"""The verb `elastik serial send`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION


@click.command("send", cls=Verb)
@serial.device
@click.argument("text", required=False)
@click.option("--line", "plain", is_flag=True, help="The bare line, for a board without slipmux.")
@click.option("--hex", "hexed", metavar="BYTES", help="These bytes, as they are.")
@click.option("--wait", type=DURATION, default=0.0, metavar="TIME", help="Show what comes back.")
@serial.port
@click.pass_obj
def command(session, device, text, plain, hexed, wait, **wish):
    """Send a line of text to a board: a diagnostic frame, which RIOT gives to its shell.

    Without TEXT the lines come from standard input.

    \b
    Examples:
      elastik serial send /dev/ttyACM0 help --wait 1s
      elastik serial send /dev/ttyUSB0 'led on' --line
      elastik serial send /dev/ttyUSB0 --hex 'c0a94000111121efc0'
    """
    from elastik_cli.serialio.following import send
    from elastik_cli.serialio.line import line_settings

    data = None if text is None else text.encode("utf-8", "surrogateescape")
    line = line_settings(wish)
    send(session, device, line, data, plain=plain, hexed=hexed, wait=wait)
