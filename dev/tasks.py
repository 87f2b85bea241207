"""What is generated: written again, or checked. `typer dev/tasks.py run man --check`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "dev"), str(ROOT / "bench")]

app = typer.Typer(no_args_is_help=True, add_completion=False)
Check = Annotated[bool, typer.Option(help="Change nothing; fail when something is stale.")]


def settle(generator: str, check: bool, owned: str | None = None) -> None:
    """Bring the files of one generator up to date; those matching `owned` are all its own."""
    wanted = {ROOT / name: text for name, text in import_module(generator).render().items()}
    stale = [path for path, text in wanted.items() if not same(path, text)]
    extra = sorted(set(ROOT.glob(owned)) - set(wanted)) if owned else []
    for path in [*stale, *extra]:
        typer.echo(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    if check and (stale or extra):
        typer.echo("hint: make docs", err=True)
        raise typer.Exit(1)
    for path in extra:
        path.unlink()
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path])


def same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


@app.command()
def man(check: Check = False) -> None:
    """The manual pages in man/, from the command's own help."""
    settle("manpages", check, owned="man/*.1")


@app.command()
def docs(check: Check = False) -> None:
    """The reference of the command in docs/, from its own help."""
    settle("clidocs", check)


@app.command()
def completions(check: Check = False) -> None:
    """The shell completions in completions/."""
    settle("completions", check, owned="completions/*")


@app.command()
def bench(check: Check = False) -> None:
    """Measure durable writes beside the published core; --check fails below the goal."""
    code = import_module("durable_put").main([])
    raise typer.Exit(code if check else 0)


if __name__ == "__main__":
    app()
