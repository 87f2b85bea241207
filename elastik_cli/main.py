"""The command: its verbs, its signals, and the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import click

from elastik import __version__
from elastik_cli.exits import Exit, Quit, SignalDeath
from elastik_cli.lazy import LazyGroup
from elastik_cli.options import common_options
from elastik_cli.session import Session

SECTIONS = {
    "Bytes": {
        "put": "Store bytes at a path.",
        "get": "Print the bytes stored at a path, unchanged.",
        "head": "Print what is known about a path.",
        "post": "Append bytes to what is stored at a path.",
        "rm": "Delete what is stored at a path.",
    },
    "Look around": {
        "ls": "List paths.",
        "tree": "Show paths as a tree.",
        "du": "Show how many bytes paths hold.",
        "diff": "Compare two paths, or a path and a file.",
        "plot": "Draw the numbers stored at a path.",
    },
    "Change": {
        "cp": "Copy what is stored at a path.",
        "mv": "Move what is stored at a path.",
        "revert": "Put an old version back as the newest one.",
        "edit": "Change what is stored at a path in your editor.",
        "sync": "Make a directory and a prefix the same, one way.",
    },
    "Watch and check": {
        "listen": "Print events as they happen, or run a command for each.",
        "top": "Show what the server does: rates, hottest paths, listeners, storage.",
        "log": "List what happened to a path, newest first.",
        "verify": "Check the audit chain of a path.",
        "anchor": "Print a line that names the newest row of the audit log.",
    },
    "Devices": {
        "coap": "Talk to CoAP servers: this store's CoAP door, sensors, gateways.",
        "serial": "Boards on serial lines: plug one in, and it is on the disk.",
    },
    "Server": {
        "init": "Make a key, three tokens, a data directory and a context.",
        "run": "Run the server in the foreground.",
        "context": "Show and set which server the other verbs talk to.",
        "doctor": "Check the set-up, with evidence and what to do next.",
        "data": "Work on a data directory itself, without a server.",
        "key": "Change the audit key while no server runs.",
        "info": "Show the server's binary.",
        "decode-path": "Print the path that a directory name of 8.x stands for.",
        "ls-data": "List the paths in a data directory.",
    },
    "Help": {
        "help": "Explain a topic or a verb.",
        "completions": "Print or install completion for a shell.",
    },
}


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        sys.stdout.write(f"elastik {__version__}\n")
        raise Quit(Exit.OK)


@click.command(
    "elastik",
    cls=LazyGroup,
    sections=SECTIONS,
    package="elastik_cli.commands",
    invoke_without_command=True,
    params=common_options(),
    epilog="Run `elastik VERB --help` for one verb.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version)
@click.pass_context
def elastik(ctx: click.Context) -> None:
    """One disk on every wire: store bytes at paths, audit every write, tell who listens."""
    if ctx.invoked_subcommand is None:
        sys.stderr.write(ctx.get_help() + "\n")
        raise Quit(Exit.USAGE)


def main(argv: list[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's own); the exit code."""
    args = sys.argv[1:] if argv is None else argv
    session = Session()
    if "_ELASTIK_COMPLETE" in os.environ:
        from elastik_cli.completion import complete

        return complete(elastik, session)
    try:
        code = _run(args, session)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        die_of(signal.SIGINT)
    except BrokenPipeError:
        die_of(getattr(signal, "SIGPIPE", signal.SIGTERM))
    except SignalDeath as end:
        die_of(end.number)
    except OSError as error:
        _drop_stdout()
        return _complain(error, session, args)


def _run(args: list[str], session: Session) -> int:
    try:
        with elastik.make_context("elastik", list(args), obj=session) as ctx:
            elastik.invoke(ctx)
    except (KeyboardInterrupt, click.Abort):
        raise KeyboardInterrupt from None
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except (BrokenPipeError, SignalDeath):
        raise
    except Exception as error:
        # What was already answered goes out before the complaint about the rest.
        sys.stdout.flush()
        return _complain(error, session, args)
    return int(Exit.OK)


def _complain(error: Exception, session: Session, args: list[str]) -> int:
    from elastik_cli.complaint import complain

    own = args[: args.index("--")] if "--" in args else args
    if session.flags.debug:
        import traceback

        traceback.print_exception(error)
    return int(complain(error, session, session.flags.json or "--json" in own))


def _drop_stdout() -> None:
    """Let the interpreter's last flush go nowhere: what it holds cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def die_of(number: int) -> NoReturn:
    """End as shells expect of a program that a signal stopped: killed by that signal.

    SIGPIPE stays ignored until here: a server that hangs up early must give an error, and only
    a reader of our standard output that went away may end us.
    """
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)
