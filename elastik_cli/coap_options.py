"""Options that the verbs of `elastik coap` share."""

from __future__ import annotations

import click

from elastik_cli.options import all_of, preconditions

target = click.argument("target", nargs=-1, required=True, metavar="TARGET...")
_token = click.option("--token", hidden=True, help="Kept for 8.3; --token-file is safer.")
_size = click.option(
    "--block-size",
    type=click.Choice(["16", "32", "64", "128", "256", "512", "1024"]),
    callback=lambda ctx, param, value: None if value is None else int(value),
    help="Bytes in a block (1024).",
)
asking = all_of(_size, _token)
reading = all_of(click.option("--accept", metavar="TYPE", help="Only in this form."), asking)
writing = all_of(
    click.option("--text", metavar="STRING", help="The bytes themselves."),
    click.option("--type", "--content-type", "content_type", metavar="TYPE", help="Media type."),
    preconditions,
    asking,
)
