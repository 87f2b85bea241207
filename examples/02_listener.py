"""React to what others write. Run: python examples/02_listener.py, then put to /home/inbox/NAME.

Takes the server and the token from ELASTIK_URL and ELASTIK_WRITE_TOKEN.
"""

import sys

import elastik


@elastik.listen("/home/inbox/*")
def on_inbox(body, path, e):
    print(path, body.decode("utf-8", "replace"), flush=True)
    if b"urgent" in body:
        e.put("/home/alerts/latest", body)


@elastik.on_startup
def ready():
    print("listening", flush=True)


# With a number as argument it ends after so many events.
elastik.run(max_events=int(sys.argv[1]) if len(sys.argv) > 1 else None)
