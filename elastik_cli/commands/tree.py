"""elastik tree"""

import click

from elastik_cli import browse, listing
from elastik_cli.completion import PREFIX
from elastik_cli.lazy import Verb
from elastik_cli.terminal import draws


@click.command("tree", cls=Verb)
@click.argument("prefix", required=False, default="", type=PREFIX)
@click.option(
    "-l", "--long", "long", is_flag=True, help="With size and age, and for a person with the type."
)
@click.pass_obj
def command(session, prefix, long):
    """Show paths as a tree.

    \b
    Examples:
      elastik tree
      elastik tree home/site
      elastik tree -l sensor
    """
    out = session.out
    rows = listing.rows(session, session.client("read"), prefix, depth=-1, long=long)
    if out.json:
        for row in rows:
            out.record(row if long else {"path": row["path"]})
        return
    stored = {row["path"]: row for row in rows}
    if prefix:
        out.line(listing.margin(stored.get(prefix)) if long else "", out.style(prefix, 1))
    letters = browse.ASCII if out.human and not draws() else browse.BRANCHES
    for branches, name, path in browse.draw(browse.grow(stored, prefix), prefix, "", letters):
        shown = name if path in stored else out.style(name, 1, 34)
        row = stored.get(path) if long else None
        kind = f"  {row['type'].split(';')[0]}" if row and row.get("type") and out.human else ""
        out.line(listing.margin(row) if long else "", branches, shown, out.style(kind, 2))
