"""elastik doctor"""

import click

from elastik_cli import doctoring
from elastik_cli.exits import Exit, Quit
from elastik_cli.lazy import Verb
from elastik_cli.output import Shown
from elastik_cli.terminal import escape

COLOURS = {"ok": 32, "warn": 33, "fail": 31, "skip": 2}


@click.command("doctor", cls=Verb)
@click.pass_obj
def command(session):
    """Check the set-up, with evidence and what to do next.

    Reads only. Exits 1 when a check fails; a warning is no failure.

    \b
    Examples:
      elastik doctor
      elastik doctor --json | jq 'select(.state == "fail")'
    """
    out, failed = session.out, False
    for found in doctoring.examine(session):
        failed |= found["state"] == "fail"
        if out.json:
            out.record(found)
            continue
        state = out.style(f"{found['state']:<4}", COLOURS[found["state"]])
        out.line(state, _for_a_person(found) if out.human else _rest(found))
    if failed:
        raise Quit(Exit.NO)


def _for_a_person(found):
    then = f"\n{'':20}next: {found['next']}" if found["next"] else ""
    return Shown(f"  {found['check']:<14}{escape(found['evidence'])}{then}")


def _rest(found):
    then = f"\t(next: {found['next']})" if found["next"] else ""
    return f"\t{found['check']}\t{found['evidence']}{then}"
