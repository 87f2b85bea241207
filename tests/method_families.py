"""8.3.0's methods on many worlds, events, handlers and helpers, each as a small case."""

import io
import json
import re
import threading
import time
import warnings

import elastik
from elastik import Elastik
from method_registry import case, outcome, receipt, shape


@case
def ls(e):
    for path in ("s/k/temp", "s/k/hum", "s/x", "sx", "tmp/q"):
        e.put(path, b"")
    return [
        e.ls("s"),
        e.ls("home/s", depth=2),
        e.ls("s", depth=-1),
        e.ls("s/x"),
        e.ls("nothing"),
        [p for p in e.ls() if not p.startswith("var")],
        e.ls("tmp"),
        outcome(lambda: e.ls("s", depth=0)),
        outcome(lambda: e.ls("a/../b")),
    ]


@case
def tree(e):
    for path in ("s/k/temp", "s/x", "s/x/y"):
        e.put(path, b"")
    return [e.tree("s"), e.tree("nothing"), e.tree("s/k")]


@case
def du(e):
    e.put("s/a", b"1234")
    e.put("s/b/c", b"")
    return [e.du("s"), e.du("nothing"), outcome(lambda: e.du("s", max_workers=0))]


@case
def rm(e):
    for path in ("s/a", "s/b/c", "t"):
        e.put(path, b"")
    return [
        e.rm("t"),
        e.rm("t"),
        e.rm("s"),
        outcome(lambda: e.rm("home", recursive=True)),
        outcome(lambda: e.rm("", recursive=True)),
        e.rm("s", recursive=True),
        e.rm("s", recursive=True),
    ]


@case
def mv(e):
    e.put("a", b"1", content_type="t/x")
    e.put("taken", b"2")
    out = [
        outcome(lambda: e.mv("a", "taken")),
        outcome(lambda: e.mv("a", "/home/a")),
        e.mv("a", "b"),
        e.get("b").decode(),
        e.head("b")["content-type"],
        e.mv("b", "taken", overwrite=True),
        e.get("taken").decode(),
        outcome(lambda: e.mv("nothing", "c")),
    ]
    for path in ("d/1", "d/s/2"):
        e.put(path, path)
    out += [e.mv("d", "f", recursive=True), e.ls("f", depth=-1), e.ls("d", depth=-1)]
    return [*out, outcome(lambda: e.mv("", "f", recursive=True))]


@case
def many(e):
    out = e.put_many({"a": b"1", "b": "2"}, content_type="t/x")
    return [
        {k: receipt(v) for k, v in out.items()},
        {k: v.decode() for k, v in e.get_many(["a", "b"]).items()},
        outcome(lambda: e.get_many(["a", "nothing"])),
        e.get_many([]),
    ]


@case
def reader(e):
    e.put("f", bytes(range(100)))
    out = []
    with e.open("f") as f:
        out += [
            f.readable(),
            f.seekable(),
            f.tell(),
            list(f.read(3)),
            f.seek(-2, io.SEEK_END),
            list(f.read()),
            list(f.read(1)),
            f.seek(10),
            f.seek(5, io.SEEK_CUR),
            list(f.read(1)),
        ]
        buffer = bytearray(3)
        out += [f.readinto(buffer), list(buffer), f.seek(-999), f.seek(1000), list(f.read(1))]
        out.append(outcome(lambda: f.seek(0, 9)))
    return [
        *out,
        outcome(lambda: f.read(1)),
        outcome(lambda: e.open("f", "r")),
        outcome(lambda: e.open("nothing")),
        io.BufferedReader(e.open("f")).read(2).hex(),
    ]


@case
def tmp(e):
    with e.tmp("scratch") as path:
        e.put(path, b"x")
        inside = e.exists(path)
    with e.tmp() as other:
        pass
    return [path, inside, e.exists(path), len(other)]


@case
def listen(e):
    out = []
    ready = threading.Event()

    def follow():
        for event in e.listen("home/in/*"):
            ready.set()
            if event["path"] == "/home/in/poke":
                continue
            out.append(
                {k: event.get(k) for k in ("event", "path", "method")}
                | {"etag": shape(event.get("etag", "")), "id": event["id"].isdigit()}
            )
            if event["event"] == "delete":
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    while not ready.wait(0.05):
        e.put("in/poke", b"")
    e.put("in/a", b"1")
    e.put("out", b"1")
    e.post("in/a", b"2")
    e.delete("in/a")
    thread.join(5)
    return out


@case
def listen_errors(e):
    def first(url, token, pattern):
        return next(iter(Elastik(url, token).listen(pattern)))

    return [
        outcome(lambda: first(e.url, "wrong", "*")),
        outcome(lambda: first(e.url, e.bearer_token, "a/../b")),
    ]


@case
def request(e):
    put_ = e.request("PUT", "a b", b"x", {"Content-Type": "t/x"})
    got = e.request("GET", "a b")
    gone = e.request("GET", "nothing")
    options = e.request("OPTIONS", "a b")
    same = e.request("GET", "a b", headers={"If-None-Match": got.etag})
    return [
        put_.status,
        put_.created,
        put_.ok,
        put_.headers["location"],
        got.body.decode(),
        shape(got.etag),
        gone.status,
        gone.ok,
        gone.body.decode(),
        options.status,
        same.status,
        same.not_modified,
        e.request("GET", "a b", headers={"Authorization": "Bearer no"}).status,
        outcome(lambda: e.request("GET", "proc/unknown")),
        outcome(lambda: e.request("GET", "proc")),
        e._raw("GET", "a b")[0],
        e.request("GET", "proc/audit/a b/verify").headers["x-audit-events"],
    ]


@case
def proc_pages(e):
    e.put("a", b"12")
    return [
        e.get("proc/version").startswith(b"elastik-core "),
        b"home/a\t2\n" in e.get("/proc/du"),
        [line.split(b"\t")[0].decode() for line in e.get("/proc/df").splitlines()[:3]],
        len(e.get("/proc/pool")) > 0,
        b"home/a\n" in e.get("/proc/worlds"),
    ]


@case
def mapping(e):
    e["a"] = "1"
    e.update({"b": b"2"})
    return [
        e["a"].decode(),
        "a" in e,
        "nothing" in e,
        5 in e,
        outcome(lambda: e["nothing"]),
        e.pop("a").decode(),
        outcome(lambda: e.pop("a")),
        e.pop("a", None),
        e.setdefault("b", b"x").decode(),
        [p for p in e if not p.startswith("var")],
        len(e) - len([p for p in e if p.startswith("var")]),
        outcome(lambda: e.__delitem__("nothing")),
        e.get("b").decode(),
        sorted(k for k, v in e.items() if not k.startswith("var")),
    ]


@case
def world_ref(e):
    ref = e / "home" / "r" / "a.b.txt"
    out = [
        str(ref),
        repr(ref),
        ref.path,
        ref.name,
        ref.stem,
        ref.suffix,
        str(ref.parent),
        str(ref.parent.parent.parent),
        ref.__fspath__(),
        ref.exists(),
        receipt(ref.write("hello", content_type="t/x")),
        ref.read().decode(),
        ref.read_text(),
        ref.stat()["content-type"],
        ref.exists(),
        ref.open().read(2).decode(),
    ]
    (e / "home" / "r" / "d" / "x.txt").write(b"")
    folder = e / "home" / "r"
    out += [
        [str(r) for r in folder.iterdir()],
        [str(r) for r in folder.walk()],
        [str(r) for r in folder.glob("*.txt")],
        [str(r) for r in folder.rglob("*.txt")],
        str(ref.rename("home/r/new")),
        outcome(lambda: ref.rename("home/r/d/x.txt")),
        (e / "r" / "new").unlink(),
        (e / "r" / "new").unlink(),
        folder.rmtree(),
        outcome(lambda: (e / "home").rmtree()),
    ]
    return [*out, (e / ".dot").suffix, (e / ".dot").stem, outcome(lambda: ref.read())]


@case
def unauthorized(e):
    weak = Elastik(e.url, "")
    return [
        outcome(lambda: weak.put("a", b"")),
        outcome(lambda: weak.get("a")),
        outcome(weak.list),
        outcome(lambda: weak.delete("a")),
        outcome(lambda: weak.head("a")),
    ]


@case
def error_details(e):
    try:
        e.get("nothing")
    except elastik.NotFound as exc:
        text = re.sub(r"\d+", "N", str(exc))
        return [
            exc.status,
            exc.body.decode(),
            exc.method,
            exc.path,
            exc.request_id.isdigit(),
            exc.core_elapsed_us.isdigit(),
            text,
        ]


@case
def unreachable(e):
    import urllib.error

    try:
        Elastik("http://127.0.0.1:1", "").get("a")
    except urllib.error.URLError as exc:
        return type(exc.reason).__name__


@case
def module_functions(e):
    import os

    os.environ["ELASTIK_URL"], os.environ["ELASTIK_APPROVE_TOKEN"] = e.url, e.bearer_token
    elastik.put("m", "x")
    with elastik.tmp("t") as path:
        elastik.put(path, b"")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        worlds = elastik.list_worlds()
    return [
        elastik.get("m").decode(),
        elastik.get_text("m"),
        elastik.exists("m"),
        "home/m" in worlds,
        [w.category.__name__ for w in seen],
        elastik.ls("m"),
        elastik.rm("m"),
        elastik.is_running(),
        elastik.live_info(),
        elastik.default_url() == e.url,
    ]


@case
def reactor(e):
    seen, poker = [], []

    @elastik.listen("/home/in/*")
    def on(body, path, world, etag, pattern, meta, e, method, event):
        seen.append(
            [body.decode(), path, world == path, shape(etag), pattern, meta, method, event["path"]]
        )
        return elastik.Reply("/home/out/1", body + b"!")

    def poke(e):
        # Until it is heard: nothing tells from outside when 8.3.0 listens.
        while len(seen) < 2:
            time.sleep(0.1)
            e.put("in/1", "x", project="p")

    @elastik.on_startup
    def up(e):
        seen.append("up")
        poker.append(threading.Thread(target=poke, args=(e,), daemon=True))
        poker[0].start()

    @elastik.on_shutdown
    def down():
        seen.append("down")

    def again():
        elastik.listen("/home/in/*")(on)

    twice = outcome(again)
    elastik.run(e, max_events=1)
    # Its last write must not be counted by another case.
    poker[0].join()
    elastik.clear_routes()
    elastik.clear_lifecycle_hooks()
    return [
        seen,
        twice,
        e.get("out/1").decode(),
        elastik.has_routes(),
        outcome(lambda: elastik.run(e)),
    ]


@case
def reactor_actions(e):
    e.put("in/a", b"a")
    ctx = elastik.Ctx(b"a", "/home/in/a", e.checksum("in/a"), "*", {}, e)
    elastik.Reply("out/r", "reply").execute(ctx)
    elastik.MoveTo("out/m", kind="x").execute(ctx)
    first = [e.exists("in/a"), e.get("out/m").decode(), e.head("out/m").get("x-meta-kind")]
    e.put("in/a", b"a")
    ctx = elastik.Ctx(b"a", "/home/in/a", e.checksum("in/a"), "*", {}, e)
    elastik.Archive().execute(ctx)
    second = [e.exists("in/a"), e.get("archive/a").decode(), e.get("out/r").decode()]
    e.put("in/a", b"a")
    elastik.Drop().execute(elastik.Ctx(b"a", "/home/in/a", e.checksum("in/a"), "*", {}, e))
    return [first, second, e.exists("in/a"), ctx.world, ctx.method, ctx.event]


@case
def debugging(e):
    seen = []
    e.enable_debug(
        record=True,
        hook=lambda *a: seen.append([a[0], a[1], a[2], isinstance(a[3], float), a[4].isdigit()]),
    )
    e.put("a", b"x")
    outcome(lambda: e.get("nothing"))
    stats = e.debug_stats()
    rows = [sorted(r) for r in e.debug_history]
    enabled = e.debug_enabled
    e.disable_debug()
    e.enable_debug(level="errors", sink="/tmp/debug/requests")
    e.put("a", b"y")
    outcome(lambda: e.get("nothing"))
    lines = [json.loads(line)["status"] for line in e.get("tmp/debug/requests").splitlines()]
    e.disable_debug()
    return [
        seen,
        stats["total_requests"],
        stats["by_method"],
        {str(k): v for k, v in stats["by_status"].items()},
        rows,
        enabled,
        lines,
        e.exists("tmp/debug/errors"),
        outcome(lambda: e.enable_debug(level="x")),
        outcome(lambda: e.enable_debug(level="all", verbose=1)),
        e.debug_enabled,
    ]


@case
def shell_pool(e):
    with elastik.TrustedShellPool(1) as pool:
        a = pool.run("echo out; echo err >&2; false")
        b = pool.run("exit 3")
        c = pool.run("sleep 9", timeout=0.2)
        return [
            a.stdout.split(),
            a.returncode,
            a.ok,
            b.returncode,
            c.timed_out,
            c.ok,
            outcome(lambda: pool.run("false", check=True)),
        ]


@case
def disk_names(e):
    return [elastik.encode_disk_name("home/note.txt"), elastik.decode_disk_name("home%2Fa%20b")]
