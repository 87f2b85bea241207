"""elastik listen"""

import click

from elastik_cli import options
from elastik_cli.completion import PATTERN, PREFIX
from elastik_cli.lazy import VerbBeforeCommand
from elastik_cli.options import DURATION


@click.command("listen", cls=VerbBeforeCommand)
@click.argument("pattern", nargs=-1, type=PATTERN, metavar="[PATTERN...]")
@click.option("--exec", "shell", metavar="STRING", help="Run `sh -c STRING` for each event.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, help="So many at once (1).")
@click.option(
    "--order",
    type=click.Choice(["path", "none"]),
    default="path",
    help="Events of one path in order (path), or not (none).",
)
@click.option("--batch", type=click.IntRange(1, 1000), metavar="N", help="N events a command.")
@click.option("--every", type=DURATION, metavar="TIME", help="A batch waits so long (1s).")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N events.")
@click.option("--once", is_flag=True, help="End after one event.")
@click.option("--timeout", type=DURATION, metavar="TIME", help="End after TIME, with exit code 9.")
@click.option("--now", is_flag=True, help="Take what exists now as events, then end.")
@click.option("--since", metavar="ID|TIME", help="Begin after event ID, or so long ago.")
@click.option("--state", metavar="NAME", help="Remember under NAME what is done; go on there.")
@click.option("--on-error", default="retry:3", metavar="WHAT", help="retry:N (3), skip or stop.")
@click.option("--dead-letter", type=PREFIX, metavar="PATH", help="Keep given-up events there.")
@click.option(
    "--on-gap",
    type=click.Choice(["continue", "stop"]),
    default="continue",
    help="When events were missed: continue or stop.",
)
@click.option("--kill-after", type=DURATION, metavar="TIME", help="A command may run so long.")
@click.option(
    "--grace",
    type=DURATION,
    default=10.0,
    metavar="TIME",
    help="On SIGTERM or Ctrl-C wait so long for commands that run (10s).",
)
@click.option("--pass-token", is_flag=True, help="Give the command the write token.")
@click.option("--body", is_flag=True, help="With --json: the bytes too.")
@click.option("--notify", is_flag=True, help="Kept for unit files: systemd is told anyway.")
@options.nul
@click.pass_context
def command(ctx, pattern, **wish):
    """Print events as they happen, or run a command for each.

    PATTERN is a path, `*` for everything, or a path with a final `*`. The command gets the
    bytes on standard input and ELASTIK_PATH, _EVENT, _ID, _ETAG, _TYPE, _SIZE, _ATTEMPT in
    its environment; `{}` in its arguments is the path, `{/}` its last part, `{.}` the path
    without its ending. With --batch it gets many events, one JSON object a line. See
    `elastik help listen`.

    \b
    Examples:
      elastik listen 'sensor/*'
      elastik listen 'order/*' --state shop -j 4 -- ./worker --verbose
      elastik listen inbox --exec 'wc -c' --once
      elastik listen 'sensor/*' --batch 100 --every 5s -- ./load
      elastik listen 'site/*' --now --json | jq -r .path
    """
    from elastik_cli.exits import SignalDeath
    from elastik_cli.listening import build, existing
    from elastik_cli.runner import Stopped

    session = ctx.obj
    patterns = list(pattern) or ["*"]
    runner = build(session, patterns, wish, ctx.meta["elastik.argv"])
    first = existing(session, session.client("read"), patterns) if wish["now"] else ()
    try:
        ctx.exit(int(runner.run(first)))
    except Stopped as stopped:
        raise SignalDeath(stopped.number) from None
