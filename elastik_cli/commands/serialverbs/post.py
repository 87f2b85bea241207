"""The verb `elastik serial post`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb


@click.command("post", cls=Verb)
@serial.device
@serial.board_path
@serial.payload
@serial.talk
@click.pass_obj
def command(session, device, path, file, text, **wish):
    """Post a value to a board.

    The bytes come from FILE, from --text, or else from standard input. What does not fit into
    one message of the board goes in blocks.

    \b
    Examples:
      elastik serial post kitchen display --text hello
    """
    from elastik.coap.messages import code_text

    body = serial.body_of(session, file, text)
    answer = serial.exchange(session, device, "POST", path, wish, body)
    session.note(f"{path}: {code_text(answer.code)}")
    session.out.bytes(answer.payload)
