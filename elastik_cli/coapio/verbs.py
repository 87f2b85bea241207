"""What the verbs of `elastik coap` do."""

from __future__ import annotations

import sys
import time
from queue import SimpleQueue
from typing import Any

from elastik.coap import formats, messages
from elastik.coap.blocks import Limits
from elastik_cli.coapio.target import Target, target_of
from elastik_cli.exits import Exit, Failure
from elastik_cli.terminal import is_terminal

LOOPBACK = ("localhost", "::1")


def token_for(session: Any, target: Target, need: str, given: str | None) -> bytes:
    """The token to send: one that was named on the command line, or the server's own.

    A token of the settings goes only to their server's host, and in the clear only on this
    machine: plain CoAP shows it to everybody on the way.
    """
    if given:
        session.say("--token shows the token to every user of this machine: use --token-file")
        return given.encode()
    explicit = session.flags.token_file is not None
    from urllib.parse import urlsplit

    same = urlsplit(session.server.url).hostname == target.host
    safe = target.scheme == "coaps" or target.host in LOOPBACK or target.host.startswith("127.")
    if not explicit and not (same and safe):
        return b""
    token: str = session.token(need)
    return token.encode()


def make_asker(session: Any, target: Target, need: str, wish: dict[str, Any]) -> Any:
    """A client for `target`."""
    from elastik_cli.coapio.asking import DATAGRAM, Asker

    size = wish.get("block_size") or 1024
    limits = Limits(DATAGRAM, messages.szx_for(size), early=size < 1024)
    token = token_for(session, target, need, wish.get("token"))
    return Asker(target, token, session.flags.timeout, _progress(session), limits, session.say)


def _progress(session: Any) -> Any:
    """Bytes so far on stderr, for a person who waits; nothing in a pipe."""
    if session.flags.quiet or not is_terminal(sys.stderr):
        return lambda done, whole: None
    shown = 0.0

    def progress(done: int, whole: int) -> None:
        nonlocal shown
        last = bool(whole) and done >= whole
        if time.monotonic() - shown > 0.1 or last:
            shown = time.monotonic()
            of = f" of {whole}" if whole else ""
            sys.stderr.write(f"\r{done}{of} bytes" + ("\n" if last else ""))
            sys.stderr.flush()

    return progress


def request(
    session: Any,
    method: str,
    words: tuple[str, ...],
    wish: dict[str, Any],
    *,
    body: bytes = b"",
    need: str = "read",
    options: list[tuple[int, bytes]] | None = None,
) -> Any:
    """Send one request; its good answer, or the Failure that it means."""
    from elastik_cli.coapio.asking import refusal, run

    target, _ = target_of(words)
    asker = make_asker(session, target, need, wish)

    async def main() -> Any:
        async with asker:
            message = asker.message(messages.METHODS[method], options or [], body)
            return await asker.ask(message)

    answer = run(main())
    session.note(f"{method} {target}: {messages.code_text(answer.code)}")
    if failure := refusal(answer, f"{method} {target}"):
        raise failure
    return answer


def preconditions(wish: dict[str, Any]) -> list[tuple[int, bytes]]:
    """If-Match, If-None-Match, Accept and Content-Format from the options."""
    found: list[tuple[int, bytes]] = []
    if wish.get("create_only"):
        found.append((messages.IF_NONE_MATCH, b""))
    if tag := wish.get("if_match"):
        try:
            found.append((messages.IF_MATCH, bytes.fromhex(tag)))
        except ValueError:
            raise Failure(
                f"--if-match {tag}: an ETag in hex, as --json shows it", Exit.USAGE
            ) from None
    for name, number in (("accept", messages.ACCEPT), ("content_type", messages.CONTENT_FORMAT)):
        if kind := wish.get(name):
            found.append((number, messages.uint(_format(kind))))
    return found


def _format(kind: str) -> int:
    if kind.isdigit():
        return int(kind)
    number = formats.number(kind)
    if number is None:
        raise Failure(f"{kind} has no CoAP number here; give the number", Exit.USAGE)
    return number


def show(session: Any, answer: Any) -> None:
    """The answer's bytes, or with --json everything about it."""
    if not session.out.json:
        session.out.bytes(answer.payload)
        return
    from elastik_cli.feed import in_json

    record = {"code": messages.code_text(answer.code), "type": messages.media_type(answer)}
    record["etag"] = (answer.value(messages.ETAG) or b"").hex() or None
    record["max_age"] = answer.uint(messages.MAX_AGE)
    session.out.record(record | in_json(answer.payload))


def discover(session: Any, words: tuple[str, ...], wish: dict[str, Any]) -> None:
    """The server's /.well-known/core as rows."""
    from elastik_cli.linkrows import show as show_links

    found, filters = target_of(words, path=False)
    uri = f"coap://{found.authority}" if "://" not in words[0] else words[0]
    base = f"{uri.split('?')[0].rstrip('/')}".removesuffix("/.well-known/core")
    query = "&".join([*found.queries, *filters])
    answer = request(
        session, "GET", (f"{base}/.well-known/core" + (f"?{query}" if query else ""),), wish
    )
    show_links(session.out, answer.payload)


def ping(session: Any, words: tuple[str, ...], count: int) -> None:
    """An empty CON (RFC 7252 §4.3), which every server must reset; aiocoap cannot send one."""
    import os
    import socket

    target, _ = target_of(words, path=False)
    if target.scheme != "coap":
        raise Failure("ping is for coap:// only", Exit.USAGE)
    wait = session.flags.timeout or 2.0
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise Failure(f"{target.host}: {error.strerror}", Exit.UNREACHABLE) from None
    with socket.socket(found[0], socket.SOCK_DGRAM) as sock:
        sock.settimeout(wait)
        for _ in range(count):
            mid = os.urandom(2)
            began = time.monotonic()
            try:
                sock.connect(found[4])
                sock.send(b"\x40\x00" + mid)
                while sock.recv(100) != b"\x70\x00" + mid:
                    pass
            except TimeoutError:
                text = f"no answer from {target.authority} within {wait:g} s"
                raise Failure(text, Exit.TIMED_OUT) from None
            except OSError as error:
                text = f"no answer from {target.authority}: {error.strerror}"
                raise Failure(text, Exit.UNREACHABLE) from None
            ms = (time.monotonic() - began) * 1000
            if session.out.json:
                session.out.record({"target": target.authority, "ms": round(ms, 3)})
            else:
                session.out.line(f"{target.authority}: {ms:.1f} ms")
            session.out.flush()


def observe(session: Any, words: tuple[str, ...], wish: dict[str, Any], argv: Any) -> Any:
    """The runner that prints, or runs a command for, every value."""
    from elastik_cli.coapio.watching import CoapFeed, Values
    from elastik_cli.handlers import Runs
    from elastik_cli.listening import command_for, parse_on_error
    from elastik_cli.position import Position
    from elastik_cli.runner import Limits as RunLimits
    from elastik_cli.runner import Runner
    from elastik_cli.workers import Workers

    target, _ = target_of(words)
    limit = wish["timeout"]
    session.flags.timeout = None
    command = command_for(session, wish, argv)
    inbox: SimpleQueue[Any] = SimpleQueue()
    asker = make_asker(session, target, "read", wish)
    feed: Any = CoapFeed(asker, inbox, session.flags.retry)
    workers = None
    if command is not None:
        on_error = parse_on_error(wish["on_error"])
        client: Any = session.client("write")
        workers = Workers(
            command, client, inbox, jobs=wish["jobs"], on_error=on_error, say=session.say
        )
    count = 1 if wish["once"] else wish["count"]
    return Runner(
        inbox=inbox,
        feed=feed,
        handler=Runs(workers) if workers else Values(session.out),
        workers=workers,
        position=Position(None, str(target), [target.path]),
        limits=RunLimits(count, limit, False, wish["grace"]),
        say=session.say,
        note=session.note,
    )
