"""Options that the verbs of `elastik serial` share, and what becomes of them."""

from __future__ import annotations

from typing import Any

import click

from elastik_cli.completion import PORT
from elastik_cli.options import DURATION, all_of

device = click.argument("device", type=PORT)
board_path = click.argument("path")
baud = click.option("--baud", type=int, default=115200, metavar="N", help="Bits a second (115200).")
_LEVEL = click.Choice(["on", "off"])
levels = all_of(
    click.option("--dtr", type=_LEVEL, help="Set the DTR line (left alone)."),
    click.option("--rts", type=_LEVEL, help="Set the RTS line (left alone)."),
)
port = all_of(baud, levels)
talk = all_of(
    port,
    click.option(
        "--mtu", type=click.IntRange(48, 1152), default=128, help="Largest message (128)."
    ),
    click.option(
        "--response-timeout",
        type=DURATION,
        default=30.0,
        metavar="TIME",
        help="Wait so long for an answer that the board has promised (30s).",
    ),
)
payload = all_of(
    click.argument("file", required=False, metavar="[FILE]"),
    click.option("--text", metavar="STRING", help="The value itself."),
    click.option("--format", "content_type", metavar="TYPE", help="Its media type."),
)


def conversation(session: Any, spec: str, wish: dict[str, Any]) -> Any:
    """A conversation with one board; what it prints meanwhile is shown with -v."""
    from elastik_cli.serialio.conversation import TalkSettings, converse
    from elastik_cli.serialio.line import line_settings

    settings = TalkSettings(line_settings(wish), wish["mtu"], wish["response_timeout"])
    return converse(spec, settings, session.note)


def exchange(
    session: Any, spec: str, method: str, path: str, wish: dict[str, Any], body: bytes = b""
) -> Any:
    """One request to one board; its good answer, or the Failure that it means."""
    from elastik.coap import formats, messages
    from elastik_cli.exits import Exit, Failure
    from elastik_cli.serialio.conversation import refusal

    options = messages.path_options(path)
    if kind := wish.get("content_type"):
        number = formats.number(kind)
        if number is None:
            raise Failure(f"{kind} has no CoAP number", Exit.USAGE)
        options.append((messages.CONTENT_FORMAT, messages.uint(number)))
    request = messages.Message(0, messages.METHODS[method], 0, b"", messages.ordered(options), body)
    with conversation(session, spec, wish) as board:
        answer = board.ask(request)
    if failure := refusal(answer, f"{method} {spec} /{path.strip('/')}"):
        raise failure
    return answer


def body_of(session: Any, file: str | None, text: str | None) -> bytes:
    """The bytes of --text, of FILE, or of standard input."""
    from elastik_cli import bodies

    with bodies.opened(session, file, text) as body:
        if isinstance(body, bytes):
            return body
        return body.read() if hasattr(body, "read") else b"".join(body)
