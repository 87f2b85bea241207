"""The client's methods as module functions on one default client: `elastik.put(...)`."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from elastik.client import Elastik

F = TypeVar("F", bound=Callable[..., Any])
# For the type checker an instance, so that its methods come bound, with their overloads.
_shape = cast("Elastik", Elastik)

_default: Elastik | None = None


def default_client() -> Elastik:
    """The client of the last start(), else one for the environment's URL and token.

    RuntimeError when neither is there: a stranger on port 3105 is not assumed to be yours.
    """
    global _default
    if _default is None:
        from elastik.settings import is_configured

        if not is_configured():
            raise RuntimeError(
                "no default elastik client is configured. Call elastik.start(key=..., "
                "write_token=...), make Elastik(url, bearer_token=...), or set ELASTIK_URL."
            )
        _default = Elastik()
    return _default


def set_default(client: Elastik | None) -> None:
    """Use this client for the module functions from now on; None forgets it."""
    global _default
    _default = client


def _mirror(method: F) -> F:
    name = method.__name__

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(default_client(), name)(*args, **kwargs)

    signature = inspect.signature(method)
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__module__ = "elastik"
    call.__qualname__ = name
    del call.__wrapped__
    return cast("F", call)


put = _mirror(_shape.put)
put_text = _mirror(_shape.put_text)
put_json = _mirror(_shape.put_json)
put_gzip = _mirror(_shape.put_gzip)
put_csv = _mirror(_shape.put_csv)
put_struct = _mirror(_shape.put_struct)
post = _mirror(_shape.post)
get = _mirror(_shape.get)
get_cached = _mirror(_shape.get_cached)
get_text = _mirror(_shape.get_text)
get_json = _mirror(_shape.get_json)
get_gzip = _mirror(_shape.get_gzip)
get_csv = _mirror(_shape.get_csv)
get_struct = _mirror(_shape.get_struct)
stream = _mirror(_shape.stream)
download = _mirror(_shape.download)
head = _mirror(_shape.head)
delete = _mirror(_shape.delete)
exists = _mirror(_shape.exists)
sizeof = _mirror(_shape.sizeof)
checksum = _mirror(_shape.checksum)
is_audited = _mirror(_shape.is_audited)
verify = _mirror(_shape.verify)
diff = _mirror(_shape.diff)
preview = _mirror(_shape.preview)
copy = _mirror(_shape.copy)
ls = _mirror(_shape.ls)
tree = _mirror(_shape.tree)
rm = _mirror(_shape.rm)
mv = _mirror(_shape.mv)
du = _mirror(_shape.du)
put_many = _mirror(_shape.put_many)
get_many = _mirror(_shape.get_many)
open = _mirror(_shape.open)
tmp = _mirror(_shape.tmp)
list_paths = _mirror(_shape.list_paths)
list_keys = _mirror(_shape.list_keys)
request = _mirror(_shape.request)


def list_worlds() -> list[str]:
    """The old name of list_paths()."""
    warnings.warn(
        "list_worlds() is renamed list_paths(); list_worlds remains as a compatibility alias",
        DeprecationWarning,
        stacklevel=2,
    )
    return default_client().list()


def show_config() -> None:
    """Print version, binary, URL, data directory and masked secrets, for bug reports."""
    import os

    import elastik
    from elastik import launcher

    info, live = launcher.binary_info(), launcher.live_info()
    data = os.environ.get("ELASTIK_DATA", "<default ./data>")
    rows = {
        "core": info["path"],
        "exists": info["exists"],
        "url": f"{live['url']} (live)" if live else f"{launcher.default_url()} (default)",
        "data": f"{live['data_dir']} (live)" if "data_dir" in live else f"{data} (default)",
        "running": launcher.is_running(),
        "key": _masked(os.environ.get("ELASTIK_KEY")),
        "read": _masked(os.environ.get("ELASTIK_READ_TOKEN")),
        "write": _masked(os.environ.get("ELASTIK_WRITE_TOKEN")),
        "approve": _masked(os.environ.get("ELASTIK_APPROVE_TOKEN")),
    }
    print(f"elastik {elastik.__version__}")
    for name, value in rows.items():
        print(f"  {name + ':':<8} {value}")


def _masked(secret: str | None) -> str:
    if not secret:
        return "<unset>"
    return f"{secret[:4]}...{secret[-4:]}" if len(secret) > 8 else "<set>"
