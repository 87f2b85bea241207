"""The core's own pages under /proc/: lists, history, metrics. What an older core lacks is None."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from elastik.errors import NotFound, error_for

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client
    from elastik.responses import Response

Row = dict[str, Any]
JSON_LINES = {"Accept": "application/jsonl"}
PAGE = 1000


def _rows(answer: Response) -> list[Row]:
    return [json.loads(line) for line in answer.body.splitlines()]


def _checked(answer: Response, method: str, path: str) -> Response:
    if not answer.ok:
        raise error_for(answer.status, answer.body, method=method, path=path)
    return answer


def entries(client: Client, prefix: str, depth: int = 0) -> Iterator[Row] | None:
    """What lies below `prefix`, page by page: path, size, etag, type, modified, events.

    `depth` counts the segments that are told apart (0: all); what lies deeper is one row whose
    path ends in a slash. None when the core has no lists.
    """
    first = _page(client, prefix, depth, "")
    if first.status in (404, 405):
        return None
    return _all(client, prefix, depth, _rows(_checked(first, "LIST", f"/{prefix}")))


def names(client: Client, prefix: str, after: str = "") -> list[str] | None:
    """A page of what lies directly below `prefix`, behind `after`; None without lists."""
    answer = _page(client, prefix, 1, after)
    if answer.status in (404, 405):
        return None
    return [row["path"] for row in _rows(_checked(answer, "LIST", f"/{prefix}"))]


def _page(client: Client, prefix: str, depth: int, after: str) -> Response:
    query = urlencode({"depth": depth, "limit": PAGE, "after": after})
    return client.page("GET", f"/proc/list/{quote(prefix)}?{query}", JSON_LINES)


def _all(client: Client, prefix: str, depth: int, rows: list[Row]) -> Iterator[Row]:
    while True:
        yield from rows
        if len(rows) < PAGE:
            return
        answer = _page(client, prefix, depth, rows[-1]["path"])
        rows = _rows(_checked(answer, "LIST", f"/{prefix}"))


def versions(client: Client, path: str, count: int | None = None) -> Iterator[Row]:
    """The kept versions of `path`, newest first, `count` of them if so many are enough.

    Raises:
        NotFound: when the core keeps no history.
    """
    target = f"/proc/history/{quote(path)}"
    return _downwards(
        client, target, "seq", count, _checked(_some(client, target, count), "LOG", path)
    )


def events(client: Client, path: str, count: int | None = None) -> Iterator[Row] | None:
    """The audit chain of `path`, newest first; None in memory, nothing where nothing is stored."""
    target = f"/proc/audit/{quote(path)}/events"
    first = _some(client, target, count)
    if first.status == 204:
        return None
    if first.status == 404:
        return iter(())
    return _downwards(client, target, "id", count, _checked(first, "LOG", path))


def _some(client: Client, target: str, count: int | None, **wish: int) -> Response:
    query = urlencode({"limit": min(count or PAGE, PAGE), **wish})
    return client.page("GET", f"{target}?{query}", JSON_LINES)


def _downwards(
    client: Client, target: str, key: str, count: int | None, answer: Response
) -> Iterator[Row]:
    """The rows of `answer` and, page by page, of those below it by `key`."""
    while True:
        rows = _rows(answer)
        yield from rows
        if len(rows) < PAGE or (count and count <= PAGE):
            return
        answer = _checked(_some(client, target, None, before=rows[-1][key]), "LOG", target)


def version(client: Client, path: str, at: str) -> Response:
    """The version of `path` made by event number `at`, or in force at that time."""
    target = f"/proc/history/{quote(path)}?{urlencode({'at': at})}"
    return _checked(client.page("GET", target), "GET", f"/{path} at {at}")


def put_back(client: Client, path: str, at: str, if_match: str | None) -> Response:
    """Make that version the newest again, as an event of its own."""
    headers = {"If-Match": f'"{if_match.strip(chr(34))}"'} if if_match else {}
    target = f"/proc/history/{quote(path)}?{urlencode({'at': at})}"
    return _checked(client.page("POST", target, headers), "REVERT", f"/{path} at {at}")


def metrics(client: Client) -> dict[str, float]:
    """The core's numbers, each under its Prometheus name with its labels.

    Raises:
        NotFound: when the core has none.
    """
    answer = client.page("GET", "/proc/metrics")
    if answer.status == 404:
        raise NotFound(404, b"this server has no metrics", method="GET", path="/proc/metrics")
    found = {}
    for line in _checked(answer, "GET", "/proc/metrics").body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#"):
            found[name] = float(value)
    return found
