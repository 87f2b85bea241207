"""The verb `elastik serial put`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.lazy import Verb


@click.command("put", cls=Verb)
@serial.device
@serial.board_path
@serial.payload
@serial.talk
@click.pass_obj
def command(session, device, path, file, text, **wish):
    """Give a board a value.

    The bytes come from FILE, from --text, or else from standard input. What does not fit into
    one message of the board goes in blocks.

    \b
    Examples:
      elastik serial put kitchen led --text 1
      elastik serial put /dev/ttyUSB0 config config.cbor --format application/cbor
    """
    from elastik.coap.messages import code_text

    body = serial.body_of(session, file, text)
    answer = serial.exchange(session, device, "PUT", path, wish, body)
    session.note(f"{path}: {code_text(answer.code)}")
    session.out.bytes(answer.payload)
