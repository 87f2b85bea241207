"""What a verb gets: the flags, the resolved settings, a client on demand, and the streams."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from elastik.errors import ElastikError
from elastik_cli import secrets, settings
from elastik_cli.config import config_file, read_config
from elastik_cli.exits import Exit, Failure
from elastik_cli.output import Output
from elastik_cli.patience import never_sent, pause_before, shortly, worth_another_try
from elastik_cli.quantities import parse_duration
from elastik_cli.terminal import escape, is_terminal

if TYPE_CHECKING:
    from elastik.client import Elastik
    from elastik.hierarchy import Hierarchy as Client

Answer = TypeVar("Answer")


@dataclass
class Flags:
    """The options every verb takes; None means not given."""

    url: str | None = None
    context: str | None = None
    no_context: bool = False
    token_file: str | None = None
    cafile: str | None = None
    timeout: float | None = None
    retry: int | None = None
    json: bool = False
    color: str | None = None
    no_pager: bool = False
    quiet: bool = False
    verbose: int = 0
    debug: bool = False


class Session:
    """One run of the command. Nothing is read before it is asked for."""

    def __init__(self) -> None:
        self.flags = Flags()
        self.need = "read"

    @cached_property
    def out(self) -> Output:
        return Output(json=self.flags.json, color=self.color)

    @cached_property
    def config(self) -> dict[str, Any]:
        return read_config(config_file())

    @property
    def color(self) -> str:
        return self.flags.color or os.environ.get("ELASTIK_COLOR") or self.default("color", "auto")

    def default(self, key: str, built_in: Any) -> Any:
        """A value of the config file's [defaults], else `built_in`."""
        return self.config.get("defaults", {}).get(key, built_in)

    @property
    def timeout(self) -> float:
        """Seconds to wait for a connection and for the first byte."""
        if self.flags.timeout is not None:
            return self.flags.timeout
        return parse_duration(
            str(os.environ.get("ELASTIK_TIMEOUT") or self.default("timeout", "30s"))
        )

    @property
    def retry(self) -> int:
        """How often a request that nothing answered is sent again."""
        if self.flags.retry is not None:
            return self.flags.retry
        return int(os.environ.get("ELASTIK_RETRY") or self.default("retry", 3))

    # -- contexts ---------------------------------------------------------------------------

    @property
    def context_name(self) -> str | None:
        """The selected context: --context, else ELASTIK_CONTEXT, else the config file's own."""
        if self.flags.no_context:
            return None
        named = self.flags.context or os.environ.get("ELASTIK_CONTEXT")
        return named or self.config.get("context") or None

    @property
    def context(self) -> dict[str, Any]:
        """The selected context's table; empty when none is selected."""
        name = self.context_name
        if not name:
            return {}
        table = self.config.get("contexts", {}).get(name)
        if table is None:
            raise Failure(f"no such context: {name}", Exit.USAGE, "elastik context list")
        return dict(table)

    @property
    def config_base(self) -> Path:
        """The directory that relative file names of a context start from."""
        return config_file().absolute().parent

    # -- the server -------------------------------------------------------------------------

    def sources(self) -> list[settings.Source]:
        """Every place settings come from, the strongest first."""
        flag = settings.Source("flag", self.flags.url, cafile=self.flags.cafile)
        if file := self.flags.token_file:
            flag.tokens = dict.fromkeys(secrets.TIERS, secrets.from_file("--token-file", file))
        env = settings.environment(os.environ, "environment")
        found = [flag, env]
        if name := self.context_name:
            source = settings.from_context(name, self.context, self.config_base)
            # Naming a context on this very command line is as strong as any flag.
            found.insert(1 if self.flags.context else 2, source)
        if lines := settings.read_dotenv():
            found.append(settings.environment(lines, ".env"))
        return found

    @cached_property
    def server(self) -> settings.Server:
        server = settings.choose_server(self.sources())
        if os.environ.get("ELASTIK_TOKEN") and not os.environ.get("ELASTIK_WRITE_TOKEN"):
            self.say("ELASTIK_TOKEN is an old name: use ELASTIK_WRITE_TOKEN")
        if server.url_source == ".env":
            self.note(f"the server {server.url} comes from .env in this directory")
        if not server.url.lower().startswith(("http://", "https://", "http+unix://", "coap://")):
            raise Failure(f"not an http, https, http+unix or coap URL: {server.url}", Exit.USAGE)
        return server

    def token(self, need: str) -> str:
        """The weakest token that suffices for `need` (read, write, approve); empty if none."""
        secret = self.server.token_for(need)
        token = secret.read() if secret else ""
        if secret and not (token.isascii() and token.isprintable()):
            raise Failure(f"the token from {secret.origin} cannot be sent: not printable ASCII")
        return token

    def client(self, need: str = "read", **options: Any) -> Client:
        """A client with the token that `need` asks for.

        The timeout counts for the connection and each wait for bytes, in seconds.
        """
        from elastik.hierarchy import Hierarchy

        return self._made(Hierarchy, need, options)

    def store(self, need: str = "read") -> Elastik:
        """The whole client, for verbs that move things; it costs more to import."""
        from elastik.client import Elastik

        return self._made(Elastik, need, {})

    def _made(self, kind: type[Any], need: str, options: dict[str, Any]) -> Any:
        self.need = need
        options.setdefault("timeout", self.timeout)
        options.setdefault("retries", 0)  # `patiently` tries again, and says so
        if self.flags.verbose:
            self._log_requests()
        cafile = self.server.cafile
        return kind(self.server.url, self.token(need), cafile=cafile, **options)

    def patiently(self, action: Callable[[], Answer], *, again: bool = True) -> Answer:
        """Do `action`, up to --retry times more when nothing answers or the server asks to wait.

        `again` says that doing it twice does no harm; without it only a connection that never
        came about is tried again.
        """
        for attempt in range(1, self.retry + 1):
            try:
                return action()
            except ElastikError as error:
                if not (worth_another_try(error) if again else never_sent(error)):
                    raise
                pause = pause_before(attempt, error)
                self.say(f"{shortly(error)}; trying again in {pause:.1f}s ({attempt}/{self.retry})")
                time.sleep(pause)
        return action()

    def _log_requests(self) -> None:
        import logging

        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("elastik: %(message)s"))
        logger = logging.getLogger("elastik")
        if not any(isinstance(h, logging.StreamHandler) for h in logger.handlers):
            logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)

    # -- what is said about the answer ------------------------------------------------------

    def say(self, text: str) -> None:
        """One line on stderr, unless -q."""
        if not self.flags.quiet:
            _to_stderr(f"elastik: {text}")

    def note(self, text: str) -> None:
        """One line on stderr with -v."""
        if self.flags.verbose:
            _to_stderr(f"elastik: {text}")


def _to_stderr(text: str) -> None:
    shown = escape(text) if is_terminal(sys.stderr) else text
    sys.stderr.write(shown.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
    sys.stderr.flush()
