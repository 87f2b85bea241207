"""Options that several verbs share, and the ones that every verb has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from elastik_cli.completion import CONTEXT
from elastik_cli.quantities import parse_duration

Decorator = Callable[[Any], Any]


class Duration(click.ParamType):
    """Seconds, written as 10s, 250ms or 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Put a common option into the session, wherever on the command line it stood."""
    if value is not None and ctx.obj is not None and param.name:
        setattr(ctx.obj.flags, param.name, value)


class Common(click.Option):
    """An option of every verb: left out of its help page, but not of its completion."""


def _common(*names: str, **settings: Any) -> click.Option:
    settings.setdefault("default", None)
    return Common(list(names), callback=_keep, expose_value=False, hidden=True, **settings)


def common_options() -> list[click.Option]:
    """Fresh copies of the options that may stand anywhere after `elastik`."""
    return [
        _common("--url", metavar="URL", help="Address of the server."),
        _common(
            "--context",
            metavar="NAME",
            type=CONTEXT,
            help="Use this context instead of the selected one.",
        ),
        _common("--no-context", is_flag=True, flag_value=True, help="Use no context at all."),
        _common(
            "--token-file",
            metavar="FILE",
            help="File with the token to send; - is standard input.",
        ),
        _common("--cafile", metavar="FILE", help="Certificates to trust for https."),
        _common(
            "--timeout",
            type=DURATION,
            metavar="TIME",
            help="Wait this long for a connection and each answer (30s).",
        ),
        _common(
            "--retry",
            type=click.IntRange(0),
            metavar="N",
            help="Try again so often when nothing answers (3).",
        ),
        _common("--json", is_flag=True, flag_value=True, help="Answer and complain in JSON Lines."),
        _common(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            help="Colour the answer (auto: on a terminal).",
        ),
        _common(
            "--no-pager",
            is_flag=True,
            flag_value=True,
            is_eager=True,
            help="Print a long diff or help without a pager.",
        ),
        _common("-q", "--quiet", is_flag=True, flag_value=True, help="Say only errors."),
        _common("-v", "--verbose", count=True, help="Say what is sent; -vv with headers."),
        _common("--debug", is_flag=True, flag_value=True, help="Show the traceback of an error."),
    ]


def moment(text: str) -> str:
    """An event number as it is, or a time in RFC 3339; one without offset is local.

    Raises:
        click.BadParameter: when `text` is neither.
    """
    from datetime import datetime, timezone

    if text.isdigit():
        return text
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except ValueError:
        raise click.BadParameter(f"neither an event number nor a time: {text!r}") from None
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def all_of(*decorators: Decorator) -> Decorator:
    """One decorator from several, listed in the order of the help page."""

    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


create_only = click.option("--create-only", is_flag=True, help="Only if nothing is there yet.")
if_match = click.option(
    "--if-match", metavar="ETAG", help="Only if this is still the current version."
)
preconditions = all_of(create_only, if_match)
at = click.option("--at", metavar="EVENT|TIME", help="A kept version: see `elastik log`.")
nul = click.option("-0", "--null", "nul", is_flag=True, help="End each path with NUL.")
recursive = click.option("-r", "--recursive", is_flag=True, help="Everything below the path.")
dry_run = click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; do nothing.")
jobs = click.option(
    "-j", "--jobs", type=click.IntRange(1, 64), default=4, metavar="N", help="So many at once (4)."
)
