"""What the black-box tests share: a core of their own and world names nobody else uses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from realcore import Core

NUMBERS = count(1)


@pytest.fixture
def wire(shared_core: Core) -> Core:
    """The session's core; tests that need an empty or a special one ask for `core`."""
    return shared_core


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """A world name of this test's own in a namespace: fresh("home") -> /home/t7/world."""
    return lambda namespace="home": f"/{namespace}/t{next(NUMBERS)}/world"
