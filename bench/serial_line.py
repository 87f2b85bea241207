"""A board's confirmable PUT until its 2.04, also by a bridge; and GETs at the pace of a line."""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable
from pathlib import Path

from load import OURS, ROOT, arguments, machine

sys.path.insert(0, str(ROOT))
import foreignboard
from elastik.coap import messages
from elastik.coap.messages import AUTH, CON, GET, PUT, Message
from elastik_cli.serialio import slipmux
from elastik_cli.serialio.conversation import LineConversation, TalkSettings
from elastik_cli.serialio.line import Line, LineSettings
from realcore import WRITE, Core, launch

Exchange = Callable[[Message], None]
NOTHING_AROUND = b"\xc0\xc0"


def put(number: int, path: str, token: bytes = b"") -> Message:
    options = [*messages.path_options(path), (messages.CONTENT_FORMAT, b"")]
    options += [(AUTH, token)] if token else []
    return Message(CON, PUT, number & 0xFFFF, b"t", messages.ordered(options), b"%d" % number)


def times(exchange: Exchange, count: int, path: str, token: bytes = b"") -> list[float]:
    """Milliseconds of `count` exchanges, one after another."""
    found = []
    for number in range(count):
        message = put(number, path, token)
        began = time.perf_counter()
        exchange(message)
        found.append((time.perf_counter() - began) * 1000)
    return found


def by_udp(core: Core) -> Exchange:
    port = int(re.search(r"coap://[\d.]+:(\d+)", core.stderr())[1])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", port))

    def exchange(message: Message) -> None:
        sock.send(messages.encode(message))
        assert messages.decode(sock.recv(2000)).ok

    return exchange


def by_line(master: int) -> Exchange:
    decoder = slipmux.Decoder()

    def exchange(message: Message) -> None:
        os.write(master, slipmux.encode_coap(messages.encode(message)))
        while True:
            if not select.select([master], [], [], 10)[0]:
                raise TimeoutError("the bridge does not answer")
            for frame in decoder.feed(os.read(master, 65536)):
                answer = messages.decode(frame.data)
                if answer.mid == message.mid and answer.is_response:
                    assert answer.ok, answer
                    return

    return exchange


def bridged(core: Core, place: Path, *options: str) -> tuple[subprocess.Popen[bytes], int]:
    """A bridge on a pty, and the pty's other end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    coap = re.search(r"coap://([\d.]+:\d+)", core.stderr())[1]
    env = os.environ | {"ELASTIK_URL": core.url, "ELASTIK_WRITE_TOKEN": WRITE}
    env |= {"XDG_RUNTIME_DIR": str(place), "PYTHONPATH": str(ROOT), "ELASTIK_NO_DOTENV": "1"}
    words = ["--device", os.ttyname(slave), "--id", "bench", "--coap", coap]
    process = subprocess.Popen(
        [sys.executable, "-m", "elastik_cli", "serial", "bridge", *words, *options],
        env=env,
        stderr=subprocess.DEVNULL,
    )
    heard = b""
    while NOTHING_AROUND not in heard:  # its first bytes: the port is open
        heard += os.read(master, 100)
    return process, master


def paced(place: Path, seconds: float, baud: int = 115200) -> float:
    """GETs of a few bytes a second, asked of a foreign board on a line of this speed."""
    path = tuple(messages.path_options("sensor/temp"))
    with foreignboard.board(place, baud) as line:
        settings = LineSettings(baud=baud)
        with LineConversation(
            Line(str(line), settings), TalkSettings(), lambda text: None
        ) as board:
            board.ask(Message(CON, PUT, 0, options=path, payload=b"21.5"))
            done, began = 0, time.perf_counter()
            while time.perf_counter() - began < seconds:
                assert board.ask(Message(CON, GET, 0, options=path)).payload == b"21.5"
                done += 1
            return done / (time.perf_counter() - began)


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--count", type=int, default=500, help="exchanges of each kind (500)")
    wish = parser.parse_args(argv)
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=wish.scratch, prefix="elastik-bench-") as directory:
        place = Path(directory)
        core = launch(OURS, place / "data", env={"ELASTIK_COAP_PORT": "0"})
        try:
            while "coap://" not in core.stderr():
                time.sleep(0.01)
            path, token = "home/sensor/bench/direct", WRITE.encode()
            rows["UDP, no bridge"] = times(by_udp(core), wish.count, path, token)
            quiet = ("--observe", "none", "--ping", "0")
            for name, more in [
                ("bridge", ()),
                ("bridge, --up http", ("--up", "http")),
                ("bridge, --spool", ("--spool", str(place / "spool"))),
            ]:
                process, master = bridged(core, place, *quiet, *more)
                rows[name] = times(by_line(master), wish.count, name.split()[-1].strip("-"))
                process.terminate()
                process.wait()
                os.close(master)
        finally:
            core.kill()
    print(f"CON PUT of a few bytes until its 2.04, durable; {machine()}, unpaced pty\n")
    print("| way | p50 ms | p99 ms |")
    print("|---|---|---|")
    for name, found in rows.items():
        p99 = sorted(found)[int(len(found) * 0.99)]
        print(f"| {name} | {statistics.median(found):.2f} | {p99:.2f} |")
    if not (shutil.which("socat") and shutil.which("coap-server-notls")):
        print("\nno socat or no coap-server-notls: GETs of a foreign board are not measured")
        return 0
    with tempfile.TemporaryDirectory(dir=wish.scratch, prefix="elastik-bench-") as directory:
        rate = paced(Path(directory), wish.seconds)
    print(
        f"\nGETs of a foreign board at 115200 baud: {rate:.0f}/s (target 250; the line allows 303)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
