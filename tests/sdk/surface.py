"""The public surface of the SDK that this interpreter imports, as JSON on stdout."""

import importlib
import inspect
import json

MODULES = ("elastik", "elastik.sdk", "elastik.reactor", "elastik.tools", "elastik.testing")
OPERATORS = (
    "getitem setitem delitem contains iter len truediv enter exit fspath repr str eq hash".split()
)


def parameters(function):
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [
        (p.name, int(p.kind), "object" if " at 0x" in repr(p.default) else repr(p.default))
        for p in found
    ]


def kind_of(holder, name, value):
    raw = inspect.getattr_static(holder, name)
    if isinstance(raw, property):
        return "property"
    if isinstance(raw, (classmethod, staticmethod)):
        return type(raw).__name__
    return "function" if callable(value) else "value"


def members(cls):
    public = [name for name in dir(cls) if not name.startswith("_")]
    public += [f"__{name}__" for name in OPERATORS if hasattr(cls, f"__{name}__")]
    found = {}
    for name in [*public, *(["_raw"] if hasattr(cls, "_raw") else [])]:
        value = getattr(cls, name)
        # What a class of the standard library gives is not ours to keep.
        owner = next((c for c in cls.__mro__ if name in vars(c)), object)
        if owner.__module__.split(".")[0] == "elastik":
            kind = kind_of(cls, name, value)
            found[name] = [kind, parameters(value) if callable(value) else None]
    return found


def described(value):
    if hasattr(value, "__origin__"):
        return {"kind": "alias", "parameters": None}
    if not inspect.isclass(value):
        return {"kind": "function", "parameters": parameters(value)}
    return {
        "kind": "class",
        "parameters": parameters(value),
        "bases": [c.__name__ for c in value.__mro__],
        "members": members(value),
    }


def main():
    out = {}
    for module in map(importlib.import_module, MODULES):
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
        out[module.__name__] = {
            name: described(value)
            for name in names
            if callable(value := getattr(module, name)) and not name.startswith("_")
        }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
