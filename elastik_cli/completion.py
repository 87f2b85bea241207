"""Paths as arguments: their canonical form, and what the server offers on TAB."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from elastik import paths
from elastik.errors import BadPath

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from elastik_cli.session import Session


def as_text(argument: str) -> str:
    """A path from argv as text: argv is bytes, and paths are UTF-8 whatever the locale says."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        raise BadPath("not UTF-8", ascii(argument)) from None


class World(click.ParamType):
    """A path that may hold bytes: `note`, `/note` and `/home/note` are the same."""

    name = "path"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        return paths.canonical(as_text(value))

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from elastik_cli.offers import server_paths

        return [CompletionItem(p, type="path") for p in server_paths(ctx.obj, _read(incomplete))]


class Path(World):
    """A path on the server whose form the verb itself decides."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        return str(value)


class Prefix(World):
    """A path that others may lie below; empty is everything."""

    name = "prefix"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        return paths.canonical_prefix(as_text(value))


class Pattern(World):
    """A pattern of paths for listen."""

    name = "pattern"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        return paths.canonical_pattern(as_text(value))


class File(click.ParamType):
    """A local file; the shell itself completes it."""

    name = "file"

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class Context(click.ParamType):
    """The name of a context."""

    name = "context"

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = ctx.obj.config.get("contexts", {})
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Side(click.ParamType):
    """One side of sync: a local directory, or :PREFIX or CONTEXT:PREFIX on a server."""

    name = "side"

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        head, colon, typed = _read(incomplete).partition(":")
        if not colon or "/" in head:
            return [CompletionItem(incomplete, type="file")]
        from elastik_cli.offers import server_paths

        ctx.obj.flags.context = head or ctx.obj.flags.context
        found = server_paths(ctx.obj, typed)
        return [CompletionItem(f"{head}:{path}", type="path") for path in found]


class Port(click.ParamType):
    """A serial port."""

    name = "port"

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from elastik_cli.offers import serial_ports

        return [CompletionItem(port) for port in serial_ports(incomplete)]


def _read(incomplete: str) -> str:
    """What was typed as text; what is none fits no path."""
    return os.fsencode(incomplete).decode("utf-8", "replace")


WORLD, PATH, PREFIX, PATTERN = World(), Path(), Prefix(), Pattern()
FILE, CONTEXT, SIDE, PORT = File(), Context(), Side(), Port()


def complete(group: click.Command, session: Session) -> int:
    """Answer a shell: one `kind TAB value TAB help` a line for the last word of argv.

    The scripts in `completions/` put the words in argv as they are, so nothing is quoted here;
    a server path can hold no tab and no line break.
    """
    from click.shell_completion import ShellComplete

    *words, incomplete = [*sys.argv[1:]] or [""]
    finder = ShellComplete(group, {"obj": session}, "elastik", "_ELASTIK_COMPLETE")
    try:
        items = finder.get_completions(words, incomplete)
    except Exception:
        return 0
    for item in items:
        line = f"{item.type}\t{item.value}\t{item.help or ''}\n"
        sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()
    return 0
