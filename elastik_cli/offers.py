"""What TAB may offer: server paths as typed so far, and serial ports. Silent, whatever happens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from elastik import paths
from elastik_cli import pages

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client
    from elastik_cli.session import Session

# A shell that waits for a dead server is worse than one that offers nothing.
PATIENCE_S = 0.3
# Behind every name that begins with what stands before it: the last letter of Unicode.
LAST = "\U0010ffff"


def server_paths(session: Session, typed: str) -> list[str]:
    """Paths that begin as typed, up to the next slash; nothing when the server is away."""
    try:
        return fitting(_listed(session.client("read", timeout=PATIENCE_S), typed), typed)
    except Exception:  # whatever it is, a TAB must not print it
        return []


def _listed(client: Client, typed: str) -> Iterable[str]:
    """What lies where `typed` points, a page of it, from the first name that fits."""
    found: list[str] = []
    for parent, begun in questions(typed):
        names = pages.names(client, parent, after=just_before(parent, begun))
        if names is None:  # a core without lists
            return client.list()
        found += names
    return found


def questions(typed: str) -> Iterator[tuple[str, str]]:
    """(directory, beginning of a name in it) for what `typed` may mean.

    >>> list(questions("a/b")), list(questions("tm"))
    ([('home/a', 'b')], [('home', 'tm'), ('', 'tm')])
    """
    head, slash, begun = typed.removeprefix("/").rpartition("/")
    if slash and head.split("/", 1)[0] in paths.NAMESPACES:
        yield head, begun
        return
    yield f"home/{head}" if slash else "home", begun
    if not slash:
        yield "", begun


def just_before(parent: str, begun: str) -> str:
    """A name that sorts in front of all that begin with `begun`, and behind most others."""
    if not begun or ord(begun[-1]) <= 0x21:
        return ""
    code = ord(begun[-1]) - 1
    # Between U+D7FF and U+E000 lie no letters.
    lower = chr(0xD7FF if 0xD800 <= code <= 0xDFFF else code)
    lead = f"{parent}/" if parent else ""
    return f"{lead}{begun[:-1]}{lower}{LAST}"


def fitting(worlds: Iterable[str], typed: str) -> list[str]:
    """`worlds` in the form `typed` has begun, cut behind the next slash.

    >>> fitting(["home/a", "home/b/c", "tmp/x"], "")
    ['a', 'b/', 'tmp/']
    >>> fitting(["home/a", "home/b/c", "tmp/x"], "/home/")
    ['/home/a', '/home/b/']
    """
    lead = "/" if typed.startswith("/") else ""
    bare = typed[len(lead) :]
    whole = bare.split("/", 1)[0] in paths.NAMESPACES and "/" in bare
    found = set()
    for world in worlds:
        short = world.startswith("home/") and not whole
        name = world.removeprefix("home/") if short else world
        if name and name.startswith(bare):
            end = name.find("/", len(bare))
            found.add(lead + (name if end < 0 else name[: end + 1]))
    if not whole and bare and "home/".startswith(bare):
        found.add(lead + "home/")
    return sorted(found)


def serial_ports(typed: str) -> list[str]:
    """The devices of this machine that begin as typed."""
    try:
        from serial.tools.list_ports import comports

        return sorted(port.device for port in comports() if port.device.startswith(typed))
    except Exception:  # no pyserial, no rights, a bus that does not answer
        return []
