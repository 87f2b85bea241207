"""docs/sensors.md: its commands exist, its sketch sends a frame that our decoder takes."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import click
import pytest

from elastik.coap import messages
from elastik_cli.main import elastik
from elastik_cli.serialio.plans import KEYS
from elastik_cli.serialio.slipmux import Decoder

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sensors.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for kind, block in BLOCKS
        if kind == "sh"
        for line in block.splitlines()
        if line.startswith("elastik ")
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line: str):
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&>")
    lexer.whitespace_split = True
    words = list(itertools.takewhile(lambda word: not set(word) <= set("|&>"), lexer))[1:]
    command: click.Command = elastik
    context = click.Context(elastik)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, line
        command, words = found, words[1:]
    command.make_context("elastik", words, parent=None, obj=None)


def test_the_keys_of_a_table_are_all_named():
    named = re.search(r"Keys of a table: `([^`]*)`", PAGE)[1].split()
    assert named == list(KEYS)


def test_the_serial_verbs_are_files():
    from elastik_cli.commands.serial import SECTIONS

    names = [name for rows in SECTIONS.values() for name in rows]
    for name in names:
        module = import_module(f"elastik_cli.commands.serialverbs.{name}")
        assert module.command.name == name


@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")
def test_the_sketch_sends_what_the_bridge_takes(tmp_path: Path):
    sketch = next(block for kind, block in BLOCKS if kind == "cpp" and "fcs" in block)
    around = f"""
        #include <cstdint>
        #include <cstdio>
        #include <cstring>
        struct {{ void begin(long) {{}} void write(uint8_t b) {{ putchar(b); }} }} Serial;
        enum {{ A0 }};
        int analogRead(int) {{ return 0xDBC0; }}
        double readCelsius() {{ return 21.5; }}
        void dtostrf(double v, int, int n, char *out) {{ sprintf(out, "%.*f", n, v); }}
        void delay(int) {{}}
        {sketch}
        int main() {{ setup(); loop(); loop(); }}
    """
    (tmp_path / "sketch.cpp").write_text(around)
    subprocess.run(["c++", "-o", tmp_path / "sketch", tmp_path / "sketch.cpp"], check=True)
    sent = subprocess.run([tmp_path / "sketch"], capture_output=True, check=True).stdout
    frames = Decoder().feed(sent)
    assert [frame.kind for frame in frames] == ["coap", "coap"]
    first, second = (messages.decode(frame.data) for frame in frames)
    assert (first.mid, second.mid) == (0xDBC0, 0xDBC1)
    assert (first.type, first.code, first.payload) == (0, 3, b"21.50")
    assert messages.path_of(first) == [b"temp"]
    assert messages.media_type(first) == "text/plain; charset=utf-8"
