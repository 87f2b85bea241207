"""Metadata, conditional writes and partial reads. Run: python examples/03_metadata_and_etag.py."""

import os
import secrets
import tempfile

import elastik

# Without this a core keeps only the standard representation headers.
os.environ["ELASTIK_PERSIST_HEADERS"] = "x-meta-*"

with tempfile.TemporaryDirectory() as data:
    e = elastik.start(port=0, key=secrets.token_hex(32), write_token="w", data_dir=data)
    e.put("report", "draft", content_type="text/markdown", author="me")
    meta = e.head("report")
    print(meta["content-type"], meta["x-meta-author"])

    # Whoever read first may write; the other one is told that it comes too late.
    etag = meta["etag"]
    e.put("report", "mine", if_match=etag)
    try:
        e.put("report", "too late", if_match=etag)
    except elastik.PreconditionFailed:
        print("somebody else wrote first")

    print(e.get("report", if_none_match=e.checksum("report")))
    print(e.get("report", range=(0, 1)))
    elastik.stop()
