"""Help: the table and the verbs agree, and every example in it works as typed."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import time

import click
import pytest

from commandline import talking_to
from elastik_cli.main import SECTIONS, elastik
from elastik_cli.topics import TOPICS
from old_layout import golden
from realcore import free_port

VERBS = [name for rows in SECTIONS.values() for name in rows]
# These need a board or a port of their own; their own tests run them.
ELSEWHERE = {"coap", "serial"}
# These go on until they are stopped, or need what this machine may lack.
WAITING = re.compile(r"^elastik (run|listen|init && elastik run|top$)")


def command_of(verb: str) -> click.Command:
    found = elastik.get_command(click.Context(elastik), verb)
    assert found is not None
    return found


def examples_of(verb: str) -> list[str]:
    text = (command_of(verb).help or "").partition("Examples:")[2]
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_and_the_verb_say_the_same(verb):
    assert command_of(verb).help.strip().splitlines()[0] == elastik.table[verb]
    assert elastik.table[verb].endswith(".")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_two_examples_that_name_it(verb):
    named = [line for line in examples_of(verb) if f"elastik {verb}" in line]
    if verb == "serial" or (verb == "coap" and not named):
        pytest.skip("a family of verbs: its members carry the examples")
    assert len(named) >= 2


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_fits_a_terminal(bare, topic):
    lines = bare.ok("help", topic).decode().splitlines()
    assert max(map(len, lines)) <= 100


def test_help_of_a_verb_is_its_own(bare):
    assert bare.ok("help", "get") == bare.ok("get", "--help")
    assert bare("help", "nonsense").code == 2


EXAMPLES = [(v, line) for v in VERBS if v not in ELSEWHERE for line in examples_of(v)]


@pytest.fixture
def prepared(start_core, tmp_path, core_binary):
    """A server and files of the names that the examples use."""
    core = start_core(tmp_path / "store", env={"ELASTIK_HISTORY": "home/*=5"})
    home = tmp_path / "home"
    (home / "site").mkdir(parents=True)
    (home / "data" / "home%2Fnote").mkdir(parents=True)
    (home / ".local/share/bash-completion/completions").mkdir(parents=True)
    for name in ("index.html", "site/index.html", "config.json"):
        (home / name).write_text('{"port": 80}')
    (home / "key").write_text("0123456789abcdef0123456789abcdef")
    (home / "key").chmod(0o600)
    for name in ("worker", "load"):
        (home / name).write_text("#!/bin/sh\ncat\n")
        (home / name).chmod(0o755)
    for path in (
        "note", "note-yesterday", "config.json", "backup.tar", "site/index.html", "draft",
        "inbox/1", "old/1", "sensor/temp", "order/1", "log",
    ):  # fmt: skip
        core.put(f"/home/{path}", b'{"port": 80}')
    core.put("/home/config.json", b'{"port": 443}')
    core.put("/home/config.json", b'{"port": 8080}')
    core.put("/home/sensor/temp/log", b"20.5\n21.5\n")
    core.put("/home/readings", b'{"temp": {"celsius": 21}}\n')
    program = talking_to(core, home).with_env(
        ELASTIK_CORE=str(core_binary), EDITOR="true", VISUAL="true", SHELL="/bin/bash"
    )
    binary = tmp_path / "bin"
    binary.mkdir()
    for name, words in (("elastik", program.argv), ("code", ("true",)), ("jq", ("cat",))):
        (binary / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (binary / name).chmod(0o755)
    (binary / "jq").write_text("#!/bin/sh\nexec cat\n")
    return program.with_env(PATH=f"{binary}:{program.env['PATH']}", HOME=str(home))


@pytest.fixture
def at_rest(prepared, start_core, core_binary):
    """The same with a store that no server has open, a copy, anchors, keys and an old layout."""
    home = prepared.home
    shutil.rmtree(home / "data")
    core = start_core(home / "data")
    core.put("/home/note", b"hello")
    core.stop()
    shutil.copytree(home / "data", home / "backup")
    golden(home / "8.3-data")
    (home / "key-2027").write_text("f" * 32)
    (home / "key-2027").chmod(0o600)
    offline = prepared.with_env(ELASTIK_KEY_FILE="key")
    (home / "anchors").write_bytes(offline.ok("anchor"))
    return offline


@pytest.mark.parametrize(("verb", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_works_as_typed(prepared, verb, line, request):
    if verb in ("data", "key", "anchor", "verify"):
        prepared = request.getfixturevalue("at_rest")
    if line == "elastik diff note --to-context lab":
        pytest.skip("the other server's token is not set here; test_diff does it")
    if "elastik run" in line:  # the port of the example may be taken here
        prepared = prepared.with_env(ELASTIK_PORT=str(free_port()))
    line = line.replace("/srv/elastik", str(prepared.home / "data")).replace("30s", "8s")
    process = subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=prepared.env,
        cwd=prepared.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    if WAITING.match(line) and "--now" not in line and "--once" not in line:
        time.sleep(1.5)
        assert process.poll() is None, process.communicate()
        subprocess.run(["pkill", "-INT", "-s", str(process.pid)], check=True)
        process.wait(20)
        assert process.returncode in (0, 130, -signal.SIGINT), process.communicate()
        return
    for path in ("inbox", "sensor/temp") if "--once" in line or "--live" in line else ():
        time.sleep(1.0)
        prepared.ok("put", path, "--text", "21")
    _, err = process.communicate(timeout=60)
    # diff and doctor may answer no; a directory of 8.x may hold worlds that are set aside.
    expected = {"diff": (0, 1), "doctor": (0, 1), "data": (0, 8)}.get(verb, (0,))
    assert process.returncode in expected, err.decode()
