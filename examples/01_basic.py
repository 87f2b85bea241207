"""Start a core, store and read worlds of several kinds, stop it again.

Run: python examples/01_basic.py
"""

import secrets
import tempfile

import elastik

with tempfile.TemporaryDirectory() as data:
    e = elastik.start(
        port=0,
        key=secrets.token_hex(32),
        write_token="write-token",
        approve_token="approve-token",
        data_dir=data,
    )
    e.put("note", "hello")
    e.post("note", ", world")
    print(e.get_text("note"))

    e.put_json("config", {"debug": True})
    print(e.get_json("config"))

    for path in e.ls("home"):
        print(path, e.sizeof(path))
    print("audited and intact:", e.verify("note"))

    del e["note"]
    print("note" in e)
    elastik.stop()
