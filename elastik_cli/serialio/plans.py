"""From options and the config file to a running bridge."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from elastik_cli import secrets
from elastik_cli.exits import Exit, Failure
from elastik_cli.quantities import parse_duration
from elastik_cli.serialio.board import BoardSettings
from elastik_cli.serialio.bridge import Bridge, BridgeSettings, Plan, prefix_for
from elastik_cli.serialio.conversation import failure_of
from elastik_cli.serialio.corewire import DEFAULT_PORT
from elastik_cli.serialio.diagnostics import harmless
from elastik_cli.serialio.line import LineError, line_settings
from elastik_cli.serialio.loop import Loop

# What a [serial.NAME] table of the config file may hold.
KEYS = {
    "device": "port, VID:PID, VID:PID:SERIAL or by-id:GLOB",
    "prefix": "where its worlds are; may hold {id} {serial} {vid} {pid} {port} {product}",
    "baud": "bits a second",
    "mtu": "largest message the board takes, in bytes",
    "protocol": "slipmux or text",
    "up": "coap or http",
    "observe": "list of paths to keep; auto, none",
    "ping": "ask after so much silence",
    "response_timeout": "wait so long for a promised answer",
    "gap": "pause between two frames",
    "dtr": "on or off; left alone without it",
    "rts": "on or off; left alone without it",
    "rtscts": "hardware flow control",
    "token_file": "file with this board's own write token",
    "trust_board_token": "pass the board's own token on",
}


def run_bridge(session: Any, boards: tuple[str, ...], wish: dict[str, Any]) -> int:
    """Run the bridge until a signal ends it; the signal's number."""
    settings = bridge_settings(session, boards, wish)
    loop = Loop()
    bridge = Bridge(settings, loop, session.say, lambda name, text: shown(name, text))
    ended = bridge.on_signals()
    try:
        bridge.start()
        loop.run()
    except LineError as error:
        raise failure_of(error) from None
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from None
    finally:
        bridge.stop()
    return ended[0] if ended else 0


def shown(name: str, text: str) -> None:
    """A board's own words go to stderr with its name before them."""
    sys.stderr.write(f"{name}: {harmless(text)}\n".encode(errors="replace").decode())
    sys.stderr.flush()


def bridge_settings(session: Any, boards: tuple[str, ...], wish: dict[str, Any]) -> BridgeSettings:
    """What the bridge is to do. Options win over the tables of the config file."""
    if wish["xonxoff"]:
        raise Failure("slipmux needs every byte: --xonxoff cannot be used", Exit.USAGE)
    tables = session.config.get("serial", {})
    plans = [_from_table(session, name, tables, wish) for name in _named(boards, tables, wish)]
    plans += [_plan(session, wish, {"device": device}) for device in wish["device"]]
    if wish["name"]:
        if len(plans) != 1:
            raise Failure("--id names one board, and there are others", Exit.USAGE)
        plans = [replace(plans[0], id=wish["name"])]
    if not plans and not wish["every"]:
        raise Failure(
            "no board is named", Exit.USAGE, "elastik serial ls; then --device PORT, or --all"
        )
    for plan in plans:
        try:
            prefix_for(plan.prefix, plan.id or "board", None)
        except ValueError as error:
            raise Failure(f"--prefix {plan.prefix}: {error}", Exit.USAGE) from None
    spool = wish["spool"]
    return BridgeSettings(
        plans=plans,
        core=_core(session, wish["coap"]),
        client=lambda: session.client("write", timeout=min(session.timeout, 10.0)),
        every=wish["every"],
        include=wish["include"],
        exclude=wish["exclude"],
        template=_plan(session, wish, {"device": ""}),
        wait=not wish["no_wait"],
        spool=Path(spool) if spool else None,
        spool_bytes=wish["spool_max"] << 20,
        listen=_address(wish["listen"], 0) if wish["listen"] else None,
        record=open(wish["record"], "w", encoding="utf-8") if wish["record"] else None,
        source_port=wish["source_port"],
    )


def _named(boards: tuple[str, ...], tables: dict[str, Any], wish: dict[str, Any]) -> list[str]:
    for name in boards:
        if name not in tables:
            known = ", ".join(sorted(tables)) or "none"
            raise Failure(f"no [serial.{name}] in the config file; there are: {known}", Exit.USAGE)
    if boards or wish["device"] or wish["every"]:
        return list(boards)
    return sorted(tables)


def _from_table(session: Any, name: str, tables: dict[str, Any], wish: dict[str, Any]) -> Plan:
    table = tables[name]
    if not isinstance(table, dict) or "device" not in table:
        raise Failure(f"[serial.{name}] names no device", Exit.USAGE)
    if strange := sorted(set(table) - set(KEYS)):
        known = ", ".join(KEYS)
        text = f"[serial.{name}]: unknown key {strange[0]}"
        raise Failure(text, Exit.USAGE, f"it may hold {known}")
    return replace(_plan(session, wish, table), id=name)


def _plan(session: Any, wish: dict[str, Any], table: dict[str, Any]) -> Plan:
    def pick(key: str, built_in: Any) -> Any:
        option = wish.get(key)
        return option if option not in (None, ()) else table.get(key, built_in)

    both = {key: pick(key, None) for key in ("baud", "dtr", "rts", "rtscts")}
    both["gap"] = _seconds(pick("gap", 0.0))
    up = "http" if wish["spool"] else pick("up", "coap")
    board = BoardSettings(
        "",
        "",
        mtu=int(pick("mtu", 128)),
        protocol=pick("protocol", "slipmux"),
        up=up,
        token=_token(session, table),
        trust_token=bool(pick("trust_board_token", False)),
        ping=_seconds(pick("ping", 10.0)),
        response_timeout=_seconds(pick("response_timeout", 30.0)),
        observe=tuple(pick("observe", ("auto",))),
    )
    prefix = pick("prefix", "home/sensor/{id}")
    return Plan(str(table["device"]), "", prefix, line_settings(both), board)


def _token(session: Any, table: dict[str, Any]) -> bytes:
    if path := table.get("token_file"):
        return secrets.read_secret_file(session.config_base / path).encode()
    token: str = session.token("write")
    return token.encode()


def _seconds(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else parse_duration(str(value))
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from None


def _core(session: Any, given: str | None) -> tuple[str, int]:
    if given:
        return _address(given.removeprefix("coap://").rstrip("/"), DEFAULT_PORT)
    server = urlsplit(session.server.url)
    port = server.port if server.scheme == "coap" else None
    return server.hostname or "127.0.0.1", port or DEFAULT_PORT


def _address(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return parts.hostname or "127.0.0.1", port if parts.port is None else parts.port
    except ValueError:
        raise Failure(f"not HOST:PORT: {text}", Exit.USAGE) from None
