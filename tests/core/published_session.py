"""Runs in the published package's interpreter: its SDK against a core, its findings as JSON."""

import json
import sys
import threading

from elastik import Elastik, NotFound, PreconditionFailed, Unauthorized

url, approve, stranger = sys.argv[1:4]
e = Elastik(url, approve)
found = {}

first = e.put("home/peer/note", "hello", meta={"author": "me"})
found["put"] = [first["status"], first["etag"].startswith('"hmac-')]
found["get"] = e.get("home/peer/note").decode()
found["text"] = e.get_text("home/peer/note")
found["post"] = e.post("home/peer/note", b", world")["status"]
found["appended"] = e.get("home/peer/note").decode()
found["range"] = e.get("home/peer/note", range=(0, 4)).decode()
head = e.head("home/peer/note")
found["head"] = [head["content-type"], head["content-length"]]
found["json"] = e.put_json("home/peer/data", {"a": [1, 2]})["status"]
found["json back"] = e.get_json("home/peer/data")
found["memory"] = e.put("tmp/peer", b"\x00\xff")["status"]
found["memory back"] = list(e.get("tmp/peer"))
found["cached"] = e.get("home/peer/note", if_none_match=e.head("home/peer/note")["etag"])
found["list"] = e.list()
found["ls"] = e.ls("home/peer")
found["tree"] = bool(e.tree("home/peer"))
found["verify"] = [e.verify("home/peer/note"), e.verify("tmp/peer")]
found["exists"] = [e.exists("home/peer/note"), e.exists("home/peer/none")]
found["sizeof"] = e.sizeof("home/peer/note")
found["in"] = "home/peer/note" in e
found["copy"] = e.copy("home/peer/note", "home/peer/copy") is not None
found["mv"] = e.mv("home/peer/copy", "home/peer/moved")
found["many"] = sorted(e.get_many(["home/peer/note", "home/peer/moved"]))
with e.open("home/peer/note") as reader:
    reader.seek(7)
    found["reader"] = reader.read().decode()


def refused(error, call):
    try:
        call()
    except error:
        return True
    return False


found["missing"] = refused(NotFound, lambda: e.get("home/peer/none"))
found["create only"] = refused(
    PreconditionFailed, lambda: e.put("home/peer/note", b"x", create_only=True)
)
found["stranger"] = refused(Unauthorized, lambda: Elastik(url, stranger).get("home/peer/note"))

events = []
ready = threading.Event()


def follow():
    stream = e.listen("home/peer/*")
    for event in stream:
        ready.set()
        if event["path"] == "/home/peer/poke":
            continue
        events.append({k: event[k] for k in ("event", "path", "method")})
        if event["event"] == "delete":
            return


listener = threading.Thread(target=follow, daemon=True)
listener.start()
# The stream is open once its first event has arrived.
while not ready.wait(0.05):
    e.put("home/peer/poke", b"?")
e.put("home/peer/live", b"1")
e.post("home/peer/live", b"2")
found["delete"] = [e.delete("home/peer/live"), e.delete("home/peer/live")]
listener.join(10)
found["events"] = events
found["resumed"] = next(iter(e.listen("home/peer/live", last_event_id="0")))["path"]
found["rm"] = e.rm("home/peer", recursive=True)
print(json.dumps(found))
