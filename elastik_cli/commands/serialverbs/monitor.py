"""The verb `elastik serial monitor`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION


@click.command("monitor", cls=Verb)
@serial.device
@click.option("--hex", "hexed", is_flag=True, help="Every frame, in hex and in words.")
@click.option("--raw", is_flag=True, help="The bytes of the line as they are.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N lines.")
@click.option("--timeout", type=DURATION, metavar="TIME", help="End after TIME, with exit code 9.")
@serial.port
@click.pass_obj
def command(session, device, hexed, raw, count, timeout, **wish):
    """Show what a board prints, with the time, until stopped; nothing is sent to it.

    Controls that could move a cursor are taken out, except with --raw.

    \b
    Examples:
      elastik serial monitor /dev/ttyACM0
      elastik serial monitor /dev/ttyACM0 --hex --json
    """
    from elastik_cli.serialio.following import monitor
    from elastik_cli.serialio.line import line_settings

    line = line_settings(wish)
    monitor(session, device, line, hexed=hexed, raw=raw, count=count, timeout=timeout)
