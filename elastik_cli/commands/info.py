"""elastik info"""

import click

from elastik_cli.lazy import Verb


@click.command("info", cls=Verb)
@click.pass_obj
def command(session):
    """Show the server's binary.

    Where it lies, whether it is there, its size and the platform; with --json for programs.

    \b
    Examples:
      elastik info
      elastik info --json
    """
    from elastik.launcher import binary_info

    found = binary_info()
    if session.out.json:
        session.out.record(found)
        return
    for name, value in found.items():
        session.out.line(f"  {name}: {value}")
