"""The verb `elastik coap put`."""

import click

from elastik_cli import coap_options as coap
from elastik_cli.lazy import Verb


@click.command("put", cls=Verb)
@coap.target
@coap.writing
@click.pass_obj
def command(session, target, text, **wish):
    """Store bytes at a path of a CoAP server.

    The bytes come from --text, else from the FILE after a URI, else from standard input. After
    HOST PORT PATH the next word is the text itself, and `-` is standard input. What does not fit
    into one datagram goes in blocks.

    \b
    Examples:
      elastik coap put coap://127.0.0.1/home/note note.txt
      elastik coap put 127.0.0.1 5683 note "good morning"
      tar c . | elastik coap put coap://127.0.0.1/home/backup
    """
    from elastik_cli.coapio import verbs
    from elastik_cli.coapio.bodies import body_and_type

    body, wish["content_type"] = body_and_type(session, target, text, wish["content_type"])
    options = verbs.preconditions(wish)
    answer = verbs.request(session, "PUT", target, wish, body=body, need="write", options=options)
    verbs.show(session, answer)
