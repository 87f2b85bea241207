"""World paths: canonical form, wire form, disk names, listen patterns."""

from __future__ import annotations

import re
from functools import lru_cache

from elastik.errors import BadPath

NAMESPACES = frozenset("home tmp dev sys proc etc lib boot usr var".split())
MEMORY_NAMESPACES = frozenset({"tmp", "dev", "sys"})
LEDGER = "var/log/deletes"
RESERVED = NAMESPACES | {"var/log"}

_PROC = frozenset(
    f"proc/{name}" for name in "version worlds du df pool metrics health ready batch".split()
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DOTS = re.compile(r"(\.|%2e){1,2}", re.IGNORECASE)
# What the core keeps of printable ASCII in a directory name; the rest becomes %XX (core.md §4.2).
_DISK_ESCAPED = frozenset(b' "%*./:<>?|\\')


def canonical(path: str) -> str:
    """`note`, `/note` and `home/note` -> `home/note`; raises BadPath for what no core can hold."""
    world = with_namespace(path)
    validate(world)
    return world


def with_namespace(path: str) -> str:
    """The path without leading slashes, under `home/` unless it names a namespace. Unchecked."""
    bare = path.lstrip("/")
    if bare.split("/", 1)[0] in NAMESPACES:
        return bare
    return "home/" + bare


def validate(world: str) -> None:
    """Raise BadPath unless `world`, with its namespace, can be the name of a world."""
    if not world or world == "home/":
        raise BadPath("empty elastik path", world)
    if world in RESERVED or world.startswith("proc/"):
        raise BadPath("namespace roots and /proc internals are reserved", world)
    if "\\" in world:
        raise BadPath("a backslash is not allowed in elastik paths", world)
    if _CONTROL.search(world):
        raise BadPath("control bytes are not allowed in elastik paths", world)
    for segment in world.split("/"):
        if not segment or _DOTS.fullmatch(segment):
            raise BadPath("empty, dot and dot-dot segments are not allowed", world)


def canonical_prefix(prefix: str) -> str:
    """A prefix for listing: `""` is everything, a namespace root is allowed, no trailing slash."""
    if not prefix.strip("/"):
        return ""
    root = with_namespace(prefix).rstrip("/")
    if root not in RESERVED:
        validate(root)
    return root


def under(path: str, prefix: str) -> bool:
    """True when `path` is `prefix` or lies below it, at a segment border."""
    return not prefix or path == prefix or path.startswith(prefix + "/")


def is_durable(world: str) -> bool:
    """True when the canonical path is kept on disk and audited."""
    return world.split("/", 1)[0] not in MEMORY_NAMESPACES


def quote(text: str) -> str:
    """Percent-encode for a request target; `/` stays."""
    from urllib.parse import quote as percent_encode

    try:
        return percent_encode(text, safe="/")
    except UnicodeEncodeError:
        raise BadPath("an elastik path must be text that UTF-8 can hold", text) from None


def target(path: str) -> str:
    """The request target of a world or of one of the core's own `/proc` pages."""
    bare = path.lstrip("/")
    if bare == "proc" or bare.startswith("proc/"):
        return "/" + quote(_proc(bare))
    return "/" + quote(canonical(path))


def _proc(bare: str) -> str:
    if bare in _PROC:
        return bare
    if bare.startswith("proc/audit/"):
        for suffix in ("/verify", "/events"):
            if bare.endswith(suffix):
                world = bare[len("proc/audit/") : -len(suffix)].strip("/")
                return f"proc/audit/{canonical(world)}{suffix}"
        raise BadPath("below /proc/audit only <world>/verify and <world>/events exist", bare)
    names = ", ".join("/" + name for name in sorted(_PROC))
    raise BadPath(f"/proc is reserved; there are {names} and /proc/audit/<world>/verify", bare)


def encode_disk_name(world_name: str) -> str:
    """Directory name of a durable world: ``home/note.txt`` -> ``home%2Fnote%2Etxt``."""
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte not in _DISK_ESCAPED else f"%{byte:02X}"
        for byte in world_name.encode("utf-8")
    )


def decode_disk_name(disk_name: str) -> str:
    """World path of a directory name; the reverse of `encode_disk_name`."""
    from urllib.parse import unquote

    return unquote(disk_name)


def canonical_pattern(pattern: str) -> str:
    """A listen pattern with its namespace: `inbox/*` -> `home/inbox/*`; `*` and `h*` stay.

    `h*` keeps 8.3's meaning because the text before the first star is the beginning of a
    namespace's name.
    """
    bare = pattern.strip().lstrip("/")
    if bare in ("", "*"):
        return "*"
    head = bare.split("*", 1)[0]
    first = head.split("/", 1)[0]
    complete = "/" in head or "*" not in bare
    if complete:
        return bare if first in NAMESPACES else "home/" + bare
    if any(name.startswith(first) for name in NAMESPACES):
        return bare
    return "home/" + bare


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    text = canonical_pattern(pattern)
    open_end = text.endswith("*")
    pieces = (text[:-1] if open_end else text).split("*")
    inner = "[^/]*".join(re.escape(re.sub("%2[Aa]", "*", piece)) for piece in pieces)
    return re.compile(inner + (".*" if open_end else ""), re.DOTALL)


def matches(pattern: str, path: str) -> bool:
    """Does a listen pattern cover a path?

    `*` alone is everything, a final `*` any rest including slashes, an inner `*` one segment,
    `%2A` a literal star.
    """
    return _compiled(pattern).fullmatch(path.lstrip("/")) is not None


def quote_pattern(pattern: str) -> str:
    """A listen pattern for a request target; BadPath for what no path can match."""
    from urllib.parse import quote as percent_encode

    text = canonical_pattern(pattern)
    if _CONTROL.search(text) or "\\" in text:
        raise BadPath("control bytes and backslashes are not allowed in listen patterns", pattern)
    if any(not segment or _DOTS.fullmatch(segment) for segment in text.split("/")):
        raise BadPath("empty, dot and dot-dot segments are not allowed", pattern)
    # %2A must reach the core as it is: there it means a star that stands for itself.
    return re.sub("%252[Aa]", "%2A", percent_encode(text, safe="/*"))
