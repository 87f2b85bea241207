"""elastik top"""

import click

from elastik_cli import topping
from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION


@click.command("top", cls=Verb)
@click.option("--every", type=DURATION, default=2.0, metavar="TIME", help="Look so often (2s).")
@click.option("-n", "--count", type=click.IntRange(1), metavar="N", help="End after N looks.")
@click.option("--paths", type=click.IntRange(0), default=10, help="Hottest paths shown (10).")
@click.pass_obj
def command(session, every, count, paths):
    """Show what the server does: rates, hottest paths, listeners, storage.

    On a terminal the picture is drawn anew until Ctrl-C; into a pipe go lines of name, value
    and unit, one look unless --count says more.

    \b
    Examples:
      elastik top
      elastik top --count 1 --every 1s
    """
    watch = topping.Watch(session, every, paths)
    if session.out.human:
        topping.live(session, watch, count)
        return
    for look in watch.looks(count or 1):
        session.out.rows(look, lambda r: f"{r['name']}\t{r['value']:g}\t{r['unit']}")
        session.out.flush()
