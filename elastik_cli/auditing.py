"""What the server's audit says of paths: valid, broken, not audited, with the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elastik.errors import NotFound, error_for
from elastik.paths import is_durable
from elastik_cli.listing import every_path
from elastik_cli.session import Session

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

VERDICTS = {200: "valid", 204: "not audited", 409: "broken"}


def audited(session: Session, client: Client) -> list[str]:
    """Every path whose writes are audited."""
    return [path for path in every_path(session, client) if is_durable(path)]


def check(client: Client, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One verdict for each path.

    Raises:
        NotFound: when nothing is stored there.
        ElastikError: when the server cannot tell.
    """
    for path in paths:
        answer = client.request("GET", f"/proc/audit/{path}/verify")
        if answer.status == 404:
            raise NotFound(404, answer.body, method="VERIFY", path=f"/{path}")
        if answer.status not in VERDICTS:
            raise error_for(answer.status, answer.body, method="VERIFY", path=f"/{path}")
        headers = answer.headers
        verdict: dict[str, Any] = {"path": path, "verdict": VERDICTS[answer.status]}
        if answer.status == 200:
            verdict["events"] = int(headers.get("x-audit-events", 0))
            verdict["latest"] = headers.get("x-audit-latest", "")
        elif answer.status == 409:
            verdict["break_at"] = int(headers.get("x-audit-break-at", 0))
            verdict["expected"] = headers.get("x-audit-expected", "")
            verdict["actual"] = headers.get("x-audit-actual", "")
        yield verdict


def plain(row: Mapping[str, Any]) -> str:
    """verdict, events, newest version (or where it broke), path: separated by tabs."""
    verdict = row["verdict"]
    if verdict == "broken":
        broke = f"event {row['break_at']}: expected {row['expected']}, found {row['actual']}"
        return f"{verdict}\t-\t{broke}\t{row['path']}"
    return f"{verdict}\t{row.get('events', '-')}\t{row.get('latest', '-')}\t{row['path']}"
