"""What put and post send: the body's source, its type, and the headers that go with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import click

from elastik.headers import WIRE_HEADERS
from elastik_cli.options import all_of
from elastik_cli.session import Session
from elastik_cli.terminal import is_terminal

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client

Body: TypeAlias = "bytes | IO[bytes] | Iterable[bytes]"

representation: Callable[[Any], Any] = all_of(
    click.option("--text", metavar="STRING", help="Store this text instead of a file."),
    click.option("--type", "content_type", metavar="TYPE", help="Media type, such as text/html."),
    click.option("--disposition", metavar="VALUE", help="Content-Disposition for browsers."),
    click.option("--cache-control", metavar="VALUE", help="Cache-Control for browsers."),
    click.option("-H", "--header", "header", multiple=True, metavar="NAME:VALUE", help="A header."),
    click.option("--meta", multiple=True, metavar="NAME=VALUE", help="A header X-Meta-NAME."),
    click.option("--gzip", is_flag=True, help="Compress, with Content-Encoding: gzip."),
)


@contextmanager
def opened(
    session: Session, file: str | None, text: str | None, *, rewind: bool = False
) -> Iterator[Body]:
    """The bytes to send: of `text`, of `file`, or of standard input (no file, or `-`).

    With `rewind` the body can be sent twice, a pipe by way of a temporary file.
    """
    if text is not None:
        if file:
            raise click.UsageError("give either FILE or --text")
        yield text.encode("utf-8", "surrogateescape")
    elif file and file != "-":
        with open(file, "rb") as opened_file:
            yield opened_file
    elif rewind:
        with _spooled(sys.stdin.buffer) as copy:
            yield copy
    else:
        if is_terminal(sys.stdin):
            session.say("reading standard input; Ctrl-D ends it")
        yield sys.stdin.buffer if sys.stdin.buffer.seekable() else arriving(sys.stdin.buffer)


def arriving(source: Any) -> Iterator[bytes]:
    """Pieces of a pipe or a terminal as they come; the first end is the end.

    A terminal forgets its Ctrl-D: reading on after a short piece would ask for a second one.
    """
    while piece := source.read1(1 << 16):
        yield piece


@contextmanager
def _spooled(source: IO[bytes]) -> Iterator[IO[bytes]]:
    import shutil
    import tempfile

    with tempfile.SpooledTemporaryFile(1 << 20) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        copy.seek(0)
        yield copy


def squeezed(body: Body) -> Iterator[bytes]:
    """`body` as a gzip stream (RFC 1952), piece by piece, the same for the same bytes."""
    import zlib

    from elastik.transport import pieces

    squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: a gzip frame around 32 KiB windows
    for piece in [body] if isinstance(body, bytes) else pieces(body):
        if out := squeeze.compress(piece):
            yield out
    yield squeeze.flush()


def headers_for(form: dict[str, Any]) -> dict[str, str]:
    """The representation headers that the options of `put` ask for."""
    headers = {}
    if form["disposition"]:
        headers["Content-Disposition"] = form["disposition"]
    if form["cache_control"]:
        headers["Cache-Control"] = form["cache_control"]
    if form["gzip"]:
        headers["Content-Encoding"] = "gzip"
    for item in form["header"]:
        name, colon, value = item.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"not NAME:VALUE: {item!r}")
        headers[name.strip()] = value.strip()
        if name.strip().lower() in WIRE_HEADERS:
            raise click.UsageError(f"{name.strip()} is not yours to set")
    for item in form["meta"]:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise click.UsageError(f"not NAME=VALUE: {item!r}")
        headers[f"X-Meta-{name.replace('_', '-')}"] = value
    for name, value in headers.items():
        if not (name.isascii() and name.isprintable() and value.isprintable()):
            raise click.UsageError(f"a header holds only printable characters: {name!r}")
    return headers


def guess_type(given: str | None, path: str, file: str | None, text: str | None) -> str:
    """The media type: as given, else by the name's ending, else text for --text, else bytes."""
    if given:
        return given
    names = [file, path] if file and file != "-" else [path]
    name = next((name for name in names if "." in name.rsplit("/", 1)[-1]), "")
    if name:
        import mimetypes

        kind, encoding = mimetypes.guess_type(name)
        if kind and not encoding:
            return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    return "application/octet-stream" if text is None else "text/plain; charset=utf-8"


def report(session: Session, path: str, answer: Any) -> None:
    """The outcome of a write: silent, unless --json or -v asks."""
    status, etag = answer["status"], answer["etag"].strip('"')
    if session.out.json:
        session.out.record({"path": path, "status": status, "created": status == 201, "etag": etag})
    session.note(f"{path}: {'created' if status == 201 else 'written'}, {etag}")


def warn_of_lost(session: Session, client: Client, path: str, headers: dict[str, str]) -> None:
    """Say which of the sent headers the server did not keep (it keeps only those it is told to)."""
    # Type, encoding and the like are always kept; what a user adds needs a look.
    asked = [name for name in headers if name.lower() not in ALWAYS_KEPT]
    if not asked:
        return
    kept = client.head(path)
    for name in asked:
        if name.lower() not in kept:
            session.say(f"{path}: the server does not keep the header {name}")


ALWAYS_KEPT = {"content-encoding", "content-disposition", "cache-control"}
