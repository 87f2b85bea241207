"""The verb `elastik coap discover`."""

import click

from elastik_cli import coap_options as coap
from elastik_cli.lazy import Verb


@click.command("discover", cls=Verb)
@coap.target
@coap.asking
@click.pass_obj
def command(session, target, **wish):
    """List what a CoAP server has: its /.well-known/core, as a table.

    TARGET is coap://HOST[:PORT], or HOST PORT; filters such as rt=temperature may follow.

    \b
    Examples:
      elastik coap discover coap://127.0.0.1
      elastik coap discover coap://10.0.0.7 rt=temperature --json
    """
    from elastik_cli.coapio import verbs

    verbs.discover(session, target, wish)
