"""What a writer has written until it is stored: by one PUT or POST, or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from elastik.errors import NotFound, PreconditionFailed
from elastik.plans import Plan, Plans
from elastik.responses import Written
from elastik.sending import put_headers, put_options

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Bytes stay in memory up to this, then go to a temporary file.
SPOOL = 8 * 1024 * 1024


class Spool:
    """Bytes for one world; `mode` is ``wb`` or ``ab``, `keywords` are those of `Elastik.put`."""

    def __init__(self, path: str, mode: str, keywords: Mapping[str, Any]) -> None:
        self._path = path
        self._append = mode == "ab"
        self._keywords = keywords
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115

    @property
    def closed(self) -> bool:
        """Stored, or discarded."""
        return self._file.closed

    def write(self, data: Buffer) -> int:
        """Keep all of `data`."""
        if self.closed:
            raise ValueError("I/O operation on closed elastik world")
        return self._file.write(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def discard(self) -> None:
        """Forget them."""
        self._file.close()

    def stored(self, plans: Plans) -> Plan[Written]:
        """Store them; afterwards nothing is left here, whether that worked or not."""
        try:
            if not self._append:
                return (yield from self._put(plans, {}))
            try:
                return (yield from self._post(plans))
            except NotFound:
                pass
            try:
                return (yield from self._put(plans, {"create_only": True}))
            except PreconditionFailed:
                # Somebody created it between the two: append after all.
                return (yield from self._post(plans))
        finally:
            self.discard()

    def _post(self, plans: Plans) -> Plan[Written]:
        self._file.seek(0)
        return (yield from plans.post(self._path, self._file, {}))

    def _put(self, plans: Plans, condition: dict[str, Any]) -> Plan[Written]:
        self._file.seek(0)
        options, rest = put_options(self._keywords)
        extra = rest.pop("headers", None)
        sent = put_headers(False, extra, rest, **{**options, **condition})
        lifetime = options.get("delete_after") is not None
        return (yield from plans.put(self._path, self._file, sent, lifetime))
