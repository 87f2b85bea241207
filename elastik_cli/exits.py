"""Exit codes: one table of numbers, and which error leads to which."""

from __future__ import annotations

from enum import IntEnum

import click

from elastik import errors


class Exit(IntEnum):
    """What the command's exit code means. Part of the interface: see docs/exit-codes.md."""

    OK = 0
    NO = 1
    USAGE = 2
    FAILED = 3
    NOT_FOUND = 4
    DENIED = 5
    CONFLICT = 6
    UNREACHABLE = 7
    PARTIAL = 8
    TIMED_OUT = 9
    BUG = 70
    NOT_RUNNABLE = 126
    NO_COMMAND = 127


MEANING = {
    Exit.OK: ("ok", "It worked."),
    Exit.NO: ("no", "The answer is no: diff found differences, verify found damage."),
    Exit.USAGE: ("usage", "The command line makes no sense."),
    Exit.FAILED: ("failed", "Anything that has no code of its own."),
    Exit.NOT_FOUND: ("not-found", "Nothing is stored at that path."),
    Exit.DENIED: ("denied", "No token, a wrong one, or one that is too weak."),
    Exit.CONFLICT: ("conflict", "A precondition did not hold: somebody else wrote first."),
    Exit.UNREACHABLE: ("unreachable", "No connection, or one that broke; trying again may help."),
    Exit.PARTIAL: ("partial", "Some of many items failed; the others are done."),
    Exit.TIMED_OUT: ("timeout", "The time given by --timeout ran out."),
    Exit.BUG: ("bug", "A bug in elastik."),
    Exit.NOT_RUNNABLE: ("not-runnable", "The command given to listen may not be run."),
    Exit.NO_COMMAND: ("no-command", "The command given to listen was not found."),
}

# The first line that fits wins, so the special stands above the general.
BY_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.BadPath, Exit.USAGE),
    (errors.NotOverCoap, Exit.USAGE),
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.Forbidden, Exit.DENIED),
    (errors.Unauthorized, Exit.DENIED),
    (errors.PreconditionFailed, Exit.CONFLICT),
    (errors.Conflict, Exit.CONFLICT),
    (TimeoutError, Exit.TIMED_OUT),  # errors.TimedOut is one, and costs nothing to name so
    (errors.NoAnswer, Exit.UNREACHABLE),
    (errors.Corrupt, Exit.NO),
    (errors.ElastikError, Exit.FAILED),
    (OSError, Exit.FAILED),
)


class Failure(click.ClickException):
    """A failure the command itself found: a message, a code and perhaps what to do next."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED, hint: str = "") -> None:
        super().__init__(message)
        self.code = exit_code
        self.hint = hint


class Quit(click.exceptions.Exit):
    """The answer has been given; end with this code and say no more."""


class SignalDeath(Exception):
    """Everything is in order; the process now ends as signal `number` ends one."""

    def __init__(self, number: int) -> None:
        self.number = number


def exit_for(error: BaseException) -> Exit:
    """The exit code that `error` leads to; an unknown one is a bug of ours."""
    if isinstance(error, Failure):
        return error.code
    if isinstance(error, click.ClickException):
        return Exit(error.exit_code)
    return next((code for kind, code in BY_ERROR if isinstance(error, kind)), Exit.BUG)
