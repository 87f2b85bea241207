"""The documents can be typed as they stand: their commands exist and print what is shown."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "docs" / "install.md", ROOT / "docs" / "index.md"]
BIN = Path(sys.executable).parent


def shown_commands() -> list[tuple[str, str]]:
    """Every `$ elastik …` of a console block, without what follows it in a pipe."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.S):
            for line in re.findall(r"^\$ (.*)$", block, re.M):
                for part in re.split(r" && | \| ", line.split("  #")[0]):
                    if part.startswith("elastik "):
                        found.append((page.name, part.strip()))
    return found


def test_the_test_sees_commands():
    assert ("README.md", "elastik get note") in shown_commands()


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_in_the_documents_exists(page, line):
    words = shlex.split(line)[1:]
    words = words[: words.index("--")] if "--" in words else words
    options = {word for word in words[1:] if word.startswith("-")}
    done = subprocess.run(
        [sys.executable, "-m", "elastik", words[0], "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not {option for option in options if option not in done.stdout}


def test_the_first_session_prints_what_the_readme_shows(core, tmp_path):
    session = re.search(r"(\$ echo hello .*?\nhello\n)", (ROOT / "README.md").read_text(), re.S)[1]
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "ELASTIK_URL": core.url,
        "ELASTIK_WRITE_TOKEN": core.write,
        "ELASTIK_READ_TOKEN": core.read,
    }
    typed = [line[2:] for line in session.splitlines() if line.startswith("$ ")]
    expected = [line for line in session.splitlines() if not line.startswith("$ ")]
    printed = ""
    for line in typed:
        done = subprocess.run(["sh", "-c", line], env=env, cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        printed += done.stdout.decode()
    assert printed.splitlines() == expected


def test_the_python_example_of_the_readme_runs(core, tmp_path):
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    # The loop has no end of its own; one event is enough.
    code = example.replace("for event in", "import threading\nfor event in", 1) + "    break\n"
    code = code.replace(
        "import threading\n",
        "import threading\nthreading.Timer(0.5, e.put, ['sensor/temp', '22']).start()\n",
    )
    env = os.environ | {"ELASTIK_URL": core.url, "ELASTIK_APPROVE_TOKEN": core.approve}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "/home/sensor/temp 22\n"
