"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elastik import Elastik
from foreign import needs

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def environment(core_binary, e):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    return clean | {
        "PYTHONPATH": str(ROOT),
        "ELASTIK_CORE": str(core_binary),
        "ELASTIK_URL": e.url,
        "ELASTIK_WRITE_TOKEN": "w-token-for-tests",
    }


def run(name, environment, tmp_path, *arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def begin(name, environment, tmp_path, *arguments):
    return subprocess.Popen(
        [sys.executable, EXAMPLES / name, *arguments],
        env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def eventually(ask, seconds: float = 10):
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return answer


def test_basic(environment, tmp_path):
    said = run("01_basic.py", environment, tmp_path).splitlines()
    assert said == [
        "hello, world", "{'debug': True}", "home/config 15", "home/note 12",
        "audited and intact: True", "False",
    ]  # fmt: skip


def streams(e) -> int:
    """How many listen to the core."""
    lines = e.get_text("/proc/metrics").splitlines()
    return next(int(n.split()[1]) for n in lines if n.startswith("elastik_listen_connections "))


def test_listener(environment, tmp_path, e):
    before = streams(e)
    program = begin("02_listener.py", environment, tmp_path, "2")
    assert program.stdout is not None
    assert program.stdout.readline() == "listening\n"
    deadline = time.monotonic() + 20
    while streams(e) <= before and time.monotonic() < deadline:
        time.sleep(0.02)
    e.put("inbox/1", "tea")
    e.put("inbox/2", "urgent: tea")
    assert program.communicate(timeout=10)[0] == "/home/inbox/1 tea\n/home/inbox/2 urgent: tea\n"
    assert e.get("alerts/latest") == b"urgent: tea"


def test_metadata_and_etag(environment, tmp_path):
    said = run("03_metadata_and_etag.py", environment, tmp_path).splitlines()
    assert said == ["text/markdown me", "somebody else wrote first", "None", "b'mi'"]


@pytest.fixture
def worker(environment, tmp_path):
    started = []

    def start():
        started.append(begin("orders/worker.py", environment, tmp_path))
        return started[-1]

    yield start
    for program in started:
        program.kill()
        program.wait()


def test_the_worker_answers_orders_also_those_from_before(worker, e):
    e.put_json("order/early", {"sku": "tea", "qty": 1})
    first = worker()
    eventually(lambda: e.exists("receipt/early"))
    first.terminate()
    first.wait(10)
    e.put_json("order/between", {"sku": "coffee", "qty": 2})
    worker()
    eventually(lambda: e.exists("receipt/between"))
    assert e.get_json("receipt/between") == {"status": "accepted", "total": 8}


@needs("curl")
def test_the_shell_orders(worker, environment, e):
    worker()
    done = subprocess.run(
        [EXAMPLES / "orders" / "order.sh", "tea", "2"],
        env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == '{"status": "accepted", "total": 6}\n', done.stderr


@needs("node")
def test_the_pages_script_orders(worker, environment, e):
    worker()
    script = f"""
const shop = require({str(EXAMPLES / "orders" / "page.js")!r});
const options = {{ base: process.env.ELASTIK_URL,
                   headers: {{ Authorization: "Bearer " + process.env.ELASTIK_WRITE_TOKEN }} }};
(async () => {{
  const number = await shop.place("coffee", 3, options);
  for (let n = 0; n < 200; n += 1) {{
    try {{
      return console.log((await shop.receipt(shop.RECEIPTS + number, options)).total);
    }} catch {{ await new Promise(resolve => setTimeout(resolve, 50)); }}
  }}
  throw new Error("no receipt");
}})();
"""
    done = subprocess.run(
        ["node", "-e", script], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "12\n", done.stderr


def test_the_page_is_served_as_it_is_stored(e):
    for name, kind in (("page.html", "text/html"), ("page.js", "text/javascript")):
        path = {"page.html": "shop", "page.js": "shop.js"}[name]
        with open(EXAMPLES / "orders" / name, "rb") as file:
            e.put(path, file, content_type=kind)
        assert e.head(path)["content-type"] == kind
        assert e.get(path) == (EXAMPLES / "orders" / name).read_bytes()


def test_the_board_measures_and_takes_settings(environment, tmp_path, e):
    e.put("board/b1/interval", "0.05")
    run("sensor_board.py", environment, tmp_path, "5")
    assert float(e.get("sensor/b1/load")) >= 0
    events = e.request("HEAD", "/proc/audit/home/sensor/b1/load/verify").headers["x-audit-events"]
    assert events == "5"
    assert isinstance(e, Elastik)
