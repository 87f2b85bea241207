"""elastik put"""

import click

from elastik.paths import canonical
from elastik_cli import bodies, options, progress
from elastik_cli.completion import FILE, PATH, as_text
from elastik_cli.lazy import Verb
from elastik_cli.secrets import need_to_write


@click.command("put", cls=Verb)
@click.argument("path", type=PATH)
@click.argument("file", required=False, type=FILE, metavar="[FILE]")
@bodies.representation
@options.preconditions
@click.option("-r", "--recursive", is_flag=True, help="Store all files: put -r DIR PREFIX.")
@options.jobs
@click.pass_obj
def command(session, path, file, text, create_only, if_match, recursive, jobs, **form):
    """Store bytes at a path.

    The bytes come from FILE, from --text, or else from standard input; `-` is standard
    input too. What was there before is replaced.

    \b
    Examples:
      echo hello | elastik put note
      elastik put site/index.html index.html
      elastik put greeting --text 'good morning' --create-only
      elastik put reading --text 21.5 --type text/plain -H 'X-Observed-At: 2026-11-20T10:00:00Z'
      elastik put -r ./site site
    """
    if recursive:
        from elastik_cli import syncing

        syncing.put_tree(session, path, file or "", jobs)
        return
    path = canonical(as_text(path))
    opened = bodies.opened(session, file, text)
    with opened as source, progress.sending(session, path, source) as body:
        headers = bodies.headers_for(form)
        kind = bodies.guess_type(form["content_type"], path, file, text)
        client = session.client(need_to_write(path))
        data = bodies.squeezed(body) if form["gzip"] else body
        wish = {"if_match": if_match, "create_only": create_only, "headers": headers}
        # Twice is harmless only for bytes that can be read twice, and without a precondition.
        again = isinstance(data, bytes) and not (if_match or create_only)
        answer = session.patiently(
            lambda: client.put(path, data, content_type=kind, **wish), again=again
        )
    bodies.report(session, path, answer)
    bodies.warn_of_lost(session, client, path, headers)
