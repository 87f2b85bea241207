"""elastik plot"""

import click

from elastik_cli import plotting
from elastik_cli.completion import WORLD
from elastik_cli.exits import Failure
from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION
from elastik_cli.terminal import draws, width


@click.command("plot", cls=Verb)
@click.argument("path", type=WORLD)
@click.option("--field", metavar="NAME", help="The number of this JSON field (a.b for nested).")
@click.option("--live", type=DURATION, metavar="TIME", help="Gather new values for so long.")
@click.option("--height", type=click.IntRange(1, 50), default=8, help="Lines of the chart (8).")
@click.pass_obj
def command(session, path, field, live, height):
    """Draw the numbers stored at a path.

    Takes the last number of each line, such as of a log that `post` appends to, or with
    --live the value of each new event. Into a pipe go the numbers, one a line.

    \b
    Examples:
      elastik plot sensor/temp/log
      elastik plot sensor/temp --live 30s
      elastik plot readings --field temp.celsius
    """
    client = session.client("read")
    if live:
        from elastik_cli.watching import values_of

        values = list(values_of(client, path, live, field))
    else:
        with session.patiently(lambda: client.stream(path)) as stream:
            values = plotting.numbers_in(stream.read(), field)
    out = session.out
    if out.json or not out.human:
        out.rows(({"value": value} for value in values), lambda row: f"{row['value']:g}")
    elif values:
        letters = plotting.BLOCKS if draws() else plotting.ASCII
        for line in plotting.chart(values, width(), height, letters):
            out.line(line)
    if not values:
        raise Failure(f"{path}: no numbers there", hint="a line such as `21.5`, or --field NAME")
