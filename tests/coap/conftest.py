"""What the CoAP tests share: a core whose door is open, peers that speak to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from coapwire import Peer, coap_address
from realcore import Core, launch

NUMBERS = count(1)
OPEN = {"ELASTIK_COAP_PORT": "0", "ELASTIK_PERSIST_HEADERS": "x-meta-*"}


@pytest.fixture(scope="session")
def coap_core(core_binary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """One core for all tests that only need a server and use names of their own."""
    core = launch(core_binary, tmp_path_factory.mktemp("coap") / "data", env=dict(OPEN))
    coap_address(core)
    yield core
    core.kill()


@pytest.fixture
def peer(coap_core: Core) -> Iterator[Peer]:
    with Peer(coap_address(coap_core)) as peer:
        yield peer


@pytest.fixture
def other(coap_core: Core) -> Iterator[Peer]:
    """A second endpoint."""
    with Peer(coap_address(coap_core)) as peer:
        yield peer


@pytest.fixture
def start_coap(start_core: Callable[..., Core]) -> Callable[..., Core]:
    """Start a core of one's own with its CoAP door open."""

    def start(**env: str) -> Core:
        core = start_core(env=OPEN | env)
        coap_address(core)
        return core

    return start


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """A world name of this test's own in a namespace: fresh("tmp") -> tmp/c7/world."""
    return lambda namespace="home": f"{namespace}/c{next(NUMBERS)}/world"
