"""Every Python block of the 6.3.0 and 8.2.0 documents runs here, its own lines unchanged."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

import elastik
import realcore
from elastik import Elastik, reactor
from listening import once_listening

HERE = Path(__file__).parent
BLOCK = re.compile(r"^## (\S+)\n\n```python\n(.*?)^```$", re.S | re.M)


def blocks():
    for version in ("6.3.0", "8.2.0"):
        found = BLOCK.findall((HERE / f"elastik-{version}.md").read_text())
        assert len(found) == 23
        for name, code in found:
            yield pytest.param(version, name, code, id=f"{version}-{name}")


@pytest.fixture(scope="session")
def seeded(core_binary, tmp_path_factory):
    # 6.3 kept x-meta-* without being told.
    core = realcore.launch(
        core_binary,
        tmp_path_factory.mktemp("seeds") / "data",
        env={"ELASTIK_PERSIST_HEADERS": "x-meta-*"},
    )
    yield core
    core.kill()


@pytest.fixture
def scene(seeded, core_binary, monkeypatch, tmp_path):
    """Names that the blocks take from their surroundings; the surroundings themselves."""
    for name, value in {
        "CORE": core_binary, "URL": seeded.url, "PORT": "0", "DATA": tmp_path / "data",
        "APPROVE_TOKEN": seeded.approve,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"ELASTIK_{name}", str(value))
    e = Elastik(seeded.url, seeded.approve)
    for path in e.list():
        if path != "var/log/deletes":
            e.delete(path)
    yield {"elastik": elastik, "e": e, "pdf_bytes": b"%PDF-1.7 " * 300, "png_bytes": b"\x89PNG"}
    elastik.stop()
    elastik.clear_routes()
    elastik.clear_lifecycle_hooks()
    elastik.mirror.set_default(None)


def after_start(monkeypatch, work):
    """run() returns after one event, and the event comes once it listens."""
    monkeypatch.setattr(elastik, "run", functools.partial(elastik.run, max_events=1))
    clients = []
    elastik.on_startup(lambda e: clients.append(e))
    once_listening(reactor.default, lambda: work(clients[0]))


def prepare(name, scene, monkeypatch):
    e = scene["e"]
    if name == "start":
        monkeypatch.delenv("ELASTIK_APPROVE_TOKEN")
    if name in ("quickstart", "listen"):
        # As on a stranger's machine: no token but the one in the block.
        monkeypatch.delenv("ELASTIK_APPROVE_TOKEN")
    if name == "worker":
        after_start(monkeypatch, lambda e: e.put_json("/home/order/123", {"sku": "tea"}))
    if name == "listen":
        after_start(monkeypatch, lambda e: e.put("/home/inbox/1", "urgent: tea"))
    for path in {
        "text-and-json": ["x"], "head": ["x"], "conditional": ["config", "big.bin"],
        "raw": ["note"], "helpers": ["note", "a", "b"], "open": ["report.pdf"],
        "hierarchy": ["home/sensor/a", "home/sensor/k/b", "home/draft", "home/old/x"],
    }.get(name, []):  # fmt: skip
        e.put(path, b"0123456789abcdef" * 100)


def check(name, scene, capsys):
    """What the documents say beside the block."""
    e, said = scene["e"], capsys.readouterr().out
    if name == "quickstart":
        assert said.startswith("b'hello'\nhello\n{")
        assert not elastik.is_running()
    elif name == "worker":
        assert e.get_json("/home/receipt/123") == {"status": "accepted"}
    elif name == "start":
        assert scene["e"].bearer_token == "admin-token"
        assert scene["e"].delete("nothing") is False
    elif name == "listen":
        assert e.get("/home/alerts/latest") == b"urgent: tea"
    elif name == "conditional":
        assert len(scene["chunk"]) == 1024
        assert e.get("config") == b"new"
    elif name == "hierarchy":
        assert e.get("home/final")
        assert e.ls("home/old") == []
    elif name == "open":
        assert (len(scene["header"]), len(scene["chunk"])) == (8, 512)
    elif name == "refs":
        assert "revenue up" in said
    elif name == "errors":
        assert said == "not there\n"
    elif name == "show-config":
        assert said.startswith(elastik.__version__ + "\n")
    elif name == "metadata":
        assert e.head("report.pdf")["cache-control"] == "max-age=60"


@pytest.mark.filterwarnings("ignore:key= has:UserWarning")
@pytest.mark.parametrize(("version", "name", "code"), [*blocks()])
def test_block(version, name, code, scene, monkeypatch, capsys):
    prepare(name, scene, monkeypatch)
    exec(compile(code, f"elastik-{version}:{name}", "exec"), scene)
    check(name, scene, capsys)
