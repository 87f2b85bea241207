"""elastik init"""

import click

from elastik_cli import contexts
from elastik_cli.lazy import Verb


@click.command("init", cls=Verb)
@click.argument("name", required=False, default="local")
@click.option("--data-dir", metavar="DIR", help="Where the bytes will be kept.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (3105).")
@click.pass_obj
def command(session, name, data_dir, host, port):
    """Make a key, three tokens, a data directory and a context.

    The context NAME (default: local) then has all that `run` needs to serve and that the
    other verbs need to talk to it. Nothing that exists is overwritten.

    \b
    Examples:
      elastik init && elastik run
      elastik init lab --port 3200 --data-dir /srv/elastik
    """
    table = contexts.make(name, data_dir, host, port)
    if session.out.json:
        session.out.record({"context": name, **table})
        return
    for key, value in {"context": name, **table}.items():
        if key in ("context", "url", "data_dir", "key_file"):
            session.out.line(key + (" " * (10 - len(key)) if session.out.human else "\t"), value)
    session.say("keep a copy of the key elsewhere: without it the audit chain proves nothing")
    session.say("next: elastik run")
