"""elastik tree"""

import click

from elastik_cli import browse
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb
from elastik_cli.listing import found_under


@click.command("tree", cls=Verb)
@click.argument("prefix", required=False, default="", type=PREFIX)
@click.pass_obj
def command(session, prefix):
    """Show paths as a tree.

    \b
    Examples:
      elastik tree
      elastik tree home/site
    """
    paths = found_under(session, session.client("read"), prefix)
    if session.out.json:
        for path in paths:
            session.out.record({"path": path})
        return
    if prefix:
        session.out.line(session.out.style(prefix, 1))
    stored = set(paths)
    for branches, name, path in browse.draw(browse.grow(paths, prefix), prefix):
        session.out.line(branches, name if path in stored else session.out.style(name, 1, 34))
