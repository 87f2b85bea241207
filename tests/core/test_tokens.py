"""Tokens: three tiers, what each may do, and how a credential may be written."""

from __future__ import annotations

from base64 import b64encode

import pytest

READERS = ("read", "write", "approve")
WRITERS = ("write", "approve")
APPROVERS = ("approve",)

MAY = [
    ("GET", "/home/{}", READERS),
    ("HEAD", "/home/{}", READERS),
    ("GET", "/proc/worlds", READERS),
    ("GET", "/proc/audit/home/{}/verify", READERS),
    ("PUT", "/home/{}", WRITERS),
    ("PUT", "/tmp/{}", WRITERS),
    ("PUT", "/dev/{}", WRITERS),
    ("PUT", "/sys/{}", WRITERS),
    ("PUT", "/var/{}", WRITERS),
    ("POST", "/home/{}", WRITERS),
    ("PUT", "/var/log/{}", APPROVERS),
    ("POST", "/var/log/{}", APPROVERS),
    *[("PUT", f"/{namespace}/{{}}", APPROVERS) for namespace in ("etc", "lib", "boot", "usr")],
    ("DELETE", "/home/{}", APPROVERS),
    ("DELETE", "/tmp/{}", APPROVERS),
]


@pytest.mark.parametrize("tier", ["nobody", "stranger", *READERS])
@pytest.mark.parametrize(("method", "target", "allowed"), MAY)
def test_each_tier_may_do_its_own_and_no_more(wire, method, target, allowed, tier):
    path = target.format(f"token-{tier}-{method}")
    if not path.startswith("/proc"):
        wire.put(path, b"x")
    token = {"nobody": None, "stranger": "not-a-token"}.get(tier, getattr(wire, tier, None))
    status = wire.request(method, path, b"y" if method in ("PUT", "POST") else None, token=token)
    if tier in allowed:
        assert status.status in (200, 201, 204, 404)
    else:
        known = tier in READERS
        assert status.status == (403 if known else 401)


def test_a_missing_token_is_asked_for(wire):
    reply = wire.request("GET", "/home/x", token=None)
    assert (reply.status, reply.body) == (401, b"auth required: read requires read token\n")
    assert "Bearer" in reply.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        ("Bearer {}", 200),
        ("bearer {}", 200),
        ("BEARER   {}", 200),
        ("Basic {basic}", 200),
        ("basic {named}", 200),
        ("Token {}", 401),
        ("{}", 401),
        ("Bearer", 401),
        ("Bearer {}x", 401),
        ("Basic !!!!", 401),
        ("Basic {user}", 401),
    ],
)
def test_how_a_token_may_be_written(wire, credential, status):
    wire.put("/home/credential", b"x")
    token = wire.read
    sent = credential.format(
        token,
        basic=b64encode(f":{token}".encode()).decode(),
        named=b64encode(f"anybody:{token}".encode()).decode(),
        user=b64encode(f"{token}:".encode()).decode(),
    )
    reply = wire.request("GET", "/home/credential", headers={"Authorization": sent}, token=None)
    assert reply.status == status


def test_the_version_is_public(wire):
    assert wire.request("GET", "/proc/version", token=None).status == 200


def test_without_a_read_token_reads_are_public(start_core):
    core = start_core(tokens=False, env={"ELASTIK_WRITE_TOKEN": "only-writes"})
    assert core.request("PUT", "/home/a", b"x", token="only-writes").status == 201
    assert core.request("GET", "/home/a", token=None).body == b"x"
    assert core.request("PUT", "/home/a", b"y", token=None).status == 401


def test_without_an_approve_token_nothing_is_deleted(start_core):
    core = start_core(tokens=False, env={"ELASTIK_WRITE_TOKEN": "only-writes"})
    core.request("PUT", "/home/a", b"x", token="only-writes")
    assert core.request("DELETE", "/home/a", token="only-writes").status in (401, 403)
    assert core.request("GET", "/home/a", token=None).status == 200


def test_one_token_for_several_tiers_has_the_highest(start_core):
    same = {"ELASTIK_READ_TOKEN": "same", "ELASTIK_APPROVE_TOKEN": "same"}
    core = start_core(tokens=False, env=same)
    assert core.request("PUT", "/etc/a", b"x", token="same").status == 201


def test_a_token_in_the_query_is_no_token(wire):
    assert wire.request("GET", f"/proc/worlds?token={wire.read}", token=None).status == 401


def test_the_delete_ledger_cannot_be_deleted(wire):
    wire.put("/tmp/ledgered", b"x")
    wire.request("DELETE", "/tmp/ledgered")
    reply = wire.request("DELETE", "/var/log/deletes")
    assert reply.status in (401, 403)
    assert b"delete ledger is append-only" in reply.body
    assert wire.get("/var/log/deletes").status == 200


def test_no_token_is_ever_logged(core):
    core.request("GET", "/home/x", token="a-secret-somebody-mistyped")
    core.put("/home/x", b"x")
    assert core.stop() == 0
    for secret in (core.read, core.write, core.approve, core.key, "a-secret-somebody-mistyped"):
        assert secret not in core.stderr()
