"""Paths as arguments: their canonical form, and what the server offers on TAB."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from elastik import paths
from elastik.errors import BadPath

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem

    from elastik_cli.session import Session

# A shell that waits for a dead server is worse than one that offers nothing.
PATIENCE_S = 0.3


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

        return [CompletionItem(path, type="path") for path in offered(ctx.obj, incomplete)]


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


WORLD, PATH, PREFIX, PATTERN = World(), Path(), Prefix(), Pattern()
FILE, CONTEXT = File(), Context()


def offered(session: Session, incomplete: str) -> list[str]:
    """Server paths that begin as typed, up to the next slash; nothing when the server is away."""
    try:
        client = session.client("read", timeout=PATIENCE_S)
        return fitting(client.list(), as_text(incomplete))
    except Exception:  # whatever it is, a TAB must not print it
        return []


def fitting(worlds: Iterable[str], typed: str) -> list[str]:
    """`worlds` in the form `typed` has begun, cut behind the next slash.

    >>> fitting(["home/a", "home/b/c", "tmp/x"], "")
    ['a', 'b/', 'tmp/']
    >>> fitting(["home/a", "home/b/c", "tmp/x"], "/home/")
    ['/home/a', '/home/b/']
    """
    lead = "/" if typed.startswith("/") else ""
    bare = typed[len(lead) :]
    whole = bare.split("/", 1)[0] in paths.NAMESPACES and "/" in bare
    found = set()
    for world in worlds:
        short = world.startswith("home/") and not whole
        name = world.removeprefix("home/") if short else world
        if name.startswith(bare):
            end = name.find("/", len(bare))
            found.add(lead + (name if end < 0 else name[: end + 1]))
    if not whole and bare and "home/".startswith(bare):
        found.add(lead + "home/")
    return sorted(found)


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
