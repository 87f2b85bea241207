"""Read a `.env` file into the environment, filling only what is missing."""

from __future__ import annotations

import os


def load_dotenv(path: str | os.PathLike[str] = ".env") -> None:
    """Set each ``KEY=VALUE`` of `path` that the environment lacks.

    ``#`` starts a comment line; one pair of matching quotes around a value is removed; there is no
    ``export``, no interpolation and no comment behind a value. A missing file is no error.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        text = line.strip()
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or text.startswith("#") or "\0" in text:
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        os.environ.setdefault(name, value)
    warn_old_token_name()


def warn_old_token_name() -> None:
    """Say that ELASTIK_TOKEN is the old name of ELASTIK_WRITE_TOKEN, when only it is set."""
    if os.environ.get("ELASTIK_TOKEN") and not os.environ.get("ELASTIK_WRITE_TOKEN"):
        import warnings

        warnings.warn(
            "ELASTIK_TOKEN is deprecated; rename it to ELASTIK_WRITE_TOKEN.",
            UserWarning,
            stacklevel=3,
        )
