"""Elastik: one disk on every wire. This is its Python SDK.

    import secrets, elastik

    e = elastik.start(key=secrets.token_hex(32), write_token="write-token")
    e.put("note", "hello")             # PUT /home/note
    print(e.get("note"))               # b"hello"
    elastik.stop()

Or talk to a core that runs already: ``Elastik("http://127.0.0.1:3105", "write-token")``, or
``elastik.put(...)`` with ELASTIK_URL and ELASTIK_WRITE_TOKEN in the environment.

``foo`` and ``/foo`` mean ``/home/foo``; namespaces are home, tmp, dev, sys, etc, lib, boot, usr,
var. Handlers for events are registered by ``@elastik.listen(pattern)`` and run by
``elastik.run()``; ``elastik.aio`` has the same client for asyncio.

``import elastik`` reads a local ``.env`` once and fills only missing variables. It does not when
ELASTIK_NO_DOTENV=1, and not inside the `elastik` command, which has rules of its own.

Everything here is resolved on first use (PEP 562), so that importing this package costs little.
"""

import os as _os
import sys as _sys

__version__ = "9.0.0.dev0"

# Type checkers take this name for true; importing it from typing would cost more than the rest.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from elastik.client import Elastik as Elastik
    from elastik.coap import CoapClient as CoapClient
    from elastik.coap import CoapResponse as CoapResponse
    from elastik.coap import coap_get as coap_get
    from elastik.coap import coap_put as coap_put
    from elastik.dotenv import load_dotenv as load_dotenv
    from elastik.errors import BadPath as BadPath
    from elastik.errors import Conflict as Conflict
    from elastik.errors import Corrupt as Corrupt
    from elastik.errors import ElastikError as ElastikError
    from elastik.errors import Forbidden as Forbidden
    from elastik.errors import InsufficientStorage as InsufficientStorage
    from elastik.errors import NotFound as NotFound
    from elastik.errors import NotOverCoap as NotOverCoap
    from elastik.errors import PayloadTooLarge as PayloadTooLarge
    from elastik.errors import PreconditionFailed as PreconditionFailed
    from elastik.errors import ServerError as ServerError
    from elastik.errors import TimedOut as TimedOut
    from elastik.errors import Unauthorized as Unauthorized
    from elastik.errors import Unreachable as Unreachable
    from elastik.errors import Unsupported as Unsupported
    from elastik.events import EventStream as EventStream
    from elastik.fake import FakeElastik as FakeElastik
    from elastik.launcher import binary_info as binary_info
    from elastik.launcher import is_running as is_running
    from elastik.launcher import live_info as live_info
    from elastik.launcher import start as start
    from elastik.launcher import stop as stop
    from elastik.mirror import checksum as checksum
    from elastik.mirror import copy as copy
    from elastik.mirror import delete as delete
    from elastik.mirror import diff as diff
    from elastik.mirror import download as download
    from elastik.mirror import du as du
    from elastik.mirror import exists as exists
    from elastik.mirror import get as get
    from elastik.mirror import get_cached as get_cached
    from elastik.mirror import get_csv as get_csv
    from elastik.mirror import get_gzip as get_gzip
    from elastik.mirror import get_json as get_json
    from elastik.mirror import get_many as get_many
    from elastik.mirror import get_struct as get_struct
    from elastik.mirror import get_text as get_text
    from elastik.mirror import head as head
    from elastik.mirror import is_audited as is_audited
    from elastik.mirror import list_keys as list_keys
    from elastik.mirror import list_paths as list_paths
    from elastik.mirror import list_worlds as list_worlds
    from elastik.mirror import ls as ls
    from elastik.mirror import mv as mv
    from elastik.mirror import open as open
    from elastik.mirror import post as post
    from elastik.mirror import preview as preview
    from elastik.mirror import put as put
    from elastik.mirror import put_csv as put_csv
    from elastik.mirror import put_gzip as put_gzip
    from elastik.mirror import put_json as put_json
    from elastik.mirror import put_many as put_many
    from elastik.mirror import put_struct as put_struct
    from elastik.mirror import put_text as put_text
    from elastik.mirror import request as request
    from elastik.mirror import rm as rm
    from elastik.mirror import show_config as show_config
    from elastik.mirror import sizeof as sizeof
    from elastik.mirror import stream as stream
    from elastik.mirror import tmp as tmp
    from elastik.mirror import tree as tree
    from elastik.mirror import verify as verify
    from elastik.paths import decode_disk_name as decode_disk_name
    from elastik.paths import encode_disk_name as encode_disk_name
    from elastik.reactor import Action as Action
    from elastik.reactor import Archive as Archive
    from elastik.reactor import Ctx as Ctx
    from elastik.reactor import Drop as Drop
    from elastik.reactor import MoveTo as MoveTo
    from elastik.reactor import Reactor as Reactor
    from elastik.reactor import Reply as Reply
    from elastik.reactor import clear_lifecycle_hooks as clear_lifecycle_hooks
    from elastik.reactor import clear_routes as clear_routes
    from elastik.reactor import has_routes as has_routes
    from elastik.reactor import listen as listen
    from elastik.reactor import on_lost as on_lost
    from elastik.reactor import on_shutdown as on_shutdown
    from elastik.reactor import on_startup as on_startup
    from elastik.reactor import run as run
    from elastik.reactor import unlisten as unlisten
    from elastik.responses import Response as Response
    from elastik.responses import WorldMeta as WorldMeta
    from elastik.settings import default_url as default_url
    from elastik.tools import ShellPool as ShellPool
    from elastik.tools import ShellPoolError as ShellPoolError
    from elastik.tools import ShellResult as ShellResult
    from elastik.tools import TrustedShellPool as TrustedShellPool
    from elastik.tracing import DebugHook as DebugHook
    from elastik.worlds import WorldReader as WorldReader
    from elastik.worlds import WorldRef as WorldRef
    from elastik.worlds import WorldWriter as WorldWriter

# Module -> the public names it gives. The type checker reads the imports above instead; a test
# holds the two together.
_NAMES = {
    "client": "Elastik",
    "coap": "CoapClient CoapResponse coap_get coap_put",
    "dotenv": "load_dotenv",
    "errors": "BadPath Conflict Corrupt ElastikError Forbidden InsufficientStorage NotFound"
    " NotOverCoap PayloadTooLarge PreconditionFailed ServerError TimedOut Unauthorized Unreachable"
    " Unsupported",
    "events": "EventStream",
    "fake": "FakeElastik",
    "launcher": "binary_info is_running live_info start stop",
    "mirror": "checksum copy delete diff download du exists get get_cached get_csv get_gzip"
    " get_json get_many get_struct get_text head is_audited list_keys list_paths list_worlds ls mv"
    " open post preview put put_csv put_gzip put_json put_many put_struct put_text request rm"
    " show_config sizeof stream tmp tree verify",
    "paths": "decode_disk_name encode_disk_name",
    "reactor": "Action Archive Ctx Drop MoveTo Reactor Reply clear_lifecycle_hooks clear_routes"
    " has_routes listen on_lost on_shutdown on_startup run unlisten",
    "responses": "Response WorldMeta",
    "settings": "default_url",
    "tools": "ShellPool ShellPoolError ShellResult TrustedShellPool",
    "tracing": "DebugHook",
    "worlds": "WorldReader WorldRef WorldWriter",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME)]


# Hidden from type checkers, for which a name that is not above is an error.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        module = _HOME.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _is_the_command() -> bool:
    """True when the `elastik` command, and not a user's program, imports this package."""
    if "elastik_cli" in _sys.modules:
        return True
    # While `python -m elastik` imports this package, argv[0] is still "-m".
    words = list(_sys.orig_argv)
    here = words.index("-m") + 1 if "-m" in words else len(words)
    return _sys.argv[:1] == ["-m"] and words[here : here + 1] == ["elastik"]


def _wants_dotenv() -> bool:
    chosen = _os.environ.get("ELASTIK_NO_DOTENV") != "1"
    return chosen and not _is_the_command() and _os.path.exists(".env")


if _wants_dotenv():
    from elastik.dotenv import load_dotenv

    load_dotenv()
