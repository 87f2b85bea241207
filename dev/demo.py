"""Shows Elastik doing its main job on real input, and cleans up after itself: make demo."""

from __future__ import annotations

import json
import os
import platform
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SENSOR_SECONDS, SENSOR_PAUSE = 3.0, 0.25

WORKER = """\
#!/bin/sh
# Gets an order on standard input and its path in ELASTIK_PATH; leaves a receipt.
read -r order
name=${ELASTIK_PATH##*/}
echo "  worker: order $name is '$order'"
echo "paid: $order" | elastik put "receipt/$name"
"""


class Demo:
    """A private home for one run: configuration, data, a free port, and the server in it."""

    def __init__(self, home: Path):
        self.home = home
        self.server: subprocess.Popen[str] | None = None
        mine = {f"XDG_{k}_HOME": str(home / k.lower()) for k in ("CONFIG", "DATA", "STATE")}
        rest = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
        self.env = rest | mine | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def sh(self, command: str, *, show: bool = True) -> None:
        """Run a line as you would type it, visibly; a failing line ends the demo."""
        if show:
            say(f"$ {command}")
        # pipefail, so that a failure is not hidden by the last program of a pipe.
        subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=self.home, env=self.env, check=True
        )

    def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.sh(f"elastik init demo --port {port} --data-dir data")
        say("$ elastik run &")
        self.server = subprocess.Popen(
            ["elastik", "run"], cwd=self.home, env=self.env, stderr=subprocess.PIPE, text=True
        )
        ready = threading.Event()
        threading.Thread(target=self.watch, args=(ready,), daemon=True).start()
        while not ready.wait(0.05):
            if self.server.poll() is not None:
                raise SystemExit(f"demo: the server ended with {self.server.returncode}")

    def watch(self, ready: threading.Event) -> None:
        """Pass on what the server says; it serves once it has named its address."""
        assert self.server is not None
        assert self.server.stderr is not None
        for line in self.server.stderr:
            say(f"  {line.rstrip()}")
            if " on http://" in line:
                ready.set()

    def stop(self) -> int:
        """End the server as Ctrl-C would and give its exit code; 0 if there is none."""
        if self.server is None:
            return 0
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGINT)
        try:
            return self.server.wait(15)
        except subprocess.TimeoutExpired:
            self.server.kill()
            return self.server.wait()


def say(line: str) -> None:
    print(line, flush=True)


def title(text: str) -> None:
    say(f"\n== {text}")


def documents(demo: Demo) -> None:
    title("the project's own documents, stored and shown as a tree")
    names = sorted(p.relative_to(ROOT) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    say(f"$ elastik put project/$FILE $FILE          # {len(names)} times")
    for name in names:
        source = shlex.quote(str(ROOT / name))
        demo.sh(f"elastik -q put {shlex.quote(f'project/{name}')} {source}", show=False)
    demo.sh("elastik tree project")


def json_pipe(demo: Demo) -> None:
    title("a stored JSON world through an ordinary filter")
    facts = {"system": platform.system(), "cpus": os.cpu_count(), "python": sys.version.split()[0]}
    (demo.home / "machine.json").write_text(json.dumps(facts))
    demo.sh("elastik put machine.json machine.json")
    demo.sh("elastik get machine.json | python -m json.tool")


def orders(demo: Demo) -> None:
    title("a program that is run for every order")
    worker = demo.home / "worker"
    worker.write_text(WORKER)
    worker.chmod(0o755)
    # From event 0 on, so it does not matter whether the listener or the first order is faster.
    line = "elastik listen '/home/order/*' --since 0 --count 3 -- ./worker"
    say(f"$ {line} &")
    listener = subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=demo.home, env=demo.env)
    try:
        for number, order in enumerate(["two coffees", "one cake", "the bill"], 1):
            demo.sh(f"echo {shlex.quote(order)} | elastik put order/{number}")
        if code := listener.wait(20):
            raise SystemExit(f"demo: the listener ended with {code}")
    finally:
        listener.kill()
    demo.sh("for n in 1 2 3; do elastik get receipt/$n; done")


def sensor(demo: Demo) -> None:
    title(f"the load of this machine as a sensor, for {SENSOR_SECONDS:g} seconds")
    say("$ while …; do elastik put sensor/load --text $LOAD; done")
    end = time.monotonic() + SENSOR_SECONDS
    while time.monotonic() < end:
        load = os.getloadavg()[0]
        demo.sh(f"elastik -q put sensor/load --text {load:.2f}", show=False)
        time.sleep(SENSOR_PAUSE)
    demo.sh("elastik get sensor/load; echo")
    say("the verdict on its chain, the number of audited events, the newest version:")
    demo.sh("elastik verify sensor/load")


def audit(demo: Demo) -> None:
    title("every audit chain, recomputed")
    demo.sh("elastik verify --all")


def main() -> int:
    # Asked to end, it still cleans up.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="elastik-demo-") as directory:
        demo = Demo(Path(directory))
        try:
            title("a server of its own: fresh secrets, a free port, an empty data directory")
            demo.start()
            for part in (documents, json_pipe, orders, sensor, audit):
                part(demo)
            title("a clean stop")
            code = demo.stop()
            say(f"$ kill -INT %1    # the server ended with {code}")
        except subprocess.CalledProcessError as failed:
            say(f"demo: this line ended with {failed.returncode}")
            return 1
        finally:
            demo.stop()
    say(f"\nDone in {time.monotonic() - begun:.0f} s; nothing is left behind.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
