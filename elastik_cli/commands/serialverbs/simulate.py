"""The verb `elastik serial simulate`."""

import click

from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION


@click.command("simulate", cls=Verb)
@click.option("--link", metavar="PATH", help="A name for the port; it is removed at the end.")
@click.option("--interval", type=DURATION, default=10.0, help="Time between readings (10s).")
@click.option("--path", default="reading", metavar="PATH", help="Where readings go (reading).")
@click.option("--text", is_flag=True, help="Speak `path value` lines instead of CoAP.")
@click.option("--chatter", type=DURATION, default=0.0, help="Time between printed lines (none).")
@click.option("--mtu", type=int, default=128, help="Largest message it takes (128).")
@click.option("--no-blocks", is_flag=True, help="Know no block-wise transfer, as RIOT.")
@click.option("--bad-fcs", type=float, default=0.0, metavar="RATE", help="Spoil so many frames.")
@click.option("--lost", type=float, default=0.0, metavar="RATE", help="Lose so many frames.")
@click.option("--reboot-every", type=DURATION, default=0.0, help="Reboot about so often.")
@click.option("--one-late", is_flag=True, help="Send each answer when the next one is due.")
@click.option("--timeout", type=DURATION, metavar="TIME", help="End after TIME.")
@click.pass_obj
def command(session, link, text, no_blocks, timeout, **how):
    """Be a board that is not there, for trying things without hardware.

    It offers temp and hum (observable), led, blob and slow, and sends readings of a made-up
    temperature. The port's name is printed; it ends with Ctrl-C.

    \b
    Examples:
      elastik serial simulate --link ./board &
      elastik serial bridge --device ./board
      elastik serial simulate --bad-fcs 0.05 --reboot-every 1m
    """
    from elastik_cli.serialio.following import simulate

    simulate(session, link, text, {**how, "blocks": not no_blocks}, timeout)
