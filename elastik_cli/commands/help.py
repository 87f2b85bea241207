"""elastik help"""

import click

from elastik_cli import pager, topics
from elastik_cli.exits import Exit, Failure
from elastik_cli.lazy import Verb


@click.command("help", cls=Verb)
@click.argument("topic", required=False)
@click.pass_context
def command(ctx, topic):
    """Explain a topic or a verb.

    Without a topic, lists them.

    \b
    Examples:
      elastik help exit-codes
      elastik help get
    """
    out, group = ctx.obj.out, ctx.parent
    if topic is None:
        out.rows(topics.listed(), _line, human=out.aligned(_line))
    elif topic in topics.TOPICS:
        with pager.paged(out, not ctx.obj.flags.no_pager):
            out.text(topics.text(topic))
    elif found := group.command.get_command(group, topic):
        with pager.paged(out, not ctx.obj.flags.no_pager):
            out.text(found.get_help(click.Context(found, group, topic)) + "\n")
    else:
        raise Failure(f"no help on {topic}", Exit.USAGE, f"topics: {', '.join(topics.TOPICS)}")


def _line(row):
    return f"{row['topic']}\t{row['about']}"
