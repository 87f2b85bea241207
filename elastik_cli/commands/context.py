"""elastik context"""

import click

from elastik_cli import contexts
from elastik_cli.completion import CONTEXT
from elastik_cli.lazy import Verb


@click.group("context", subcommand_metavar="ACTION")
def command():
    """Show and set which server the other verbs talk to.

    \b
    Examples:
      elastik context list
      elastik context show
      elastik context set lab url=http://lab:3105 read_token_file=/etc/elastik/read
    """


@command.command("list", cls=Verb)
@click.pass_obj
def list_contexts(session):
    """List the contexts; a star marks the selected one."""
    session.out.rows(contexts.listed(session), _line, human=session.out.aligned(_line))


@command.command("show", cls=Verb)
@click.pass_obj
def show(session):
    """Show every setting in force, and where it comes from; secrets only by their source."""
    session.out.rows(contexts.in_force(session), _setting, human=session.out.aligned(_setting))


@command.command("use", cls=Verb)
@click.argument("name", type=CONTEXT)
def use(name):
    """Select the context NAME for commands that name none."""
    contexts.select(name)


@command.command("set", cls=Verb)
@click.argument("name", type=CONTEXT)
@click.argument("setting", nargs=-1, required=True, metavar="KEY=VALUE...")
def set_values(name, setting):
    """Set values in the context NAME, making it if need be; an empty value removes one."""
    contexts.save(name, contexts.parsed(setting))


@command.command("remove", cls=Verb)
@click.argument("name", type=CONTEXT)
def remove(name):
    """Forget the context NAME; its key, tokens and data stay on disk."""
    contexts.remove(name)


def _line(row):
    return f"{'*' if row['selected'] else '-'}\t{row['url']}\t{row['context']}"


def _setting(row):
    return f"{row['setting']}\t{row['value']}\t{row['source']}"
