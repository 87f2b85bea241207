"""elastik edit"""

import click

from elastik_cli import editing
from elastik_cli.completion import WORLD
from elastik_cli.lazy import Verb
from elastik_cli.secrets import need_to_write


@click.command("edit", cls=Verb)
@click.argument("path", type=WORLD)
@click.option("--editor", metavar="COMMAND", help="Instead of $VISUAL, $EDITOR or vi.")
@click.pass_obj
def command(session, path, editor):
    """Change what is stored at a path in your editor.

    It is stored only if nobody else wrote in the meantime; else your version stays in a file
    and the difference is shown. What is not there yet is created.

    \b
    Examples:
      elastik edit note
      elastik edit config.json --editor 'code --wait'
    """
    client = session.client(need_to_write(path))
    before = editing.fetch(client, path)
    after, file = editing.in_editor(path, before.body, editor)
    if after == before.body:
        session.say("nothing changed")
        file.unlink()
        return
    editing.store(session, client, path, before, after, file)
    file.unlink()
