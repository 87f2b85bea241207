"""Puts the compiled core into the wheel and tags the wheel for this platform."""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

EXE = "elastik-core.exe" if os.name == "nt" else "elastik-core"

NO_CARGO = """\
elastik: cannot build the wheel: its core is a Rust program, and cargo is not on PATH
hint: install Rust 1.89 or newer from https://rustup.rs and try again,
hint: or set ELASTIK_CORE_BIN=/path/to/elastik-core to pack a core that is already built,
hint: or set ELASTIK_CORE_BIN=skip to install the SDK and the tools without a core"""


class BuildCore(BuildHookInterface):
    """Chooses the core by ELASTIK_CORE_BIN: a path, `skip`, or (unset) compile it here."""

    def initialize(self, version, build_data):
        choice = os.environ.get("ELASTIK_CORE_BIN", "")
        # An editable install runs the checkout's own build, which `make build` keeps fresh.
        if version == "editable" or choice == "skip":
            return
        exe = given(choice) if choice else compiled(Path(self.root) / "core-bin")
        keep_promise(Path(self.root), exe)
        build_data["force_include"][str(exe)] = f"elastik/_bin/{EXE}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"


def given(choice):
    exe = Path(choice).resolve()
    if not exe.is_file():
        sys.exit(f"elastik: ELASTIK_CORE_BIN={choice}: no such file")
    return exe


def compiled(crate):
    cargo = shutil.which("cargo")
    if cargo is None:
        sys.exit(NO_CARGO)
    subprocess.run([cargo, "build", "--release", "--locked"], cwd=crate, check=True)
    # Cargo's own variable may move the target directory (shared caches do).
    target = Path(os.environ.get("CARGO_TARGET_DIR") or crate / "target")
    return (crate / target / "release" / EXE).resolve()


def keep_promise(root, exe):
    """Pack no core that asks for a newer glibc than the wheel's tag says is enough."""
    spec = spec_from_file_location("glibc", root / "dev" / "glibc.py")
    glibc = module_from_spec(spec)
    spec.loader.exec_module(glibc)
    promised = glibc.promise_of(platform_tag())
    if promised is None:
        return
    found = glibc.newest(exe.read_bytes())
    if found is not None and found > promised:
        asked, said = (".".join(map(str, version)) for version in (found, promised))
        sys.exit(
            f"elastik: {exe} asks for glibc {asked}, {platform_tag()} promises {said}\n"
            f"hint: cargo zigbuild --target {os.uname().machine}-unknown-linux-gnu.{said}"
        )


def platform_tag():
    """The wheel's platform; ELASTIK_WHEEL_PLATFORM names another when cross-compiling."""
    here = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return os.environ.get("ELASTIK_WHEEL_PLATFORM") or here
