"""elastik serial"""

import sys

import click

from elastik_cli.exits import Exit, Quit
from elastik_cli.lazy import LazyGroup
from elastik_cli.options import common_options

SECTIONS = {
    "Ports and bridge": {
        "ls": "List serial ports and the boards on them.",
        "bridge": "Join boards to the store, both ways, until stopped.",
    },
    "One board": {
        "get": "Print what a board has at a path.",
        "put": "Give a board a value.",
        "post": "Post a value to a board.",
        "delete": "Delete what a board has at a path.",
        "observe": "Print a board's value whenever it changes.",
        "discover": "List what a board has.",
        "ping": "Ask a board for a sign of life.",
    },
    "The line": {
        "monitor": "Show what a board prints, or every frame.",
        "send": "Send a line of text to a board.",
        "record": "Record what goes over a line.",
        "replay": "Show a recording, or play it to a port.",
        "simulate": "Be a board that is not there.",
    },
}


@click.command(
    "serial",
    cls=LazyGroup,
    sections=SECTIONS,
    package="elastik_cli.commands.serialverbs",
    invoke_without_command=True,
    params=common_options(),
)
@click.pass_context
def command(ctx):
    """Boards on serial lines: plug one in, and it is on the disk.

    A board speaks CoAP in slipmux frames, or plain `path value` lines. See docs/sensors.md.
    """
    if ctx.invoked_subcommand is None:
        sys.stderr.write(ctx.get_help() + "\n")
        raise Quit(Exit.USAGE)
