"""The verb `elastik coap ping`."""

import click

from elastik_cli import coap_options as coap
from elastik_cli.lazy import Verb


@click.command("ping", cls=Verb)
@coap.target
@click.option("--count", type=click.IntRange(1), default=1, metavar="N", help="So often (1).")
@click.pass_obj
def command(session, target, count):
    """Ask a CoAP server for a sign of life: an empty message, which it must reject.

    \b
    Examples:
      elastik coap ping coap://127.0.0.1
      elastik coap ping 10.0.0.7 5683 --count 5 --timeout 1s
    """
    from elastik_cli.coapio import verbs

    verbs.ping(session, target, count)
