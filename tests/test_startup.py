"""Start-up: what the command imports before it knows which verb it runs (causes, not clocks)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Each of these costs as much as the whole start, or drags in something that does.
HEAVY = {"rich", "aiocoap", "serial", "asyncio", "http.client", "platformdirs", "typer", "ssl"}
VERBS = sorted(p.stem for p in (ROOT / "elastik_cli" / "commands").glob("[a-z]*.py"))


# -X importtime would not do: it does not see importlib.import_module, by which verbs are loaded.
PROBE = """
import sys
from elastik_cli.main import main
try:
    code = main(sys.argv[1:])
finally:
    sys.stderr.write("\\nimported: " + " ".join(sys.modules))
sys.exit(code)
"""


def imported(*arguments: str, expect: int = 0) -> set[str]:
    """The modules that one run of the real program imports."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT / "tests",
    )
    assert done.returncode == expect, done.stderr
    return set(done.stderr.rpartition("\nimported: ")[2].split())


def heavy(modules: set[str]) -> set[str]:
    return {m for m in modules if m in HEAVY or m.split(".")[0] in HEAVY}


def test_the_test_sees_imports():
    assert {"click", "elastik_cli.main", "elastik_cli.lazy"} <= imported("--version")


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_imports_no_verb_and_nothing_heavy(flag):
    modules = imported(flag)
    assert not heavy(modules)
    assert not {m for m in modules if m.startswith("elastik_cli.commands.")}
    assert "elastik.client" not in modules


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_imports_only_that_verb(verb):
    modules = imported(verb.replace("_", "-"), "--help")
    assert not heavy(modules)
    assert {m for m in modules if m.startswith("elastik_cli.commands.")} == {
        f"elastik_cli.commands.{verb}"
    }


# What a plain request needs none of; each was once imported by some detour.
DETOURS = {
    "rich", "asyncio", "aiocoap", "serial", "hashlib", "tempfile", "platformdirs", "stringprep",
    "concurrent", "tomllib", "subprocess", "elastik_cli.trees", "elastik_cli.workers",
}  # fmt: skip


LINES = ["get start", "head start", "ls", "put start --text x", "post start --text x", "rm start"]


@pytest.mark.parametrize("line", LINES)
def test_a_plain_request_imports_only_what_it_needs(line, shared_core, tmp_path):
    shared_core.put("/home/start", b"x")
    token = tmp_path / "token"
    token.write_text(shared_core.approve)
    token.chmod(0o600)
    server = ("--no-context", "--url", shared_core.url, "--token-file", str(token))
    modules = imported(*server, *line.split())
    assert "http.client" in modules
    assert not {m for m in modules if m in DETOURS or m.split(".")[0] in DETOURS}


def test_a_refused_connection_imports_no_event_loop():
    # Port 9 (discard) refuses at once where nothing listens.
    modules = imported("--no-context", "--url", "http://127.0.0.1:9", "get", "note", expect=7)
    assert not {m for m in modules if m.split(".")[0] in {"rich", "asyncio", "aiocoap", "serial"}}
