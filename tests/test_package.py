"""The bundle: sdist and wheel hold what a stranger needs, and the hook says what is missing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling is a developer's tool: make build")


def build(tree: Path, kind: str, out: Path, **env: str) -> Path:
    """Build one distribution without network or isolation."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", out],
        cwd=tree,
        env=os.environ | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = [p for p in out.iterdir() if p.name.endswith(".whl" if kind == "wheel" else ".tar.gz")]
    assert len(made) == 1
    return made[0]


def unpack(sdist: Path, where: Path) -> Path:
    with tarfile.open(sdist) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(where, filter="data")
        else:
            tar.extractall(where)
    return where / sdist.name.removesuffix(".tar.gz")


@pytest.fixture
def from_sdist(checkout, tmp_path) -> Path:
    """The tree that a user of the sdist has: what is not packed is not there."""
    rubbish = checkout / "core-bin" / "target" / "release"
    rubbish.mkdir(parents=True)
    (rubbish / "elastik-core").write_text("an old build")
    return unpack(build(checkout, "sdist", tmp_path / "sdist"), tmp_path / "unpacked")


def test_the_sdist_can_build_the_core_and_holds_no_build(from_sdist, checkout):
    assert not (from_sdist / "core-bin" / "target").exists()
    for path in (checkout / "core-bin").rglob("*"):
        inside = path.relative_to(checkout)
        if path.is_file() and "target" not in inside.parts:
            assert (from_sdist / inside).read_bytes() == path.read_bytes()
    assert (from_sdist / "core-bin" / "Cargo.lock").exists()
    assert (from_sdist / "hatch_build.py").exists()


def test_a_wheel_from_the_sdist_installs_and_runs(from_sdist, core_binary, tmp_path):
    wheel = build(from_sdist, "wheel", tmp_path / "wheel", ELASTIK_CORE_BIN=str(core_binary))
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.getinfo("elastik/_bin/elastik-core")
        assert (packed.external_attr >> 16) & stat.S_IXUSR
        assert archive.read(packed) == core_binary.read_bytes()
        names = archive.namelist()
    assert {"elastik/py.typed", "elastik_cli/commands/get.py"} <= set(names)
    assert not [n for n in names if n.startswith(("tests/", "core-bin/", "dev/"))]
    shared = {n.partition(".data/data/")[2] for n in names if ".data/data/" in n}
    assert {"share/man/man1/elastik.1", "share/man/man1/elastik-get.1"} <= shared
    assert {
        "share/bash-completion/completions/elastik",
        "share/zsh/site-functions/_elastik",
        "share/fish/vendor_completions.d/elastik.fish",
    } <= shared

    home = tmp_path / "installed"
    venv.create(home, with_pip=True)
    pip = [home / "bin" / "python", "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*pip, wheel], check=True, cwd="/")
    # Only the SDK: it needs no dependency, and it finds and runs the core it came with.
    probe = "import elastik, sys; e = elastik.start(data_dir=sys.argv[1], key='k' * 32, port=0,"
    probe += " approve_token='a'); e.put('n', b'x'); print(e.get('n'), elastik.binary_info())"
    done = subprocess.run(
        [home / "bin" / "python", "-c", probe, tmp_path / "data"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("b'x'")
    assert str(home) in done.stdout


def test_a_wheel_without_a_core_is_for_every_platform(from_sdist, tmp_path):
    wheel = build(from_sdist, "wheel", tmp_path / "wheel", ELASTIK_CORE_BIN="skip")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [n for n in archive.namelist() if "_bin" in n]


def test_a_missing_cargo_says_what_to_do(from_sdist, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=from_sdist,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    for word in ("cargo", "rustup.rs", "ELASTIK_CORE_BIN=/path", "ELASTIK_CORE_BIN=skip"):
        assert word in done.stderr


@pytest.mark.soak
@pytest.mark.skipif(
    "ELASTIK_SOAK_SECONDS" not in os.environ, reason="compiles everything anew: make soak"
)
def test_a_wheel_from_the_sdist_compiles(from_sdist, tmp_path):
    target = tmp_path / "target"
    wheel = build(from_sdist, "wheel", tmp_path / "wheel", CARGO_TARGET_DIR=str(target))
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("elastik/_bin/elastik-core")
    assert packed == (target / "release" / "elastik-core").read_bytes()
