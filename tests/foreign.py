"""Programs that are not ours and that tests speak to: .ci/run installs them."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI") == "true"


def missing(reason: str) -> NoReturn:
    """Skip by name what cannot be tried here; in CI that is a failure."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def needed(program: str, *others: str, package: str = "") -> str:
    """The path of the first of these programs that is here."""
    found = next(filter(None, map(shutil.which, (program, *others))), None)
    return found or missing(f"not installed: {program} (Debian: {package or program})")


def needs(program: str) -> pytest.MarkDecorator:
    """Mark a test that runs this program itself: in CI it runs, and fails without it."""
    absent = not shutil.which(program) and not IN_CI
    return pytest.mark.skipif(absent, reason=f"not installed: {program}")
