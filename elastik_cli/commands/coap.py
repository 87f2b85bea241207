"""elastik coap"""

import sys

import click

from elastik_cli.exits import Exit, Quit
from elastik_cli.lazy import LazyGroup
from elastik_cli.options import common_options

SECTIONS = {
    "Requests": {
        "get": "Print what a CoAP server has at a path.",
        "put": "Store bytes at a path of a CoAP server.",
        "post": "Post bytes to a path of a CoAP server.",
        "delete": "Delete a path of a CoAP server.",
    },
    "Look and watch": {
        "observe": "Print a value whenever it changes, or run a command for each.",
        "discover": "List what a CoAP server has.",
        "ping": "Ask a CoAP server for a sign of life.",
    },
}


@click.command(
    "coap",
    cls=LazyGroup,
    sections=SECTIONS,
    package="elastik_cli.commands.coapverbs",
    invoke_without_command=True,
    params=common_options(),
)
@click.pass_context
def command(ctx):
    """Talk to CoAP servers: this store's CoAP door, sensors, gateways.

    TARGET is coap://HOST[:PORT]/PATH, or the three words HOST PORT PATH.
    """
    if ctx.invoked_subcommand is None:
        sys.stderr.write(ctx.get_help() + "\n")
        raise Quit(Exit.USAGE)
