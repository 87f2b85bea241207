"""Conditions of cp and mv: what must still be in force at either end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from elastik.errors import Unsupported, error_for
from elastik.responses import etag_value

if TYPE_CHECKING:
    from elastik.hierarchy import Hierarchy as Client


@dataclass(frozen=True)
class Conditions:
    """ETags that source and target must have; None asks nothing of that end."""

    source: str | None = None
    target: str | None = None

    def __bool__(self) -> bool:
        return bool(self.source or self.target)

    def headers(self) -> dict[str, str]:
        """RFC 9110 section 13.1.1 for the source, the core's own name for the other end."""
        sent = {"If-Match": self.source, "X-Destination-If-Match": self.target}
        return {name: etag_value(tag) or "" for name, tag in sent.items() if tag}


def options(command: Any) -> Any:
    """--if-match and --target-if-match."""
    source = click.option("--if-match", metavar="ETAG", help="Only this version of the source.")
    target = click.option(
        "--target-if-match", metavar="ETAG", help="Only in place of this version of the target."
    )
    return source(target(command))


def asked_for(source: str | None, target: str | None, *, recursive: bool) -> Conditions:
    """The conditions of a command line; usage error where they cannot be meant."""
    asked = Conditions(source, target)
    if asked and recursive:
        raise click.UsageError("an ETag names one version of one path: not with -r")
    return asked


def transfer(
    client: Client, method: str, pair: tuple[str, str], *, overwrite: bool, asked: Conditions
) -> None:
    """COPY or MOVE one path in one step, if the conditions hold.

    Raises:
        PreconditionFailed: when one does not, or the target is there and must not be.
        Unsupported: when the core cannot do it in one step: then a condition protects nothing.
    """
    source, target = pair
    sent = {"Destination": f"/{quote(target)}", "Overwrite": "T" if overwrite else "F"}
    answer = client.request(method, source, None, sent | asked.headers())
    if answer.status in (405, 501):
        raise Unsupported("--if-match needs a server with COPY and MOVE")
    if not answer.ok:
        raise error_for(answer.status, answer.body, method=method, path=f"/{source}")
