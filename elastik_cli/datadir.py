"""Look into a data directory without a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elastik.paths import decode_disk_name
from elastik_cli.exits import Failure

DATABASE = "elastik.db"


def worlds(directory: str) -> Iterator[dict[str, Any]]:
    """The durable paths in `directory`: of its elastik.db, then of the directories of 8.x.

    Reads only; a running server is not disturbed. A missing directory holds nothing.
    """
    root = Path(directory)
    if (root / DATABASE).is_file():
        yield from _in_database(root / DATABASE)
    if root.is_dir():
        for child in sorted(root.iterdir()):
            if (child / "universe.db").is_file():
                yield {"path": decode_disk_name(child.name), "disk": child.name}


def _in_database(file: Path) -> Iterator[dict[str, Any]]:
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        try:
            for path, size in connection.execute("SELECT path, size FROM world ORDER BY path"):
                text = path.decode() if isinstance(path, bytes) else path
                yield {"path": text, "size": size}
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Failure(f"{file}: {error}") from None
