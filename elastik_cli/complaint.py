"""Say what went wrong: one line, perhaps a hint, or one JSON object; always on stderr."""

from __future__ import annotations

import sys
from typing import Any

import click

from elastik.errors import ElastikError, NoAnswer, Unauthorized
from elastik_cli.exits import MEANING, Exit, Failure, exit_for
from elastik_cli.session import Session
from elastik_cli.terminal import escape, is_terminal


def complain(error: BaseException, session: Session, as_json: bool) -> Exit:
    """Print `error` for a person or, `as_json`, for a machine; its exit code."""
    code = exit_for(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        sys.stderr.write(f"{error.message}\n")  # a help page is no message of one line
        return code
    message, hint = describe(error, session)
    if as_json:
        import json

        record = {"error": MEANING[code][0], "exit": int(code)}
        record |= {k: v for k in ("status", "method", "path") if (v := getattr(error, k, None))}
        text = json.dumps(record | {"message": message}, ensure_ascii=False)
    else:
        text = f"elastik: {message}" + (f"\nhint: {hint}" if hint else "")
        if is_terminal(sys.stderr):
            text = "\n".join(map(escape, text.split("\n")))
    sys.stderr.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    return code


def describe(error: BaseException, session: Session) -> tuple[str, str]:
    """What was tried and what came back, and what to try next (perhaps empty)."""
    if isinstance(error, Failure):
        return error.message, error.hint
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return _lowered(error.format_message()), ""
    if isinstance(error, Unauthorized):
        return _answer(error), _why_denied(session)
    if isinstance(error, NoAnswer):
        return _no_answer(error, session), "is the server running? try: elastik doctor"
    if isinstance(error, ElastikError):
        return _answer(error), _what_next(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", ""
    return f"{type(error).__name__}: {error} (this is a bug in elastik)", "see it with --debug"


def _usage(error: click.UsageError) -> tuple[str, str]:
    path = error.ctx.command_path if error.ctx else "elastik"
    verb = path.removeprefix("elastik").strip()
    message = _lowered(error.format_message())
    return f"{verb}: {message}" if verb else message, f"{path} --help"


def _lowered(text: str) -> str:
    """click's sentences in the form of this command's lines."""
    text = " ".join(text.split()).removesuffix(".")
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _where(error: ElastikError) -> str:
    if not error.method:
        return f"{error.path}: " if error.path else ""
    return f"{error.method} /{error.path.lstrip('/')}: "


def _answer(error: ElastikError) -> str:
    from http import HTTPStatus

    where = _where(error)
    if not error.status or not (error.method or error.path):
        return f"{where}{error}"
    try:
        phrase = f"{error.status} {HTTPStatus(error.status).phrase}"
    except ValueError:
        phrase = str(error.status)
    lines = error.body.decode("utf-8", "replace").strip().splitlines()
    return f"{where}{phrase}" + (f" ({lines[0][:200]})" if lines else "")


def _no_answer(error: NoAnswer, session: Session) -> str:
    reason: Any = getattr(error, "reason", None) or error
    reason = getattr(reason, "strerror", None) or reason
    return f"{_where(error)}no answer from {session.server.url}: {_lowered(str(reason))}"


def _what_next(error: ElastikError) -> str:
    if error.status == 404 and error.method == "POST":
        return "elastik post --create makes it"
    if error.status == 404 and b"no such version" in error.body:
        return (
            "elastik log shows what is kept: the server keeps versions as its ELASTIK_HISTORY says"
        )
    return ""


def _why_denied(session: Session) -> str:
    server = session.server
    if server.kept_back and not server.tokens:
        return f"a token was not sent: {server.kept_back[0]}, not to {server.url}"
    secret = server.token_for(session.need)
    if secret is None:
        return "no token is set; see: elastik help config"
    return f"the token sent came from {secret.origin}"
