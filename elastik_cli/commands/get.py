"""elastik get"""

import click

from elastik.paths import canonical
from elastik_cli import options
from elastik_cli.completion import FILE, PATH, as_text
from elastik_cli.lazy import Verb
from elastik_cli.transfer import download, show_body, show_version


@click.command("get", cls=Verb)
@click.argument("path", type=PATH)
@click.argument("directory", required=False, type=FILE, metavar="[DIR]")
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all.")
@click.option("--resume", is_flag=True, help="With -o: go on where FILE.part ends.")
@click.option("--range", "span", metavar="A-B", help="Only these bytes, counted from 0.")
@click.option("--raw", is_flag=True, help="Write control bytes to a terminal too.")
@click.option("-r", "--recursive", is_flag=True, help="Write all below: get -r PREFIX DIR.")
@options.at
@options.jobs
@click.pass_obj
def command(session, path, directory, output, resume, span, raw, recursive, at, jobs):
    """Print the bytes stored at a path, unchanged.

    On a terminal a body that holds NUL or ESC is not written; into a pipe or a file
    go always the exact bytes.

    \b
    Examples:
      elastik get note
      elastik get config.json | jq .port
      elastik get backup.tar -o backup.tar --resume
      elastik get log --range 0-99
      elastik get -r site ./copy
      elastik get config.json --at 1
    """
    if recursive is not bool(directory):
        raise click.UsageError("a directory goes with -r: elastik get -r PREFIX DIR")
    if resume and not output:
        raise click.UsageError("--resume needs -o FILE")
    if recursive:
        from elastik_cli import syncing

        syncing.get_tree(session, path, directory, jobs)
        return
    path = canonical(as_text(path))
    client = session.client("read")
    if at:
        if resume or span:
            raise click.UsageError("--at gives the whole version: not with --resume or --range")
        show_version(session, client, path, options.moment(at), output, raw=raw)
    elif output and output != "-":
        download(session, client, path, output, resume=resume, span=span)
    else:
        show_body(session, client, path, span=span, raw=raw)
