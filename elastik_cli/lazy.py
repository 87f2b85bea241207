"""Load a verb only when it is used, and keep what follows `--` for the verb itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from elastik.errors import NotOverCoap
from elastik_cli.exits import Exit, Failure


class Paged(click.Command):
    """A command whose long help page a person reads in a pager."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click leaves it out of some: whose help is it, then?
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        return super().shell_complete(ctx, incomplete) + self.common_offers(incomplete)

    def common_offers(self, incomplete: str) -> list[Any]:
        """The long options of every verb that begin so."""
        if not incomplete.startswith("-"):
            return []
        from click.shell_completion import CompletionItem

        from elastik_cli.options import Common

        common = [param for param in self.params if isinstance(param, Common)]
        names = [(name, p.help) for p in common for name in p.opts if name.startswith("--")]
        return [CompletionItem(n, help=h) for n, h in names if n.startswith(incomplete)]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from elastik_cli.output import Output
        from elastik_cli.pager import paged

        # Not the session's own: help is there whatever the config file holds.
        out = Output()
        with paged(out, not ctx.obj.flags.no_pager):
            out.text(ctx.get_help() + "\n")
        ctx.exit()


class LazyGroup(Paged, click.Group):
    """A group that knows names and one-line help, and imports a verb on demand."""

    def __init__(self, *args: Any, sections: dict[str, dict[str, str]], package: str, **kw: Any):
        super().__init__(*args, **kw)
        self.sections = sections
        self.package = package
        self.table = {name: line for rows in sections.values() for name, line in rows.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module = import_module(f"{self.package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, self.table))
        for title, rows in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), line) for name, line in rows.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.table and not args[0].startswith("-"):
            raise click.UsageError(f"no such command: {args[0]}{self._guess(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def _guess(self, word: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(word, self.table, n=1)
        return f" (did you mean {near[0]}?)" if near else ""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        rows = self.table.items()
        names = [CompletionItem(n, help=line) for n, line in rows if n.startswith(incomplete)]
        own = click.Command.shell_complete(self, ctx, incomplete)
        return names + own + self.common_offers(incomplete)


class Verb(Paged):
    """A command that takes the options every verb has, hidden from its own help page."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        from elastik_cli.options import common_options

        own = {name for param in self.params for name in param.opts}
        self.params += [param for param in common_options() if not own & set(param.opts)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; what it would need and CoAP does not have is said by the verb's name."""
        try:
            return super().invoke(ctx)
        except NotOverCoap as error:
            verb = ctx.command_path.removeprefix("elastik").strip()
            raise Failure(f"{verb}: {error}", Exit.USAGE) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(
            "Every verb also takes --url, --context, --token-file, --timeout, --retry, "
            "--json, --color, -q and -v: see `elastik help options`."
        )


class VerbBeforeCommand(Verb):
    """A verb whose arguments end at the first `--`; the rest is another program's argv.

    click drops `--`, so the argv is split before click parses it: in
    `listen A -j 2 -- cmd -j 3 -- x` the child gets `-j 3 -- x` untouched.
    """

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- CMD ARG...]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, child = args, None
        if "--" in args:
            cut = args.index("--")
            own, child = args[:cut], args[cut + 1 :]
        ctx.meta["elastik.argv"] = child
        return super().parse_args(ctx, own)
