"""The verb `elastik serial ping`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb


@click.command("ping", cls=Verb)
@serial.device
@click.option("--count", type=click.IntRange(1), default=1, metavar="N", help="So often (1).")
@serial.talk
@click.pass_obj
def command(session, device, count, **wish):
    """Ask a board for a sign of life: an empty message, which any CoAP board must reject.

    \b
    Examples:
      elastik serial ping /dev/ttyACM0
      elastik serial ping 2341:0043 --count 5
    """
    with serial.conversation(session, device, wish) as board:
        for _ in range(count):
            milliseconds = board.ping() * 1000
            if session.out.json:
                session.out.record({"device": device, "ms": round(milliseconds, 3)})
            else:
                session.out.line(f"{device}: {milliseconds:.1f} ms")
            session.out.flush()
