"""listen --exec through all that goes wrong at once: no event is lost, each path in order.

Short in `make test`; ELASTIK_SOAK_SECONDS makes it 10,000 events long.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from commandline import talking_to, until
from realcore import free_port
from relay import Relay

LONG = "ELASTIK_SOAK_SECONDS" in os.environ
EVENTS = 10_000 if LONG else 300
PATHS = 20
SEED = int(os.environ.get("ELASTIK_SOAK_SEED", "20261121"))

# Every 13th event fails at first, every 97th hangs at first; what is done is one atomic append.
HANDLER = """
n=$ELASTIK_ID
if [ $ELASTIK_ATTEMPT = 1 ]; then
    [ $((n % 13)) = 0 ] && exit 1
    [ $((n % 97)) = 0 ] && sleep 1000
fi
echo "$n $ELASTIK_PATH" >> done
"""

# The same for batches; a record begins with event, id and path.
BATCH_HANDLER = r"""
n=$ELASTIK_ID
if [ $ELASTIK_ATTEMPT = 1 ]; then
    [ $((n % 5)) = 0 ] && exit 1
    [ $((n % 23)) = 0 ] && sleep 1000
fi
sed -n 's/.*"id": \([0-9]*\), "path": "\([^"]*\)".*/\1 \2/p' >> done
"""
WAYS = {
    "event by event": ["--exec", HANDLER],
    "in batches": ["--batch", "20", "--every", "100ms", "--exec", BATCH_HANDLER],
}


def write_all(core_url, written, program):
    """Append EVENTS lines to PATHS paths, whatever happens to the server in between."""
    from elastik import Elastik
    from elastik.errors import ElastikError

    rng = random.Random(SEED)
    client = Elastik(core_url, program.env["ELASTIK_WRITE_TOKEN"])
    for number in range(EVENTS):
        while True:
            try:
                client.put(f"soak/{rng.randrange(PATHS)}", str(number))
                break
            except ElastikError:
                time.sleep(0.05)
        written.append(number)


@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_lost_whatever_happens(start_core, tmp_path, background, way):
    port = free_port()
    core = start_core(tmp_path / "store", port=port)
    home = tmp_path / "home"
    home.mkdir()
    relay = Relay(core.address)
    program = talking_to(core, home)
    words = (
        "listen", "soak/*", "--state", "soak", "-j", "8", "--kill-after", "1", *WAYS[way],
    )  # fmt: skip

    def listen():
        return background(
            "-v", *words, program=program.with_env(ELASTIK_URL=relay.url),
            stdout=subprocess.DEVNULL, stderr=open(home / "said", "ab"),
        )  # fmt: skip

    def handled():
        try:
            return [line.split() for line in (home / "done").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def alive():
        assert listener.poll() is None, (home / "said").read_text()
        return True

    def progress(share):
        until(lambda: alive() and len(handled()) >= EVENTS * share, 600)

    listener = listen()
    until(lambda: b"listening" in (home / "said").read_bytes())
    written = []
    writer = threading.Thread(target=write_all, args=(core.url, written, program))
    writer.start()
    progress(0.15)
    relay.cut()
    time.sleep(0.5)
    relay.mend()
    progress(0.3)
    core.kill()
    core = start_core(tmp_path / "store", port=port)
    progress(0.45)
    listener.terminate()
    assert listener.wait(40) == -signal.SIGTERM
    listener = listen()
    progress(0.6)
    listener.kill()
    listener.wait()
    listener = listen()
    writer.join(600)
    assert len(written) == EVENTS
    # A write whose answer was cut off may have been made twice: the log is the truth.
    truth = program("listen", "soak/*", "--since", "0", "--timeout", "3", "--json").out
    events = [json.loads(line) for line in truth.splitlines()]
    assert len(events) >= EVENTS
    expected = {str(event["id"]) for event in events}
    until(lambda: alive() and expected <= {row[0] for row in handled()}, 600)
    listener.terminate()
    assert listener.wait(40) == -signal.SIGTERM
    first = list(dict.fromkeys((int(row[0]), row[1]) for row in handled()))
    for path in {path for _, path in first}:
        numbers = [number for number, where in first if where == path]
        assert numbers == sorted(numbers), path
    assert b"events were missed" not in (home / "said").read_bytes()
