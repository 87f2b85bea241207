"""Look around: paths as a directory would show them, and as a tree. Pure functions on names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from elastik.paths import under


def children(paths: Iterable[str], prefix: str, depth: int = 1) -> list[str]:
    """What lies `depth` levels below `prefix` (-1: all of it), virtual directories with a slash.

    A path that is itself the prefix is listed, as `ls FILE` does.
    """
    inside = [path for path in paths if under(path, prefix)]
    return sorted(inside if depth < 0 else {cut(path, prefix, depth) for path in inside})


def cut(path: str, prefix: str, depth: int) -> str:
    """`path`, or its virtual directory `depth` levels below `prefix`.

    >>> cut("home/a/b/c", "home", 1), cut("home/a", "home", 1)
    ('home/a/', 'home/a')
    """
    start = len(prefix) + 1 if prefix else 0
    parts = path[start:].split("/")
    return path if len(parts) <= depth else path[:start] + "/".join(parts[:depth]) + "/"


Node = dict[str, Any]


def grow(paths: Iterable[str], prefix: str) -> Node:
    """Nested dictionaries of the names below `prefix`; every level is sorted by name."""
    root: Node = {}
    for path in paths:
        if path == prefix or not under(path, prefix):
            continue
        node = root
        for name in path[len(prefix) :].strip("/").split("/"):
            node = node.setdefault(name, {})
    return root


# A branch, the last branch, what stands under either.
BRANCHES = ("├── ", "└── ", "│   ", "    ")
ASCII = ("|-- ", "`-- ", "|   ", "    ")


def draw(
    node: Node, base: str = "", indent: str = "", letters: tuple[str, ...] = BRANCHES
) -> Iterator[tuple[str, str, str]]:
    """Each line of the tree: its branches, its name, and the whole path it stands for."""
    names = sorted(node)
    for name in names:
        last = name == names[-1]
        path = f"{base}/{name}" if base else name
        yield indent + letters[last], name, path
        yield from draw(node[name], path, indent + letters[2 + last], letters)
