"""Edits that somebody makes on a store behind its back, and what is to be found of each."""

# ruff: noqa: E501 (a table reads best with one edit a line)

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

A, B, BIG, LEDGER = "home/a", "home/b", "home/big", "var/log/deletes"


class Edit(NamedTuple):
    """SQL that somebody runs on the file, and what verify must say of it."""

    sql: str
    problem: str
    path: str


def of(path: str) -> str:
    return f"(SELECT id FROM world WHERE path = '{path}')"


def event(path: str, at: int, change: str) -> str:
    """Change the event at a position of a world's chain."""
    return f"UPDATE event SET {change} WHERE world = {of(path)} AND id = {at + 1}"


def row(seq_of: str, change: str) -> str:
    """Change the row of the log that goes with a world's newest event."""
    return f"UPDATE log SET {change} WHERE seq = (SELECT seq FROM world WHERE path = '{seq_of}')"


def zeros(column: str) -> str:
    return f"{column} = zeroblob(32)"


EDITS = {
    # The table of the published core's verify, row by row.
    "event: type": Edit(event(A, 1, "type = 'append'"), "chain-mac", A),
    "event: target": Edit(event(A, 1, "target = 'home/x'"), "world-renamed", A),
    "event: body hash": Edit(event(A, 1, zeros("body_sha256")), "chain-mac", A),
    "event: size": Edit(event(A, 1, "size = 99"), "chain-mac", A),
    "event: content type": Edit(event(A, 1, "content_type = 'a/b'"), "chain-meta", A),
    "event: headers' hash": Edit(event(A, 1, zeros("meta_sha256")), "chain-meta", A),
    "event: header added": Edit(event(A, 1, "headers = 'x' || char(0) || 'y' || char(0)"), "chain-meta", A),
    "event: hmac": Edit(event(A, 1, zeros("hmac")), "chain-mac", A),
    "event: previous hmac": Edit(event(A, 1, zeros("prev_hmac")), "chain-link", A),
    "event: hmac of no length": Edit(event(A, 1, "hmac = x'00'"), "chain-mac", A),
    "first event deleted": Edit(f"DELETE FROM event WHERE world = {of(A)} AND id = 1", "chain-link", A),
    "events swapped": Edit(
        f"UPDATE event SET id = 9 WHERE world = {of(A)} AND id = 1;"
        f"UPDATE event SET id = 1 WHERE world = {of(A)} AND id = 2;"
        f"UPDATE event SET id = 2 WHERE world = {of(A)} AND id = 9", "chain-link", A),
    "all events deleted": Edit(f"DELETE FROM event WHERE world = {of(A)}", "no-events", A),
    "last event deleted": Edit(f"DELETE FROM event WHERE world = {of(A)} AND id = 3", "world-head", A),
    "event: link taken away": Edit(event(A, 2, "prev = NULL"), "chain-link", A),
    "event: link past one": Edit(event(A, 2, "prev = (SELECT n FROM event WHERE id = 1 AND world = " + of(A) + ")"), "chain-link", A),
    "event: link to another world's": Edit(event(A, 2, "prev = (SELECT min(n) FROM event WHERE world = " + of("etc/conf") + ")"), "chain-link", A),
    "event: marks put in": Edit(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20) "
        f"INSERT INTO mark SELECT world, i, n FROM event, c WHERE id = 1 AND world = {of(A)}", "world-head", A),
    "event: timestamp": Edit(event(A, 1, "time_us = time_us + 1"), "event-log", A),
    "event: key": Edit(event(A, 1, "key = 2"), "event-log", A),
    "body in the row": Edit("UPDATE world SET body = CAST('tw0 three' AS BLOB) WHERE path = 'home/a'", "world-body", A),
    "body shorter": Edit("UPDATE world SET body = CAST('two' AS BLOB), size = 3 WHERE path = 'home/a'", "world-size", A),
    "a piece of a body": Edit("UPDATE piece SET bytes = zeroblob(length(bytes)) WHERE id = (SELECT max(id) FROM piece)", "world-body", BIG),
    "a piece of a body removed": Edit("DELETE FROM piece WHERE id = (SELECT max(id) FROM piece)", "world-body", BIG),
    "pieces exchanged": Edit(
        "UPDATE span SET piece = (SELECT max(piece) + min(piece) FROM span) - piece "
        "WHERE piece IN (SELECT max(piece) FROM span UNION SELECT min(piece) FROM span)", "world-body", BIG),
    "world: type": Edit("UPDATE world SET content_type = 'a/b' WHERE path = 'home/b'", "world-type", B),
    "world: headers": Edit("UPDATE world SET headers = '' WHERE path = 'home/b'", "world-type", B),
    "world: time of change": Edit("UPDATE world SET modified_us = 1 WHERE path = 'home/b'", "world-time", B),
    "world: hmac": Edit(f"UPDATE world SET {zeros('hmac')} WHERE path = 'home/b'", "world-head", B),
    "world: body hash": Edit(f"UPDATE world SET {zeros('body_sha256')} WHERE path = 'home/b'", "world-head", B),
    "world: count of events": Edit("UPDATE world SET events = 9 WHERE path = 'home/b'", "world-head", B),
    "world renamed": Edit("UPDATE world SET path = 'home/new' WHERE path = 'home/b'", "world-renamed", "home/new"),
    "world renamed: the old one is missed": Edit("UPDATE world SET path = 'home/new' WHERE path = 'home/b'", "world-removed", B),
    "worlds exchanged": Edit(
        "UPDATE world SET path = 'x' WHERE path = 'home/b'; UPDATE world SET path = 'home/b' WHERE path = 'home/a';"
        "UPDATE world SET path = 'home/a' WHERE path = 'x'", "world-renamed", A),
    "world removed": Edit(f"DELETE FROM event WHERE world = {of(B)}; DELETE FROM world WHERE path = 'home/b'", "world-removed", B),
    "ledger removed": Edit(f"DELETE FROM event WHERE world = {of(LEDGER)}; DELETE FROM world WHERE path = '{LEDGER}'", "world-removed", LEDGER),
    "ledger: a delete made another's": Edit(event(LEDGER, 1, "target = 'home/a'"), "world-renamed", LEDGER),
    "ledger: body put in": Edit(f"UPDATE world SET body = x'00', size = 1 WHERE path = '{LEDGER}'", "world-body", LEDGER),
    # The log.
    "log: time": Edit(row(B, "time_us = 1"), "log-mac", B),
    "log: kind": Edit(row(B, "kind = 2"), "log-mac", B),
    "log: kind that is none": Edit(row(B, "kind = 99"), "log-mac", B),
    "log: path": Edit(row(B, "path = 'home/x'"), "log-mac", "home/x"),
    "log: event's hmac": Edit(row(B, zeros("hmac")), "log-mac", B),
    "log: type": Edit(row(B, "content_type = 'a/b'"), "log-mac", B),
    "log: size": Edit(row(B, "size = 1"), "log-mac", B),
    "log: writer": Edit(row(B, "writer = 'eve'"), "log-mac", B),
    "log: link": Edit(row(B, "link = 'from:home/eve'"), "log-mac", B),
    "log: MAC": Edit(row(B, zeros("mac")), "log-mac", B),
    "log: previous MAC": Edit(row(B, zeros("prev_mac")), "log-link", B),
    "log: number": Edit(row(B, "seq = seq + 100000"), "event-not-logged", B),
    "log: a row removed": Edit("DELETE FROM log WHERE seq = (SELECT seq FROM world WHERE path = 'home/b')", "event-not-logged", B),
    "log: first row removed": Edit("DELETE FROM log WHERE seq = (SELECT min(seq) FROM log)", "log-link", A),
    "log: tail cut": Edit("DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)", "log-tail", ""),
    "log: all removed": Edit("DELETE FROM log", "log-tail", ""),
    "log: delete taken back": Edit("UPDATE log SET kind = 2 WHERE kind = 5", "log-mac", "home/gone"),
    # The store's own rows.
    "store: number": Edit("UPDATE store SET seq = seq - 1", "log-tail", ""),
    "store: MAC": Edit("UPDATE store SET mac = zeroblob(32)", "log-tail", ""),
    "store: id": Edit("UPDATE store SET store_id = zeroblob(16)", "log-link", A),
    "store: counters": Edit("UPDATE store SET bytes = bytes + 1", "counters", ""),
}  # fmt: skip


def edit(data: Path, sql: str) -> None:
    with sqlite3.connect(data / "elastik.db") as db:
        db.executescript(sql)
    db.close()
