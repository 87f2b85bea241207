"""Look around: paths as a directory would show them, and as a tree. Pure functions on names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from elastik.paths import under


def children(paths: Iterable[str], prefix: str, depth: int = 1) -> list[str]:
    """What lies `depth` levels below `prefix` (-1: all of it), virtual directories with a slash.

    A path that is itself the prefix is listed, as `ls FILE` does.
    """
    if depth < 0:
        return sorted(path for path in paths if under(path, prefix))
    found = set()
    for path in paths:
        if not under(path, prefix):
            continue
        rest = path[len(prefix) :].strip("/").split("/") if prefix else path.split("/")
        base = f"{prefix}/" if prefix else ""
        if path == prefix or len(rest) <= depth:
            found.add(path)
        else:
            found.add(base + "/".join(rest[:depth]) + "/")
    return sorted(found)


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


def draw(node: Node, base: str = "", indent: str = "") -> Iterator[tuple[str, str, str]]:
    """Each line of the tree: its branches, its name, and the whole path it stands for."""
    names = sorted(node)
    for name in names:
        last = name == names[-1]
        path = f"{base}/{name}" if base else name
        yield indent + ("└── " if last else "├── "), name, path
        yield from draw(node[name], path, indent + ("    " if last else "│   "))
