"""What a release promises: the glibc of its wheels, and files that name each other rightly."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreign import needed
from test_package import build

pytest.importorskip("hatchling", reason="hatchling is a developer's tool: make build")
ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("glibc", ROOT / "dev" / "glibc.py")
glibc = importlib.util.module_from_spec(spec)
spec.loader.exec_module(glibc)

HEAD = b"\x7fELF\x02\x01" + bytes(58)


def test_the_newest_glibc_is_what_binutils_say(core_binary):
    told = subprocess.run(
        [needed("objdump", package="binutils"), "-T", core_binary], capture_output=True, text=True
    ).stdout
    theirs = {(int(a), int(b)) for a, b in re.findall(r"GLIBC_(\d+)\.(\d+)", told)}
    assert theirs, "a core without glibc here?"
    assert glibc.newest(core_binary.read_bytes()) == max(theirs)


def test_a_static_core_needs_none(tmp_path):
    (tmp_path / "x.c").write_text("int main(void) { return 0; }")
    words = [needed("cc", package="gcc"), "-static", "-o", "x", "x.c"]
    subprocess.run(words, cwd=tmp_path, check=True)
    assert glibc.newest((tmp_path / "x").read_bytes()) is None


@given(st.binary() | st.binary().map(lambda rest: HEAD + rest))
def test_any_bytes_are_read_or_refused(binary):
    try:
        glibc.needed(binary)
    except ValueError:
        pass


def test_a_damaged_core_is_read_or_refused(core_binary):
    whole = core_binary.read_bytes()
    for cut in (100, len(whole) // 2, len(whole) - 100):
        with pytest.raises(ValueError, match="broken"):
            glibc.needed(whole[:cut])


@pytest.mark.parametrize(
    ("platform", "promised"),
    [
        ("manylinux_2_17_x86_64", (2, 17)),
        ("manylinux_2_28_aarch64", (2, 28)),
        ("linux_x86_64", None),
        ("macosx_11_0_arm64", None),
    ],
)
def test_what_a_tag_promises(platform, promised):
    assert glibc.promise_of(platform) == promised


def test_a_wheel_that_promises_too_much_is_not_built(checkout, core_binary, tmp_path):
    major, minor = glibc.newest(core_binary.read_bytes())
    core = {"ELASTIK_CORE_BIN": str(core_binary)}
    kept = f"manylinux_{major}_{minor}_x86_64"
    assert kept in build(checkout, "wheel", tmp_path, **core, ELASTIK_WHEEL_PLATFORM=kept).name
    broken = f"manylinux_{major}_{minor - 1}_x86_64"
    with pytest.raises(AssertionError) as refused:
        build(checkout, "wheel", tmp_path / "no", **core, ELASTIK_WHEEL_PLATFORM=broken)
    assert f"asks for glibc {major}.{minor}" in str(refused.value)
    assert f"gnu.{major}.{minor - 1}" in str(refused.value)


def test_the_workflow_builds_what_is_promised():
    text = (ROOT / ".github/workflows/release.yml").read_text()
    glibc_promised = ".".join(map(str, glibc.PROMISED))
    assert f"-unknown-linux-gnu.{glibc_promised}" in text
    assert f"manylinux_{glibc_promised.replace('.', '_')}_$MACHINE" in text
    # Somebody else's action is run by the hash of what was read, not by a name that can move.
    actions = re.findall(r"uses: (\S+)", text)
    assert len(actions) > 10
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in actions)
    pinned = (ROOT / "constraints.txt").read_text()
    for tool in ("ziglang", "cargo-zigbuild", "hatchling"):
        assert f"\n{tool}==" in pinned
    for script in re.findall(r"python (dev/\S+)", text):
        assert (ROOT / script).exists()


def test_one_rust_for_all():
    rust = re.search(r'rust-version = "([\d.]+)"', (ROOT / "core-bin/Cargo.toml").read_text())[1]
    assert f"FROM rust:{rust}-alpine" in (ROOT / "Dockerfile").read_text()
    workflow = (ROOT / ".github/workflows/release.yml").read_text()
    assert set(re.findall(r"rustup default (\S+)", workflow)) == {rust}


def test_the_image_gets_all_that_the_core_is_made_of(tmp_path):
    """What .dockerignore lets through is a crate that cargo takes, with every included file."""
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")
    ]
    for name in allowed:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, target)
    words = ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"]
    done = subprocess.run(words, cwd=tmp_path / "core-bin", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for source in (tmp_path / "core-bin" / "src").rglob("*.rs"):
        for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
            assert (source.parent / name).exists(), (source, name)


def test_the_image_runs_as_nobody_and_is_asked_how_it_is(shared_core):
    text = (ROOT / "Dockerfile").read_text()
    final = text[text.rindex("FROM ") :]
    user = re.search(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert user and int(user[1]) > 0
    asked = re.search(r"http://127\.0\.0\.1:3105(/\S+?)\"", final)[1]
    assert shared_core.request("GET", asked).status == 200
    assert "STOPSIGNAL SIGTERM" in final and "VOLUME /data" in final


@pytest.mark.soak
@pytest.mark.skipif(
    "ELASTIK_SOAK_SECONDS" not in os.environ or not shutil.which("cargo-zigbuild"),
    reason="compiles everything anew, by cargo-zigbuild: make soak",
)
def test_a_release_build_keeps_its_promise(tmp_path):
    target = f"x86_64-unknown-linux-gnu.{'.'.join(map(str, glibc.PROMISED))}"
    words = ["cargo", "zigbuild", "--release", "--locked", "--target", target]
    subprocess.run([*words, "--target-dir", tmp_path], cwd=ROOT / "core-bin", check=True)
    core = tmp_path / target.rpartition(".2.")[0] / "release" / "elastik-core"
    assert glibc.newest(core.read_bytes()) <= glibc.PROMISED
