"""elastik post"""

import click

from elastik.errors import NotFound, PreconditionFailed
from elastik_cli import bodies, options
from elastik_cli.completion import FILE, WORLD
from elastik_cli.lazy import Verb
from elastik_cli.secrets import need_to_write


@click.command("post", cls=Verb)
@click.argument("path", type=WORLD)
@click.argument("file", required=False, type=FILE, metavar="[FILE]")
@click.option("--text", metavar="STRING", help="Append this text instead of a file.")
@click.option("--create", is_flag=True, help="Start a new path when nothing is there yet.")
@click.option("--type", "content_type", metavar="TYPE", help="With --create: its media type.")
@options.if_match
@click.pass_obj
def command(session, path, file, text, create, content_type, if_match):
    """Append bytes to what is stored at a path.

    The bytes come from FILE, from --text, or else from standard input. Type and headers
    of the path stay as they are.

    \b
    Examples:
      echo "$(date) started" | elastik post log --create
      elastik post log --text 'one more line'
    """
    with bodies.opened(session, file, text, rewind=create) as body:
        client = session.client(need_to_write(path))
        try:
            answer = session.patiently(
                lambda: client.post(path, body, if_match=if_match), again=False
            )
        except NotFound:
            if not create or if_match:
                raise
            answer = _start(client, path, body, bodies.guess_type(content_type, path, file, text))
    bodies.report(session, path, answer)


def _start(client, path, body, content_type):
    """Create the path, or append after all when somebody else created it in between."""
    rewind = getattr(body, "seek", lambda _start: None)
    rewind(0)
    try:
        return client.put(path, body, content_type=content_type, create_only=True)
    except PreconditionFailed:
        rewind(0)
        return client.post(path, body)
