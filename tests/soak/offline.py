"""Checks a data directory with SQLite alone: pages, counters, pieces, chains of rows."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from soak.history import Broken

# Each finds nothing in a sound store. Objects may wait in `trash` or `staged` to be freed.
QUESTIONS = {
    "bodies counted": """
        SELECT bytes, (SELECT total(size) FROM world) FROM store
        WHERE bytes != (SELECT total(size) FROM world)""",
    "worlds counted": """
        SELECT worlds FROM store WHERE worlds !=
        (SELECT count(*) FROM world WHERE path != 'var/log/deletes')""",
    "every span has its piece": """
        SELECT object, at FROM span LEFT JOIN piece ON piece.id = span.piece
        WHERE piece.id IS NULL OR length(piece.bytes) != span.size""",
    "every piece has one span": """
        SELECT id FROM piece LEFT JOIN span ON span.piece = piece.id
        GROUP BY id HAVING count(span.piece) != 1""",
    "every object is somebody's": """
        SELECT DISTINCT object FROM span WHERE object NOT IN (
          SELECT object FROM world WHERE object IS NOT NULL
          UNION SELECT object FROM version WHERE object IS NOT NULL
          UNION SELECT object FROM staged UNION SELECT id FROM trash)""",
    "no object in use is thrown away": """
        SELECT path FROM world JOIN trash ON trash.kind = 1 AND trash.id = world.object""",
    "every object is as long as its world": """
        SELECT path, size, (SELECT total(size) FROM span WHERE span.object = world.object) AS held
        FROM world WHERE object IS NOT NULL AND held != size""",
    "pieces follow each other": """
        SELECT object, at FROM (SELECT object, at, lag(at + size, 1, 0)
          OVER (PARTITION BY object ORDER BY at) AS before FROM span) WHERE at != before""",
    "every event is counted": """
        SELECT path, world.events FROM world LEFT JOIN
          (SELECT world, count(*) AS events FROM event GROUP BY world) e ON e.world = world.id
        WHERE world.events != coalesce(e.events, 0)""",
    "every event is linked to the one before it": """
        SELECT world, n FROM (SELECT world, n, prev,
          lag(n) OVER (PARTITION BY world ORDER BY id) AS before FROM event
          WHERE world IN (SELECT id FROM world))
        WHERE prev IS NOT before""",
    "every world names its newest event": """
        SELECT path FROM world LEFT JOIN event ON event.n = world.seq
        WHERE event.world IS NOT world.id OR event.id IS NOT world.event_id""",
    "the head is the newest event": """
        SELECT path FROM world JOIN event ON event.n = world.seq
        WHERE event.hmac != world.hmac OR event.seq != world.seq
           OR event.size != world.size AND event.type IN ('put', 'append')""",
    "the log is one chain": """
        SELECT seq FROM (SELECT seq, prev_mac, lag(mac) OVER (ORDER BY seq) AS before FROM log)
        WHERE before IS NOT NULL AND prev_mac != before""",
    "the log ends where the store says": """
        SELECT store.seq FROM store LEFT JOIN log ON log.seq = store.seq
        WHERE store.seq != 0 AND (log.mac IS NULL OR log.mac != store.mac)
           OR EXISTS (SELECT 1 FROM log WHERE log.seq > store.seq)""",
    "no number above the mark": "SELECT seq FROM store WHERE seq > high_water",
}


def check(data: Path, copy: Path) -> None:
    """Raises Broken with the first claim that does not hold; `copy` is made and removed."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    db = sqlite3.connect(copy / "elastik.db")
    try:
        damage = [row[0] for row in db.execute("PRAGMA integrity_check")]
        if damage != ["ok"]:
            raise Broken(f"integrity_check: {damage[:5]}")
        for claim, question in QUESTIONS.items():
            if found := db.execute(question).fetchmany(5):
                raise Broken(f"{claim}: not so for {found}")
    except sqlite3.DatabaseError as error:
        raise Broken(f"the file cannot be read: {error}") from error
    finally:
        db.close()
    shutil.rmtree(copy)
