"""A page kept as a world runs the published JavaScript in a real browser, with tokens set."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import re
import secrets
import socket
import struct
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from foreign import needed
from realcore import WRITE, wait_for

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
# No page of the world is asked for: nothing updates, reports or searches by itself.
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update --disable-default-apps
--disable-extensions --disable-dev-shm-usage --no-proxy-server --remote-debugging-port=0
--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1""".splitlines()
START_SECONDS, PAGE_SECONDS = 60, 30

# The example of the published documentation, with marks around it for the test to read.
PAGE = """<!doctype html><title>Order</title><p id=said>loading</p><script type=module>
const say = text => document.querySelector("#said").textContent += "\\n" + text;
addEventListener("securitypolicyviolation", e => say("blocked: " + e.blockedURI));
try {
  const receipts =
new EventSource("/listen/home/receipt/*");
  await new Promise((good, bad) => { receipts.onopen = good; receipts.onerror = bad; });
  receipts.addEventListener("put", async event => {
    const path = event.data.split("\\n").find(l => l.startsWith("path: ")).slice(6);
    say("event " + event.lastEventId + " " + path + " " + await (await fetch(path)).text());
    receipts.close();
    await fetch("http://elsewhere.invalid/x").catch(() => {});
  });
  const answer =
await fetch("/home/order/123", {
  method: "PUT",
  body: JSON.stringify({ sku: "tea", qty: 2 }),
  headers: { "Content-Type": "application/json" },
});
  say("put " + answer.status);
} catch (error) { say("failed: " + error); }
</script>"""


@pytest.fixture(scope="module")
def browser():
    return needed(*BROWSERS)


class Tab:
    """One page of a browser of its own, told what to do by the DevTools protocol."""

    def __init__(self, program: str, profile: Path):
        flags = [flag for line in FLAGS[:-1] for flag in line.split()] + [FLAGS[-1]]
        command = [program, *flags, f"--user-data-dir={profile}", "about:blank"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(profile)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        self.numbers = iter(range(1, 1 << 30))
        try:
            self.line = self._connect(profile / "DevToolsActivePort")
        except BaseException:
            self.close()
            raise

    def _connect(self, port_file: Path) -> socket.socket:
        lines: list[str] = []

        def started() -> bool:
            lines[:] = port_file.read_text().splitlines() if port_file.exists() else []
            return len(lines) > 1

        assert wait_for(started, START_SECONDS), "the browser did not start"
        with urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=START_SECONDS) as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        url = urlsplit(pages[0]["webSocketDebuggerUrl"])
        line = socket.create_connection((url.hostname, url.port), timeout=PAGE_SECONDS)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        line.sendall(
            f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += line.recv(1)
        assert b" 101 " in head.splitlines()[0]
        return line

    def ask(self, method: str, **parameters):
        """Call one method of the protocol; its result, whatever events come before it."""
        number = next(self.numbers)
        message = json.dumps({"id": number, "method": method, "params": parameters}).encode()
        mask = secrets.token_bytes(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(message))
        # RFC 6455 section 5.2: final text frame, masked, with a length of two bytes.
        self.line.sendall(struct.pack("!BBH", 0x81, 0xFE, len(message)) + mask + masked)
        while (answer := self._message()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _message(self) -> dict:
        text = b""
        while True:
            first, length = self._exactly(2)
            if length == 126:
                length = struct.unpack("!H", self._exactly(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self._exactly(8))[0]
            part = self._exactly(length)
            if first & 0x0F in (0, 1):
                text += part
                if first & 0x80:
                    return json.loads(text)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.line.recv(count - len(data))
            assert part, "the browser hung up"
            data += part
        return data

    def text(self) -> str:
        said = self.ask("Runtime.evaluate", expression="document.body?.innerText ?? ''")
        return said["result"].get("value", "")

    def close(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            self.line.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def tab(browser, tmp_path):
    tab = Tab(browser, tmp_path / "profile")
    yield tab
    tab.close()


def address(core, path, token=None):
    host, port = core.address
    user = f"anyone:{token}@" if token else ""
    return f"http://{user}{host}:{port}{path}"


def sign_in(tab, core, token):
    """Let the browser answer a 401 with Basic; from then on it knows the token by itself.

    Pages come later, from a URL without the token: Chromium's fetch() takes no other.
    """
    tab.ask("Page.navigate", url=address(core, "/proc/worlds", token))
    assert shows(tab, "home/").startswith("home/")


def shows(tab, part, seconds=PAGE_SECONDS):
    """What the page shows once it shows this part; its last text when it never does."""
    end = time.monotonic() + seconds
    while part not in (text := tab.text()) and time.monotonic() < end:
        time.sleep(0.1)
    return text


def test_the_published_javascript_runs_in_a_page_that_is_a_world(core, tab):
    core.put("/home/order/page", PAGE.encode(), content_type="text/html; charset=utf-8")
    sign_in(tab, core, WRITE)
    tab.ask("Page.navigate", url=address(core, "/home/order/page"))
    text = shows(tab, "put ")
    assert "put 201" in text, text
    order = core.get("/home/order/123")
    assert json.loads(order.body) == {"sku": "tea", "qty": 2}
    assert order.headers["content-type"] == "application/json"
    core.put("/home/receipt/123", b"accepted", content_type="text/plain")
    text = shows(tab, "blocked")
    assert re.search(r"event \d+ /home/receipt/123 accepted", text), text
    # The default policy keeps the page with this core.
    assert "blocked: http://elsewhere.invalid/x" in text, text
    assert "failed" not in text


def test_a_page_is_not_shown_without_a_token(core, tab):
    core.put("/home/page", PAGE.encode(), content_type="text/html")
    tab.ask("Page.navigate", url=address(core, "/home/page"))
    assert shows(tab, "auth", 3).strip() != "loading"
    assert core.get("/home/order/123").status == 404


def test_a_page_of_another_origin_writes_nothing_with_the_browsers_credentials(
    core, start_core, tab, tmp_path
):
    """The browser knows this core's token and would send it of its own accord."""
    core.put("/home/mine", b"untouched", content_type="text/plain")
    sign_in(tab, core, WRITE)
    other = start_core(tmp_path / "other")
    target = html.escape(address(core, "/home/mine"))
    form = f'<form method=post action="{target}" enctype=text/plain><input name=a value=b></form>'
    script = "<p>foreign</p><script>document.forms[0].submit()</script>"
    other.request(
        "PUT",
        "/home/evil",
        (form + script).encode(),
        # The stranger's own policy: forms may go anywhere.
        {"Content-Type": "text/html", "Content-Security-Policy": "default-src * 'unsafe-inline'"},
    )
    tab.ask("Page.navigate", url=address(other, "/home/evil", WRITE))
    text = shows(tab, "forbidden")
    assert "forbidden: write from another site" in text
    assert core.get("/home/mine").body == b"untouched"
