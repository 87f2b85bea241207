"""The links of a CoAP server as rows."""

from __future__ import annotations

from typing import Any

from elastik.coap.linkformat import Link, links


def show(out: Any, body: bytes) -> None:
    """Links as rows: path, what it is, its formats and size, whether it can be observed."""
    records = [_record(link) for link in links(body)]

    def plain(row: Any) -> str:
        return "\t".join([row["rt"], row["ct"], "obs" if row["obs"] else "", row["path"]])

    def human(rows: Any) -> None:
        columns = ["PATH", "TYPE", "FORMAT", "OBSERVABLE", "TITLE"]
        out.table(
            columns,
            [[r["path"], r["rt"], r["ct"], "yes" if r["obs"] else "", r["title"]] for r in rows],
        )

    out.rows(records, plain, human=human)


def _record(link: Link) -> dict[str, Any]:
    known = {name: link.attributes.get(name, "") for name in ("rt", "if", "ct", "sz", "title")}
    return {"path": link.path, **known, "obs": link.observable}
