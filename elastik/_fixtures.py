"""The pytest fixtures of `elastik.testing`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from elastik.client import Elastik
from elastik.launcher import Core, launch


@pytest.fixture(scope="session")
def elastik_core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """A core of its own for this test session: `url`, `tokens`, `data_dir`."""
    tokens = {tier: secrets.token_hex(16) for tier in ("read", "write", "approve")}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ELASTIK_")}
    environment |= {f"ELASTIK_{tier.upper()}_TOKEN": token for tier, token in tokens.items()}
    environment |= {
        "ELASTIK_HOST": "127.0.0.1",
        "ELASTIK_PORT": "0",
        "ELASTIK_KEY": secrets.token_hex(32),
        "ELASTIK_DATA": str(tmp_path_factory.mktemp("elastik")),
        "ELASTIK_PERSIST_HEADERS": "x-meta-*",
    }
    core = launch(environment)
    core.tokens = tokens
    yield core
    core.stop()


@pytest.fixture
def elastik_client(elastik_core: Core) -> Iterator[Elastik]:
    """A client with approve rights; all worlds but the delete ledger are gone before each test."""
    with Elastik(elastik_core.url, elastik_core.tokens["approve"]) as client:
        for path in client.list():
            if path != "var/log/deletes":
                client.delete(path)
        yield client
