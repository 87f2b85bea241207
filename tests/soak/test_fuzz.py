"""Ten million inputs; the short form is `cargo test`, where each property gets 256."""

from __future__ import annotations

import os

import pytest

from soak import fuzz

SEED = int(os.environ.get("ELASTIK_SOAK_SEED", "1"))
SECONDS = float(os.environ.get("ELASTIK_SOAK_SECONDS", "0"))
# What comes from outside, and the module that reads it.
SURFACES = {
    "bytes, heads and bodies of HTTP": "http::raw",
    "targets": "http::route",
    "paths": "path",
    "queries": "http::query",
    "headers": "http::headers",
    "tokens": "access",
    "ranges": "http::range",
    "content codings": "http::coding",
    "conditionals": "http::conditional",
    "patterns": "pattern",
    "event ids": "http::listen",
    "events": "http::frame",
    "destinations": "http::transfer",
    "batches": "http::batch",
    "patches": "engine::patch",
    "times": "time",
    "settings": "config",
    "tokens file": "config::tokens",
    "rules": "store::rules",
    "datagrams": "coap::codec",
    "sealed datagrams": "coap::oscore",
    "SenML": "coap::senml",
}


@pytest.mark.parametrize("module", SURFACES.values(), ids=SURFACES)
def test_every_surface_has_a_property(module):
    assert any(name.startswith(f"{module}::") for name in fuzz.properties())


@pytest.mark.soak
def test_no_input_breaks_the_core(core_binary, tmp_path):
    if not SECONDS:
        pytest.skip("its short form is cargo test")
    report = fuzz.run(core_binary, tmp_path, seed=SEED, seconds=0, say=True)
    print(report)
    assert report.executions >= 10_000_000
