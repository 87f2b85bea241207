"""Audit: what verify answers, and that deletes leave their trace in the ledger."""

from __future__ import annotations

import pytest


def test_an_intact_chain_is_counted_from_first_to_last(core):
    first = core.put("/home/a", b"1").etag.strip('"')
    core.request("POST", "/home/a", b"2")
    latest = core.put("/home/a", b"3").etag.strip('"')
    reply = core.verify("home/a")
    assert (reply.status, reply.body) == (200, b"")
    audit = {k: v for k, v in reply.headers.items() if k.startswith("x-audit-")}
    assert audit == {
        "x-audit-valid": "true",
        "x-audit-events": "3",
        "x-audit-genesis": first,
        "x-audit-latest": latest,
    }


def test_a_memory_world_has_no_chain(wire, fresh):
    path = fresh("tmp")
    wire.put(path, b"x")
    reply = wire.verify(path.lstrip("/"))
    assert (reply.status, reply.headers["x-audit-valid"]) == (204, "n/a")


def test_a_missing_world_cannot_be_verified(wire, fresh):
    reply = wire.verify(fresh().lstrip("/"))
    assert (reply.status, reply.body) == (404, b"world not found\n")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/proc/audit//verify", 400),
        ("/proc/audit/home/verify", 400),
        ("/proc/audit/home/a/../b/verify", 400),
        ("/proc/audit/home/a", 404),
        ("/proc/audit/home/a/verify/", 404),
        ("/proc/nothing", 404),
    ],
)
def test_what_is_not_an_audit_route(wire, target, status):
    assert wire.get(target).status == status


def test_head_verifies_too(core):
    core.put("/home/a", b"1")
    reply = core.request("HEAD", "/proc/audit/home/a/verify")
    assert (reply.status, reply.headers["x-audit-valid"]) == (200, "true")


@pytest.mark.parametrize("world", ["home/a", "tmp/a"])
def test_a_delete_leaves_intent_and_commit_in_the_ledger(core, world):
    core.put(f"/{world}", b"x")
    core.request("DELETE", f"/{world}")
    reply = core.verify("var/log/deletes")
    assert (reply.status, reply.headers["x-audit-events"]) == (200, "2")
    assert core.request("DELETE", f"/{world}").status == 404
    assert core.verify("var/log/deletes").headers["x-audit-events"] == "2"


def test_a_chain_survives_a_restart(start_core):
    core = start_core()
    tag = core.put("/home/a", b"kept", content_language="en").etag
    assert core.stop() == 0
    again = start_core()
    got = again.get("/home/a")
    assert (got.body, got.etag, got.headers["content-language"]) == (b"kept", tag, "en")
    assert again.put("/home/a", b"on").status == 200
    assert again.verify("home/a").headers["x-audit-events"] == "2"


def test_memory_worlds_do_not_survive_a_restart(start_core):
    core = start_core()
    core.put("/tmp/a", b"x")
    assert core.stop() == 0
    assert start_core().get("/tmp/a").status == 404
