"""What a verb sends: bodies and headers from a caller's arguments; which core can do what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

from elastik.headers import reject_wire_headers
from elastik.responses import etag_value

if TYPE_CHECKING:
    from elastik.transport import Body

Data = bytes | bytearray | memoryview | str | IO[bytes] | Iterable[bytes]

# Methods that only read, and those for which a second delivery would do something once more.
READING = frozenset({"GET", "HEAD", "OPTIONS"})
KEYED = frozenset({"POST", "PATCH", "COPY", "MOVE"})
LONGEST_PAUSE_S = 10.0

# The first version of the core that can do each thing.
SINCE: dict[str, tuple[int, ...]] = {
    "operation keys": (9,),
    "copy and move": (9,),
    "collections": (9,),
    "inline events": (9,),
    "several patterns": (9,),
    "batch": (9,),
    "patch": (9,),
    "history": (9,),
    "purge": (9,),
    "lifetimes": (9,),
}


def version_of(status: int, body: bytes) -> tuple[int, ...]:
    """(9, 0, 0) of `elastik-core 9.0.0.dev0 (rust)`; () when that is no core."""
    words = body.decode("utf-8", "replace").split()
    if status != 200 or len(words) < 2 or words[0] != "elastik-core":
        return ()
    numbers = words[1].lstrip("v").split("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def wire_headers(method: str, headers: Mapping[str, str] | None, token: str) -> dict[str, str]:
    """The headers of a request with token and operation key; an explicit Authorization wins."""
    sent = dict(headers or {})
    reject_wire_headers(sent)
    if token and not any(name.lower() == "authorization" for name in sent):
        sent["Authorization"] = f"Bearer {token}"
    return with_key(sent) if method in KEYED else sent


def with_key(sent: dict[str, str]) -> dict[str, str]:
    """The same with an operation key, by which a core knows a repetition."""
    sent.setdefault("Idempotency-Key", os.urandom(16).hex())
    return sent


def is_harmless(method: str, sent: Mapping[str, str]) -> bool:
    """A second delivery does the same and says the same, also to a core without operation keys.

    A DELETE would find nothing any more, and a condition may fail by the request's own effect.
    """
    if method == "PUT":
        return not any(name.lower() in ("if-match", "if-none-match") for name in sent)
    return method in READING


def pause_of(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds a 503 asks to wait; None for every other answer."""
    if status != 503:
        return None
    wait = headers.get("retry-after", "")
    if wait.isdecimal():
        return min(float(wait), LONGEST_PAUSE_S)
    return _pause_until(wait) if wait else None


def _pause_until(date: str) -> float | None:
    """The other form of Retry-After (RFC 9110 §10.2.3): a date."""
    import email.utils
    import time

    try:
        left = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(left, 0.0), LONGEST_PAUSE_S)


def beginning_of(body: Any) -> int | None:
    """Where a body begins; None when it can be read only once."""
    if body is None or isinstance(body, (bytes, bytearray, memoryview)):
        return 0
    try:
        here = int(body.tell())
        body.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return here


def rewind(body: Any, start: int | None) -> None:
    """Back to where a body began."""
    if hasattr(body, "seek"):
        body.seek(start)


def get_headers(
    range: tuple[int, int | None] | None,
    if_none_match: str | None,
    if_range: str | None,
    headers: Mapping[str, str] | None,
) -> dict[str, str]:
    """The headers of a GET from its keywords."""
    sent = dict(headers or {})
    if range is not None:
        first, last = range
        sent["Range"] = f"bytes={first}-{'' if last is None else last}"
    for name, validator in (("If-None-Match", if_none_match), ("If-Range", if_range)):
        value = etag_value(validator)
        if value is not None:
            sent[name] = value
    return sent


def put_headers(
    is_text: bool,
    headers: Mapping[str, str] | None,
    meta: Mapping[str, Any],
    *,
    content_type: str | None = None,
    content_encoding: str | None = None,
    content_language: str | None = None,
    content_disposition: str | None = None,
    cache_control: str | None = None,
    if_match: str | None = None,
    if_none_match: str | None = None,
    create_only: bool = False,
    delete_after: int | None = None,
) -> dict[str, str]:
    """The headers of a PUT from its keywords."""
    if delete_after is not None and (
        not isinstance(delete_after, int) or isinstance(delete_after, bool) or delete_after < 0
    ):
        raise ValueError(f"delete_after must be whole seconds, not {delete_after!r}")
    if isinstance(if_none_match, bool):
        raise TypeError("if_none_match must be an ETag; for `*` use create_only=True")
    if create_only and if_none_match is not None:
        raise ValueError("use either create_only=True or if_none_match=etag, not both")
    sent = dict(headers or {})
    if meta:
        from elastik.formats import warn_near_misses

        warn_near_misses(meta)
        sent.update({f"X-Meta-{k.replace('_', '-')}": str(v) for k, v in meta.items()})
    if content_type is None:
        content_type = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
    given = {
        "Content-Type": content_type,
        "Content-Encoding": content_encoding,
        "Content-Language": content_language,
        "Content-Disposition": content_disposition,
        "Cache-Control": cache_control,
        "If-Match": etag_value(if_match),
        "If-None-Match": "*" if create_only else etag_value(if_none_match),
        "X-Elastik-TTL": delete_after,
    }
    sent.update({name: str(value) for name, value in given.items() if value is not None})
    return sent


def put_options(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of `Elastik.put` that `put_headers` takes, and the rest."""
    known = put_headers.__kwdefaults__ or {}
    options = {name: value for name, value in keywords.items() if name in known}
    return options, {name: value for name, value in keywords.items() if name not in known}


def post_headers(
    if_match: str | None, offset: int | None, headers: Mapping[str, str] | None
) -> dict[str, str]:
    """The headers of a POST from its keywords."""
    sent = dict(headers or {})
    if offset is not None:
        sent["X-Append-Offset"] = str(offset)
    return {**sent, **match_headers(if_match)}


def match_headers(if_match: str | None) -> dict[str, str]:
    """The header of a condition, if there is one."""
    validator = etag_value(if_match)
    return {} if validator is None else {"If-Match": validator}


def delete_headers(if_match: str | None, purge: bool) -> dict[str, str]:
    """The headers of a DELETE from its keywords."""
    sent = match_headers(if_match)
    return {**sent, "X-Elastik-Purge": "true"} if purge else sent


def body_of(data: Data, method: str) -> Body:
    """What the transport sends for `data`; TypeError for what is no body."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode("utf-8")
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    if hasattr(data, "read") or (hasattr(data, "__iter__") and not isinstance(data, Mapping)):
        if isinstance(data, (list, tuple)) and not all(isinstance(p, bytes) for p in data):
            raise TypeError(f"{method}() got a sequence that is not all bytes")
        return data
    raise TypeError(
        f"{method}() data must be bytes, str, a binary file or an iterable of bytes,"
        f" not {type(data).__name__}"
    )
