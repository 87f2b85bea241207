"""What the help of each verb says, in parts: the one source of manual pages and docs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field

import click

from elastik_cli.main import elastik


@dataclass
class Page:
    """One verb: its line, its prose, its usage, options and examples; a family has actions."""

    name: str
    line: str
    prose: list[str]
    usage: str
    options: list[tuple[str, str]]
    examples: str
    actions: list[Page] = field(default_factory=list)

    @classmethod
    def of(cls, command: click.Command, ctx: click.Context) -> Page:
        text, _, examples = inspect.cleandoc(command.help or "").partition("Examples:")
        blocks = [" ".join(b.replace("\b", "").split()) for b in text.split("\n\n")]
        line, *prose = [block for block in blocks if block] or [""]
        usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
        shown = [p for p in command.params if isinstance(p, click.Option)]
        if command is not elastik:
            shown = [option for option in shown if not option.hidden]
        options = [(head_of(option), option.help or "") for option in shown if option.help]
        page = cls(ctx.command_path, line, prose, usage, options, inspect.cleandoc(examples))
        if isinstance(command, click.Group) and command is not elastik:
            page.actions = list(actions_of(command, ctx))
        return page


def actions_of(group: click.Group, ctx: click.Context) -> Iterator[Page]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None and not command.hidden:
            yield Page.of(command, click.Context(command, info_name=name, parent=ctx))


def head_of(option: click.Option) -> str:
    """`-j, --jobs N`; built here, because click's own text differs between its versions."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    choices = getattr(option.type, "choices", None)
    number = "N" if isinstance(option.type, click.types.IntParamType) else "VALUE"
    value = "|".join(map(str, choices)) if choices else option.metavar or number
    return f"{names} {value}"


def pages() -> Iterator[Page]:
    """A page for each verb, in the order of the help."""
    root = click.Context(elastik, info_name="elastik")
    for name in elastik.list_commands(root):
        command = elastik.get_command(root, name)
        assert command is not None, name
        yield Page.of(command, click.Context(command, info_name=name, parent=root))
