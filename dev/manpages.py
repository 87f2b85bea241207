"""Manual pages from the command's own help: click to roff, checked by groff and for freshness."""

from __future__ import annotations

import click
from reference import Page, pages

from elastik import __version__
from elastik_cli import topics
from elastik_cli.main import elastik

DATE = "2026-11-21"  # of the release; today's date would make every page stale tomorrow
FILES = {
    "config.toml in the user's config directory": "contexts and defaults (see ELASTIK_CONFIG)",
    "listen/NAME.json in the user's state directory": "what listen --state NAME has done",
    ".env in the current directory": "variables the environment lacks (for run)",
}


def escape(text: str) -> str:
    """`text` as roff shows it: no escapes, no requests, hyphens that can be copied."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("^", "\\(ha").replace("~", "\\(ti")
    safe = safe.replace("`", "\\(ga").replace('"', "\\(dq")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in safe.split("\n"))


def section(title: str, body: str) -> str:
    return f".SH {escape(title)}\n{body}" if body else ""


def paragraphs(blocks: list[str]) -> str:
    return "".join(f".PP\n{escape(block)}\n" for block in blocks)


def listed(rows: list[tuple[str, str]]) -> str:
    return "".join(f".TP\n\\fB{escape(head)}\\fR\n{escape(text)}\n" for head, text in rows)


def literal(text: str) -> str:
    return f".PP\n.nf\n{escape(text.rstrip())}\n.fi\n" if text else ""


def heading(name: str) -> str:
    return f'.TH "{escape(name.upper())}" "1" "{DATE}" "elastik {__version__}" "Elastik"\n'


def exit_status() -> str:
    from elastik_cli.exits import MEANING

    return listed([(str(int(code)), text) for code, (_, text) in MEANING.items()])


def verb_page(page: Page) -> str:
    """The manual page of one verb, with the actions of a family."""
    name = page.name.replace(" ", "-")
    body = heading(name)
    body += section("NAME", f"{escape(name)} \\- {escape(page.line.rstrip('.').lower())}\n")
    body += section("SYNOPSIS", f".B {escape(page.usage)}\n")
    body += section("DESCRIPTION", paragraphs([page.line, *page.prose]))
    body += section("OPTIONS", listed(page.options))
    for action in page.actions:
        body += section(action.name.upper(), f".B {escape(action.usage)}\n")
        body += paragraphs([action.line, *action.prose]) + listed(action.options)
        body += literal(action.examples)
    body += section("EXAMPLES", literal(page.examples))
    body += section("EXIT STATUS", exit_status())
    body += section("ENVIRONMENT", listed(list(topics.ENVIRONMENT.items())))
    body += section("FILES", listed(list(FILES.items())))
    return body + section("SEE ALSO", ".BR elastik (1)\n")


def main_page() -> str:
    """elastik(1): every verb, what all of them share, and the topics."""
    ctx = click.Context(elastik, info_name="elastik")
    body = heading("elastik")
    body += section("NAME", "elastik \\- one disk on every wire\n")
    body += section(
        "SYNOPSIS", ".B elastik \\fR[\\fIOPTION\\fR...] \\fIVERB\\fR [\\fIARG\\fR...]\n"
    )
    body += section("DESCRIPTION", paragraphs([(elastik.help or "").strip()]))
    for title, rows in elastik.sections.items():
        table = [(f"elastik-{verb}(1)", line) for verb, line in rows.items()]
        body += section(title.upper(), listed(table))
    shared = [(head, text) for head, text in Page.of(elastik, ctx).options]
    body += section("OPTIONS", listed(shared))
    for topic in ("paths", "config"):
        title, _, text = topics.text(topic).partition("\n")
        body += section(title, literal(text.strip("\n")))
    body += section("EXIT STATUS", exit_status())
    body += section("ENVIRONMENT", listed(list(topics.ENVIRONMENT.items())))
    body += section("FILES", listed(list(FILES.items())))
    verbs = [f".BR elastik\\-{escape(verb)} (1)" for verb in elastik.table]
    return body + section("SEE ALSO", ",\n".join(verbs) + "\n")


def render() -> dict[str, str]:
    """Each page's path and text."""
    found = {"man/elastik.1": main_page()}
    for page in pages():
        found[f"man/{page.name.replace(' ', '-')}.1"] = verb_page(page)
    return found
