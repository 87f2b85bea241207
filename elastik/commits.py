"""Changes that only the core can make in one commit: patches and batches."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from elastik import paths
from elastik.errors import Unsupported, error_for
from elastik.responses import Written, etag_value
from elastik.verbs import Verbs


class Operation(TypedDict, total=False):
    """One line of a batch. `op` is put, append, delete or check; a check only holds conditions.

    `data` is bytes or text, `offset` the size that an append expects to find, in bytes.
    """

    op: str
    path: str
    data: bytes | str
    content_type: str
    headers: Mapping[str, str]
    if_match: str
    if_none_match: str
    offset: int


class Outcome(Written):
    """What became of one operation; `etag` is empty after a delete."""

    path: str


class Commits(Verbs):
    """patch and batch. Both raise Unsupported on a core before 9."""

    def patch(
        self,
        path: str,
        changes: Mapping[str, Any] | list[Any],
        *,
        if_match: str | None = None,
    ) -> Written:
        """Change a JSON world in place.

        A mapping is a merge patch (RFC 7396: None removes a member), a list a JSON patch
        (RFC 6902: operations in order, all or none).
        """
        self._need("patch", "PATCH")
        merge = isinstance(changes, Mapping)
        kind = "application/merge-patch+json" if merge else "application/json-patch+json"
        sent = {"Content-Type": kind}
        validator = etag_value(if_match)
        if validator is not None:
            sent["If-Match"] = validator
        body = json.dumps(changes, ensure_ascii=False).encode("utf-8")
        response = self._checked("PATCH", path, body, sent)
        self.clear_cache(path)
        return {"status": response.status, "etag": response.etag}

    def batch(self, operations: Iterable[Operation]) -> list[Outcome]:
        """Do all of the operations in one commit, or none of them.

        PreconditionFailed, NotFound and so on tell why nothing was done; PayloadTooLarge that the
        core's limit for one commit (10,000 worlds, 64 MiB) is exceeded.
        """
        self._need("batch", "batches")
        lines = [json.dumps(_line(operation)) for operation in operations]
        sent = {"Content-Type": "application/jsonl"}
        target = "/proc/batch"
        response = self._request("POST", target, target, "\n".join(lines).encode("utf-8"), sent)
        if not response.ok:
            raise error_for(
                response.status, response.body, method="POST", path=target, headers=response.headers
            )
        self.clear_cache()
        found = [json.loads(line) for line in response.body.splitlines()]
        return [
            {
                "path": item["path"],
                "status": item["status"],
                "etag": etag_value(item.get("etag")) or "",
            }
            for item in found
        ]

    def _need(self, capability: str, what: str) -> None:
        if not self._knows(capability):
            raise Unsupported(f"this core has no {what}")


def _line(operation: Operation) -> dict[str, Any]:
    line: dict[str, Any] = {"op": operation["op"], "path": paths.canonical(operation["path"])}
    data = operation.get("data")
    if isinstance(data, str):
        line["body"] = data
    elif data is not None:
        line["base64"] = base64.b64encode(data).decode("ascii")
    if "content_type" in operation:
        line["type"] = operation["content_type"]
    for name in ("if_match", "if_none_match"):
        validator = etag_value(operation.get(name))  # type: ignore[arg-type]
        if validator is not None:
            line[name.replace("_", "-")] = validator
    if operation.get("headers"):
        line["headers"] = dict(operation["headers"])
    if "offset" in operation:
        line["offset"] = operation["offset"]
    return line
