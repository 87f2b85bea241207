"""Runs the core's own property tests, in process, until ten million inputs were tried."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "core-bin" / "src"
# A property test between these lines of a source; proptest itself does not list them.
BLOCK = re.compile(r"^( *)proptest! \{\n(.*?)^\1\}", re.M | re.S)
NAME = re.compile(r"#\[test\]\s+fn (\w+)\(")
# One input takes microseconds in a parser and half a millisecond in the whole door.
WHOLE_DOOR = "http::raw::"
ROUND, DOOR_ROUND, HANG_SECONDS = 50_000, 20_000, 900


class Broken(AssertionError):
    """A property test failed or hung; its output is the message, and names the input."""


@dataclass
class Report:
    """What was tried: inputs, property tests, rounds of all of them, seconds."""

    executions: int
    properties: int
    rounds: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.executions} executions of {self.properties} properties in {self.rounds} "
            f"rounds and {self.seconds:.0f} s: no panic, no hang, no 500"
        )


def properties() -> list[str]:
    """The name of every property test of the core, as its test program knows it."""
    found = []
    for path in sorted(SOURCES.rglob("*.rs")):
        names = [n for block in BLOCK.finditer(path.read_text()) for n in NAME.findall(block[2])]
        module = "::".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix("::mod")
        inner = "" if "#[cfg(test)]\nmod tests {" not in path.read_text() else "::tests"
        found += [f"{module}{inner}::{name}" for name in names]
    return found


def build() -> Path:
    """The test program of the core's library, compiled with optimisation."""
    command = ["cargo", "test", "--release", "--locked", "--lib", "--no-run"]
    done = subprocess.run(
        [*command, "--message-format=json"],
        cwd=ROOT / "core-bin",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    messages = map(json.loads, done.stdout.splitlines())
    programs = [m["executable"] for m in messages if m.get("executable")]
    return Path(programs[0])


def known_to(program: Path) -> set[str]:
    done = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    return {line.removesuffix(": test") for line in done.stdout.splitlines()}


def run_round(program: Path, names: list[str], cases: int, seed: int, scratch: Path) -> int:
    """Try `cases` inputs on each of these properties; returns how many were tried."""
    settings = {"PROPTEST_CASES": str(cases), "PROPTEST_RNG_SEED": str(seed)}
    settings["TMPDIR"] = str(scratch)
    try:
        done = subprocess.run(
            [program, "--exact", *names],
            cwd=ROOT / "core-bin",
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as hang:
        raise Broken(f"seed {seed}: no end after {HANG_SECONDS} s:\n{hang.stdout}") from None
    passed = set(re.findall(r"^test (\S+) \.\.\. ok$", done.stdout, re.M))
    if done.returncode or passed != set(names):
        raise Broken(f"seed {seed}, {cases} cases:\n{done.stdout}")
    return cases * len(passed)


def run(
    _core: Path,
    scratch: Path,
    *,
    seed: int = 1,
    seconds: float = 0,
    cycles: int = 1,
    executions: int = 10_000_000,
    say: bool = False,
) -> Report:
    """Go on for this many executions, and at least so many rounds and seconds."""
    program, names = build(), properties()
    scratch.mkdir(parents=True, exist_ok=True)
    missing = set(names) - known_to(program)
    assert not missing, f"not in the test program: {missing}"
    groups = {
        ROUND: [n for n in names if not n.startswith(WHOLE_DOOR)],
        DOOR_ROUND: [n for n in names if n.startswith(WHOLE_DOOR)],
    }
    begun, tried, rounds = time.monotonic(), 0, 0
    while tried < executions or rounds < cycles or time.monotonic() - begun < seconds:
        for cases, group in groups.items():
            share = max(1, min(cases, executions * cases // (ROUND * len(names))))
            tried += run_round(program, group, share, seed + rounds, scratch)
        rounds += 1
        if say:
            print(f"{tried} executions, {time.monotonic() - begun:.0f} s", flush=True)
    return Report(tried, len(names), rounds, time.monotonic() - begun)
