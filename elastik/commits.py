"""Changes that only the core can make in one commit: patches and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from elastik import paths
from elastik.responses import Written, etag_value
from elastik.sending import Data, body_of, match_headers, put_headers, put_options
from elastik.verbs import Verbs

if TYPE_CHECKING:
    from elastik.transport import Body


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
        (RFC 6902: operations in order, all or none). NotFound, PreconditionFailed, or Conflict
        when the patch does not fit what is there.
        """
        return self._do(self._plans.patch(path, *patch_of(changes, if_match)))

    def batch(self, operations: Iterable[Operation]) -> list[Outcome]:
        """Do all of the operations in one commit, or none of them.

        PreconditionFailed, NotFound and so on tell why nothing was done; PayloadTooLarge that the
        core's limit for one commit (10,000 worlds, 64 MiB) is exceeded.
        """
        return outcomes(self._do(self._plans.batch(*batch_of(operations))))


def patch_of(
    changes: Mapping[str, Any] | list[Any], if_match: str | None
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a PATCH."""
    import json

    merge = isinstance(changes, Mapping)
    kind = "application/merge-patch+json" if merge else "application/json-patch+json"
    sent = {"Content-Type": kind, **match_headers(if_match)}
    return json.dumps(changes, ensure_ascii=False).encode("utf-8"), sent


def batch_of(operations: Iterable[Operation]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a batch."""
    import json

    lines = [json.dumps(_line(operation)) for operation in operations]
    return "\n".join(lines).encode("utf-8"), {"Content-Type": "application/jsonl"}


def outcomes(body: bytes) -> list[Outcome]:
    """What a batch answered, in the order of its operations."""
    import json

    found = [json.loads(line) for line in body.splitlines()]
    return [
        {
            "path": item["path"],
            "status": item["status"],
            "etag": etag_value(item.get("etag")) or "",
        }
        for item in found
    ]


def puts_of(items: Mapping[str, Data], **keywords: Any) -> list[Operation]:
    """PUTs with the keywords of `Elastik.put` as operations of one batch."""
    options, meta = put_options(keywords)
    extra = meta.pop("headers", None)
    return [_put(path, data, extra, meta, options) for path, data in items.items()]


def _put(
    path: str,
    data: Data,
    extra: Mapping[str, str] | None,
    meta: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Operation:
    headers = put_headers(isinstance(data, str), extra, meta, **options)
    body = body_of(data, "put")
    operation: Operation = {
        "op": "put",
        "path": path,
        # One request holds the whole batch, so a file or an iterable is read here.
        "data": body if isinstance(body, bytes) else b"".join(pieces_of(body)),
        "content_type": headers.pop("Content-Type"),
    }
    if "If-Match" in headers:
        operation["if_match"] = headers.pop("If-Match")
    if "If-None-Match" in headers:
        operation["if_none_match"] = headers.pop("If-None-Match")
    operation["headers"] = headers
    return operation


def pieces_of(body: Body) -> Iterator[bytes]:
    """The pieces of a streamed body."""
    from elastik.transport import pieces

    return pieces(body)  # type: ignore[arg-type]


def _line(operation: Operation) -> dict[str, Any]:
    import base64

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
