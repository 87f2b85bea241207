"""The verb `elastik coap delete`."""

import click

from elastik_cli import coap_options as coap
from elastik_cli.lazy import Verb


@click.command("delete", cls=Verb)
@coap.target
@coap.asking
@click.pass_obj
def command(session, target, **wish):
    """Delete a path of a CoAP server. What is not there is no error: CoAP says deleted.

    \b
    Examples:
      elastik coap delete coap://127.0.0.1/home/note
    """
    from elastik_cli.coapio import verbs

    verbs.request(session, "DELETE", target, wish, need="approve")
