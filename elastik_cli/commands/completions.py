"""elastik completions"""

import click

from elastik_cli import shells
from elastik_cli.lazy import Verb


@click.command("completions", cls=Verb)
@click.argument("shell", type=click.Choice([*shells.SHELLS, "install"]))
@click.option("--dir", "directory", metavar="DIR", help="With install: put the files below DIR.")
@click.pass_obj
def command(session, shell, directory):
    """Print or install completion for a shell.

    Completes verbs, options, contexts and paths on the server. `install` puts the files where
    bash, zsh and fish look for a user's own.

    \b
    Examples:
      elastik completions install
      elastik completions bash > ~/.local/share/bash-completion/completions/elastik
    """
    if shell != "install":
        session.out.text(shells.script(shell))
        return
    for path in shells.install(directory):
        session.out.line(str(path))
    session.say("open a new shell; zsh must have the directory in fpath before compinit")
