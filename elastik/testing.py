"""For other people's tests: a fake client, and pytest fixtures that run a real core.

In your `conftest.py`: ``pytest_plugins = ["elastik.testing"]``. Then `elastik_core` is a core of
your test session on a free port, and `elastik_client` a client of it that starts each test empty.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elastik.fake import FakeElastik as FakeElastik
    from elastik.fake import HeaderAllowlist as HeaderAllowlist

__all__ = ["FakeElastik", "HeaderAllowlist"]

# Loaded as a plugin pytest is there already; `from elastik.testing import FakeElastik` in a
# program must not import it.
if "pytest" in sys.modules:
    from elastik._fixtures import elastik_client as elastik_client
    from elastik._fixtures import elastik_core as elastik_core


def __getattr__(name: str) -> Any:
    if name in __all__:
        from elastik import fake

        return getattr(fake, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
