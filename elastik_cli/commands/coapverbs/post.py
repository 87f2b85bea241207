"""The verb `elastik coap post`."""

import click

from elastik_cli import coap_options as coap
from elastik_cli.lazy import Verb


@click.command("post", cls=Verb)
@coap.target
@coap.writing
@click.pass_obj
def command(session, target, text, **wish):
    """Post bytes to a path of a CoAP server; this store appends them.

    The bytes come from --text, else from the FILE after a URI, else from standard input. After
    HOST PORT PATH the next word is the text itself, and `-` is standard input. What does not fit
    into one datagram goes in blocks.

    \b
    Examples:
      elastik coap post coap://127.0.0.1/home/log --text "one more line"
    """
    from elastik_cli.coapio import verbs
    from elastik_cli.coapio.bodies import body_and_type

    body, wish["content_type"] = body_and_type(session, target, text, wish["content_type"])
    options = verbs.preconditions(wish)
    answer = verbs.request(session, "POST", target, wish, body=body, need="write", options=options)
    verbs.show(session, answer)
