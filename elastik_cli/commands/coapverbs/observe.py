"""The verb `elastik coap observe`."""

import click

from elastik_cli import coap_options as coap
from elastik_cli.lazy import VerbBeforeCommand
from elastik_cli.options import DURATION


@click.command("observe", cls=VerbBeforeCommand, options_metavar="[OPTIONS] [-- CMD ARG...]")
@coap.target
@click.option("--exec", "shell", metavar="STRING", help="Run `sh -c STRING` for each value.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, help="So many at once (1).")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N values.")
@click.option("--once", is_flag=True, help="End after one value.")
@click.option("--timeout", type=DURATION, metavar="TIME", help="End after TIME, with exit code 9.")
@click.option("--on-error", default="retry:3", metavar="WHAT", help="retry:N (3), skip or stop.")
@click.option("--grace", type=DURATION, default=10.0, help="Wait for commands at the end (10s).")
@click.option("--pass-token", is_flag=True, help="Give the command the write token.")
@coap.asking
@click.pass_context
def command(ctx, target, **wish):
    """Print a value whenever it changes, or run a command for each.

    Every notification is taken; the observation is registered again when it goes quiet, and
    ended politely with Ctrl-C. A command gets what `elastik listen --exec` gives it: the bytes on
    standard input, ELASTIK_PATH, _TYPE, _SIZE and _ETAG in its environment.

    \b
    Examples:
      elastik coap observe coap://127.0.0.1/home/sensor/temp
      elastik coap observe 10.0.0.7 5683 sensor/door --exec 'mail -s door me'
      elastik coap observe coap://10.0.0.7/door --count 1 --timeout 1h -- ./bell
    """
    from elastik_cli.coapio import verbs
    from elastik_cli.exits import SignalDeath
    from elastik_cli.runner import Stopped

    runner = verbs.observe(ctx.obj, target, wish, ctx.meta["elastik.argv"])
    try:
        ctx.exit(int(runner.run()))
    except Stopped as stopped:
        raise SignalDeath(stopped.number) from None
