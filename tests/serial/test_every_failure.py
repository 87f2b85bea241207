"""No failure of the bridge, F1 to F18, and no rule of a client, C01 to C14, goes without a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def named(letter: str, *places: str) -> set[int]:
    """The numbers that names of tests in `places` carry behind `letter`."""
    texts = [path.read_text() for place in places for path in TESTS.glob(place)]
    names = [name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.M)]
    return {int(n) for name in names for n in re.findall(rf"_{letter}(\d+)(?=_)", name)}


def test_each_failure_has_a_test_of_its_name():
    assert named("f", "serial/test_*.py") == set(range(1, 19))


@pytest.mark.parametrize("client", ["sdk/test_coap_rules.py", "coapcli/test_coap.py"])
def test_each_rule_has_a_test_for_either_client(client):
    assert named("c", client) == set(range(1, 15))
