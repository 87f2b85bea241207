"""A board that measures: readings to /home/sensor/BOARD/NAME, its settings from beside them.

Whoever writes /home/board/BOARD/interval (seconds) changes how often it measures. Server and token
come from ELASTIK_URL and ELASTIK_WRITE_TOKEN. Run: python examples/sensor_board.py [READINGS]
"""

import os
import sys
import threading
import time

import elastik

BOARD = os.environ.get("BOARD", "b1")
interval = 1.0
changed = threading.Event()


def read_sensors():
    """What this machine can measure without wires."""
    return {"load": os.getloadavg()[0], "uptime": time.monotonic()}


@elastik.listen(f"/home/board/{BOARD}/interval")
def on_interval(body, method):
    global interval
    if method != "DELETE":
        interval = max(0.05, float(body))
        changed.set()


def measure(e, readings):
    for _ in range(readings):
        for name, value in read_sensors().items():
            e.put(f"/home/sensor/{BOARD}/{name}", f"{value:.3f}")
        changed.wait(interval)
        changed.clear()


e = elastik.Elastik()
# A setting that is there already counts too: the events before now come first.
reactor = threading.Thread(target=elastik.run, args=[e], kwargs={"after": 0}, daemon=True)
reactor.start()
measure(e, int(sys.argv[1]) if len(sys.argv) > 1 else sys.maxsize)
