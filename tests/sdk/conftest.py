"""Fixtures of the SDK's tests: clients of the built core, of the published one, of the fake."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

import elastik
import realcore
from elastik import Elastik, FakeElastik
from scriptedserver import Scripted

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _clean_module():
    """No test leaves a running core, a default client or a handler behind."""
    yield
    from elastik import mirror

    elastik.stop()
    mirror.set_default(None)
    elastik.clear_routes()
    elastik.clear_lifecycle_hooks()


@pytest.fixture(scope="session")
def keeping_core(core_binary, tmp_path_factory) -> Iterator[realcore.Core]:
    """A core that keeps x-meta-* headers, for all tests that only need a server."""
    core = realcore.launch(
        core_binary,
        tmp_path_factory.mktemp("sdk") / "data",
        env={"ELASTIK_PERSIST_HEADERS": "x-meta-*"},
    )
    yield core
    core.kill()


@pytest.fixture
def e(keeping_core) -> Iterator[Elastik]:
    """A client with all rights on a core whose home/ and tmp/ are empty."""
    with Elastik(keeping_core.url, keeping_core.approve) as client:
        for path in client.list():
            if path != "var/log/deletes":
                client.delete(path)
        yield client


@pytest.fixture(params=["core", "fake"])
def either(request) -> Elastik:
    """The same test once against the real core and once against FakeElastik."""
    if request.param == "core":
        return request.getfixturevalue("e")
    from elastik.testing import HeaderAllowlist

    return FakeElastik(persist_allow=HeaderAllowlist.parse("x-meta-*"))


@pytest.fixture
def old(published, tmp_path) -> Iterator[Elastik]:
    """A client of the published core."""
    core = published.start(tmp_path / "published")
    with Elastik(core.url, core.approve) as client:
        yield client
    core.kill()


@pytest.fixture
def name() -> Callable[[], str]:
    """A fresh path on each call."""
    return lambda: f"home/t{next(_numbers)}"


@pytest.fixture
def serve() -> Iterator[Callable[..., Scripted]]:
    """Start servers that answer by a script."""
    servers = []

    def start(script, **options) -> Scripted:
        servers.append(Scripted(script, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
