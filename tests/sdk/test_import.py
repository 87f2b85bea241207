"""`import elastik`: what it loads, what it exports, when it reads `.env`."""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import elastik

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *, cwd: Path, **env: str) -> str:
    """What a fresh interpreter prints for this code."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=clean | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_but_itself(tmp_path):
    code = (
        "import sys; before = set(sys.modules); import elastik; print(*set(sys.modules) - before)"
    )
    assert python(code, cwd=tmp_path).split() == ["elastik"]


def test_no_third_party_module_is_ever_imported(tmp_path):
    # Beside the optional asyncio client every module of the SDK must load on a bare Python.
    code = (
        "import sys, pkgutil, importlib, elastik\n"
        "for m in pkgutil.iter_modules(elastik.__path__):\n"
        "    if m.name not in ('__main__', 'aio', '_fixtures'):\n"
        "        importlib.import_module('elastik.' + m.name)\n"
        "roots = {m.split('.')[0] for m in sys.modules}\n"
        "print(*sorted(roots - set(sys.stdlib_module_names) - {'elastik', '__main__'}))"
    )
    found = set(python(code, cwd=tmp_path).split())
    bare = set(
        python("import sys; print(*{m.split('.')[0] for m in sys.modules})", cwd=tmp_path).split()
    )
    assert found <= bare


@pytest.mark.parametrize("public", [n for n in elastik.__all__ if n != "__version__"])
def test_every_public_name_resolves_and_is_documented(public):
    value = getattr(elastik, public)
    assert value is getattr(elastik, public)
    if public not in ("DebugHook", "WorldMeta"):
        assert inspect.getdoc(value), public


def test_names_for_the_type_checker_are_those_of_the_run_time():
    tree = ast.parse((ROOT / "elastik" / "__init__.py").read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    typed = {a.asname for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert typed == set(elastik.__all__) - {"__version__"}


def test_no_submodule_shadows_a_public_name():
    modules = {module.name for module in pkgutil.iter_modules(elastik.__path__)}
    assert not modules & set(elastik.__all__)


def test_every_name_of_the_published_package_is_here(published):
    code = "import elastik; print(*elastik.__all__)"
    theirs = subprocess.run(
        [published.python, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    assert len(theirs) > 70
    assert set(theirs) <= set(elastik.__all__)


# -- .env ------------------------------------------------------------------------------------------

SHOW = "import os, elastik; print(os.environ.get('ELASTIK_URL', '-'))"


@pytest.fixture
def place(tmp_path):
    (tmp_path / ".env").write_text(
        "# comment\nELASTIK_URL = 'http://from.file:1'\nexport X=1\nQUOTED=\"a b\"\nBROKEN\n=x\n"
    )
    return tmp_path


def test_dotenv_fills_what_is_missing(place):
    assert python(SHOW, cwd=place) == "http://from.file:1"
    assert python("import os, elastik; print(os.environ['QUOTED'])", cwd=place) == "a b"
    assert python(SHOW, cwd=place, ELASTIK_URL="http://mine") == "http://mine"


def test_dotenv_can_be_switched_off(place):
    assert python(SHOW, cwd=place, ELASTIK_NO_DOTENV="1") == "-"
    later = "import os, elastik; elastik.load_dotenv(); print(os.environ['ELASTIK_URL'])"
    assert python(later, cwd=place, ELASTIK_NO_DOTENV="1") == "http://from.file:1"


def test_the_command_does_not_read_it(place):
    assert python("import elastik_cli.main\n" + SHOW, cwd=place) == "-"
    probe = (
        "import sys, runpy; sys.argv = ['-m']; sys.orig_argv = ['python', '-m', 'elastik', 'get']\n"
        + SHOW
    )
    assert python(probe, cwd=place) == "-"


def test_another_program_started_by_minus_m_does_read_it(place):
    (place / "mine.py").write_text(SHOW)
    done = subprocess.run(
        [sys.executable, "-m", "mine"],
        cwd=place,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "http://from.file:1", done.stderr


def test_the_old_token_name_warns(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("ELASTIK_TOKEN=old\n")
    monkeypatch.setenv("ELASTIK_TOKEN", "")
    monkeypatch.delenv("ELASTIK_TOKEN")
    with pytest.warns(UserWarning, match="ELASTIK_TOKEN is deprecated"):
        elastik.load_dotenv(tmp_path / ".env")
    with pytest.warns(UserWarning, match="ELASTIK_TOKEN is deprecated"):
        assert elastik.Elastik("http://x").bearer_token == "old"
    monkeypatch.delenv("ELASTIK_TOKEN")


def test_no_dotenv_is_no_error(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        elastik.load_dotenv(tmp_path / "none")


# -- the module's own client -----------------------------------------------------------------------


def test_module_functions_need_a_server_that_was_named(monkeypatch):
    with pytest.raises(RuntimeError, match="no default elastik client"):
        elastik.get("note")
    monkeypatch.setenv("ELASTIK_URL", "http://127.0.0.1:1")
    with pytest.raises(elastik.Unreachable):
        elastik.get("note")


def test_show_config_masks_secrets(monkeypatch, capsys):
    monkeypatch.setenv("ELASTIK_KEY", "0123456789secret0123456789abcdef")
    monkeypatch.setenv("ELASTIK_WRITE_TOKEN", "short")
    elastik.show_config()
    said = capsys.readouterr().out
    assert "0123...cdef" in said
    assert "secret" not in said
    assert "short" not in said


def test_importing_is_much_cheaper_than_the_published_package(published, tmp_path):
    def once(path: object) -> float:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-S", "-c", "import sys; sys.path += sys.argv[1:]; import elastik",
             str(path)],
            cwd=tmp_path, check=True,
        )  # fmt: skip
        return time.perf_counter() - began

    # The same interpreter for both, in turns, so that only the packages differ; whatever else the
    # machine does can only add, so more turns come nearer to the truth.
    theirs = ours = float("inf")
    for turn in range(40):
        theirs = min(theirs, once(published.binary.parents[2]))
        ours = min(ours, once(ROOT))
        if turn >= 6 and ours <= 0.6 * theirs:
            return
    raise AssertionError((ours, theirs))
