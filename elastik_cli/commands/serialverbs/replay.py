"""The verb `elastik serial replay`."""

import click

from elastik_cli.lazy import Verb


@click.command("replay", cls=Verb)
@click.argument("file")
@click.option("--hex", "hexed", is_flag=True, help="Every frame, in hex and in words.")
@click.option("--pty", is_flag=True, help="Play the board's bytes to a port, each at its time.")
@click.option("--link", metavar="PATH", help="With --pty: a name for the port.")
@click.option("--speed", type=float, default=1.0, metavar="X", help="With --pty: so much faster.")
@click.pass_obj
def command(session, file, hexed, pty, link, speed):
    """Show a recording, or play it to a port that a bridge can open.

    \b
    Examples:
      elastik serial replay boot.jsonl --hex
      elastik serial replay boot.jsonl --pty --link ./board
    """
    from elastik_cli.serialio.following import replay

    replay(session, file, hexed=hexed, pty=pty, link=link, speed=speed)
