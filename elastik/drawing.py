"""Draw paths as a tree with box characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Node = dict[str, Any]


def draw(paths: Iterable[str], root: str = "") -> str:
    """Canonical paths under `root` as text; ``(empty)`` without any."""
    tree: Node = {}
    for path in paths:
        node = tree
        for part in path[len(root) :].strip("/").split("/"):
            if part:
                node = node.setdefault(part, {})
        tree.setdefault("", {})
    if not tree:
        return "(empty)"
    del tree[""]
    return "\n".join([*([root] if root else []), *_lines(tree, "")])


def _lines(node: Node, indent: str) -> Iterator[str]:
    names = sorted(node)
    for name in names:
        last = name == names[-1]
        yield f"{indent}{'└── ' if last else '├── '}{name}"
        yield from _lines(node[name], indent + ("    " if last else "│   "))
