"""The verb `elastik serial record`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION


@click.command("record", cls=Verb)
@serial.device
@click.option("-o", "--output", metavar="FILE", default="-", help="Write to FILE (-: stdout).")
@click.option("--timeout", type=DURATION, metavar="TIME", help="End after TIME.")
@serial.port
@click.pass_obj
def command(session, device, output, timeout, **wish):
    """Record what a board sends, as JSON Lines with times, until stopped.

    The recording is what a bug report needs. To record both ways while a bridge runs, use
    `elastik serial bridge --record FILE`.

    \b
    Examples:
      elastik serial record /dev/ttyACM0 -o boot.jsonl --timeout 10s
    """
    from elastik_cli.serialio.following import record
    from elastik_cli.serialio.line import line_settings

    record(session, device, line_settings(wish), output, timeout)
