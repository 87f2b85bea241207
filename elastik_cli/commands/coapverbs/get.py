"""The verb `elastik coap get`."""

import click

from elastik_cli import coap_options as coap
from elastik_cli.lazy import Verb


@click.command("get", cls=Verb)
@coap.target
@coap.reading
@click.pass_obj
def command(session, target, **wish):
    """Print what a CoAP server has at a path, however many blocks it takes.

    \b
    Examples:
      elastik coap get coap://127.0.0.1/home/sensor/temp
      elastik coap get 127.0.0.1 5683 sensor/temp
      elastik coap get coap://[fe80::1%25eth0]/status --json | jq .type
    """
    from elastik_cli.coapio import verbs

    answer = verbs.request(session, "GET", target, wish, options=verbs.preconditions(wish))
    verbs.show(session, answer)
