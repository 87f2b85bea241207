"""8.3.0's methods on one world, each as a small case; only what 8.3.0 itself has."""

import os
import tempfile
import warnings

import elastik
from elastik import Elastik
from method_registry import case, outcome, receipt, shape


@case
def put(e):
    return [
        receipt(e.put("a", "x")),
        receipt(e.put("/home/a", b"y")),
        receipt(e.put("tmp/a", b"")),
        outcome(lambda: e.put("a", 5)),
        outcome(lambda: e.put("a/../b", b"")),
        outcome(lambda: e.put("", b"")),
        outcome(lambda: e.put("home", b"")),
    ]


@case
def put_headers(e):
    e.put(
        "a",
        "x",
        content_type="t/x",
        content_encoding="identity",
        content_language="en",
        content_disposition="inline",
        cache_control="no-store",
        project_name="demo",
        headers={"Expires": "0", "X-Not-Kept": "1"},
    )
    head = e.head("a")
    return {
        k: head.get(k)
        for k in (
            "content-type",
            "content-encoding",
            "content-language",
            "content-disposition",
            "cache-control",
            "x-meta-project-name",
            "expires",
            "x-not-kept",
        )
    }


@case
def put_preconditions(e):
    etag = e.put("a", "x")["etag"]
    return [
        outcome(lambda: e.put("a", "y", create_only=True)),
        outcome(lambda: e.put("a", "y", if_match='"no"')),
        outcome(lambda: receipt(e.put("a", "y", if_match=etag))),
        outcome(lambda: e.put("a", "y", if_none_match="*")),
        outcome(lambda: receipt(e.put("a", "y", if_none_match="other"))),
        outcome(lambda: e.put("a", "y", if_none_match=True)),
        outcome(lambda: e.put("a", "y", create_only=True, if_none_match="x")),
        outcome(lambda: e.put("new", "y", if_match="*")),
        outcome(lambda: receipt(e.put("new", "y", create_only=True))),
    ]


@case
def put_refuses_wire_headers(e):
    return [
        outcome(lambda name=name: e.put("a", "x", headers={name: "1"}))
        for name in (
            "Content-Length",
            "Transfer-Encoding",
            "host",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "HTTP2-Settings",
        )
    ]


@case
def put_near_miss(e):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        e.put("a", "x", content_typo="1", project="fine")
    return [w.category.__name__ for w in seen]


@case
def put_get_text(e):
    return [
        receipt(e.put_text("a", "grün", encoding="latin-1")),
        e.head("a")["content-type"],
        e.get_text("a", encoding="latin-1"),
        outcome(lambda: e.get_text("a")),
        e.get_text("a", errors="replace"),
        e.get_text("a", range=(0, 1)),
        e.get_text("a", if_none_match="*"),
    ]


@case
def put_get_json(e):
    e.put_json("a", {"ü": [1, None, True]})
    first = e.get("a").decode()
    e.put_json("a", "ü", ensure_ascii=True)
    e.put("b", "no json")
    return [
        first,
        e.get("a").decode(),
        e.get_json("a"),
        e.head("a")["content-type"],
        outcome(lambda: e.get_json("b")),
        e.get_json("a", if_none_match="*"),
    ]


@case
def put_get_gzip(e):
    e.put_gzip("a", "text" * 50)
    e.put_gzip("b", b"bytes", content_type="x/y")
    return [
        e.get_gzip("a").decode(),
        e.head("a")["content-type"],
        e.head("a")["content-encoding"],
        e.get_gzip("b").decode(),
        e.head("b")["content-type"],
        outcome(lambda: e.put_gzip("a", 1)),
    ]


@case
def put_get_csv(e):
    e.put_csv("a", [["t", "v"], [1, 'x"y'], ["", "a,b"]])
    return [e.get("a").decode(), e.get_csv("a"), e.head("a")["content-type"]]


@case
def put_get_struct(e):
    e.put_struct("dev/a", ">hIf", -2, 7, 0.5)
    return [
        e.get_struct("dev/a", ">hIf"),
        e.head("dev/a")["content-type"],
        outcome(lambda: e.get_struct("dev/a", ">h"))[:1],
    ]


@case
def post(e):
    e.put("a", "x", content_type="t/x")
    etag = e.head("a")["etag"]
    return [
        receipt(e.post("a", "yz")),
        receipt(e.post("a", b"")),
        e.get("a").decode(),
        e.head("a")["content-type"],
        outcome(lambda: e.post("nothing", b"x")),
        outcome(lambda: e.post("a", b"x", if_match=etag)),
        outcome(lambda: receipt(e.post("a", b"!", if_match=e.checksum("a")))),
        outcome(lambda: e.post("a", None)),
    ]


@case
def get(e):
    etag = e.put("a", b"0123456789")["etag"]
    return [
        e.get("a").decode(),
        e.get("a", range=(2, 4)).decode(),
        e.get("a", range=(8, 99)).decode(),
        e.get("a", if_none_match=etag),
        e.get("a", if_none_match=etag.strip('"')),
        e.get("a", range=(0, 1), if_range=etag).decode(),
        e.get("a", range=(0, 1), if_range='"old"').decode(),
        outcome(lambda: e.get("nothing")),
        outcome(lambda: e.get("a", range=(10, 11))),
    ]


@case
def get_cached(e):
    e.put("a", b"1")
    first = e.get_cached("a")
    Elastik(e.url, e.bearer_token).put("a", b"2")
    second = e.get_cached("a")
    e.clear_cache("a")
    e.clear_cache()
    return [
        first.decode(),
        second.decode(),
        e.get_cached("a").decode(),
        outcome(lambda: e.get_cached("nothing")),
    ]


@case
def head(e):
    e.put("a", b"12345")
    meta = e.head("a")
    return [
        {
            k: meta[k]
            for k in ("content-type", "content-length", "accept-ranges", "x-content-type-options")
        },
        shape(meta["etag"]),
        "collection" in meta["link"],
        outcome(lambda: e.head("nothing")),
    ]


@case
def delete(e):
    e.put("a", b"")
    return [
        outcome(lambda: e.delete("a", if_match='"no"')),
        e.delete("a"),
        e.delete("a"),
        outcome(lambda: e.delete("var/log/deletes")),
    ]


@case
def listing(e):
    for path in ("b", "a/x", "tmp/q", "日本"):
        e.put(path, b"")
    return [e.list(), e.list_paths(), e.list_keys()]


@case
def questions(e):
    e.put("a", b"123")
    e.put("tmp/a", b"123")
    return [
        e.exists("a"),
        e.exists("nothing"),
        e.sizeof("a"),
        shape(e.checksum("a")),
        e.checksum("tmp/a"),
        e.is_audited("a"),
        e.is_audited("tmp/a"),
        e.verify("a"),
        e.verify("tmp/a"),
        outcome(lambda: e.verify("nothing")),
        outcome(lambda: e.sizeof("nothing")),
    ]


@case
def diff(e):
    e.put("a", "one\ntwo\n")
    return [e.diff("a", "one\n2\n"), e.diff("a", "one\ntwo\n")]


@case
def preview(e):
    e.put("a", "first line is rather long\n" * 20)
    return [
        e.preview("a"),
        e.preview("a", width=10, max_lines=2),
        e.preview("a", max_bytes=5),
        e.preview("a", max_lines=0),
    ]


@case
def copy(e):
    e.put("a", b"1", content_type="t/x", cache_control="no-cache")
    result = receipt(e.copy("a", "b"))
    again = receipt(e.copy("a", "b", note="n"))
    head = e.head("b")
    return [
        result,
        again,
        head["content-type"],
        head["cache-control"],
        head.get("x-meta-note"),
        e.get("b").decode(),
        outcome(lambda: e.copy("nothing", "c")),
        receipt(e.copy("a", "/home/a")),
        outcome(lambda: e.copy("nothing", "nothing")),
    ]


@case
def readall(e):
    e.put("a", b"0123456789")
    with e.open("a") as f:
        f.seek(4)
        return [f.readall().decode(), f.readall().decode(), list(f.readlines())]


@case
def handlers(e):
    elastik.listen("a")(print)
    elastik.listen("a", replace=True)(len)
    elastik.listen("b/*")(print)
    before = elastik.has_routes()
    elastik.unlisten("a")
    elastik.unlisten("a")
    between = elastik.has_routes()
    elastik.unlisten("b/*")
    return [before, between, elastik.has_routes(), elastik.on_startup(len) is len]


@case
def dotenv(e):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, ".env")
        with open(path, "w") as file:
            file.write(
                "# no\nCASE_A = '1 2'\nexport CASE_B=2\nCASE_C=\"x\nCASE_D=a#b\nPATH=no\n=z\n"
            )
        elastik.load_dotenv(path)
        elastik.load_dotenv(path + ".none")
    found = {k: v for k, v in os.environ.items() if k.startswith(("CASE_", "export"))}
    for name in found:
        del os.environ[name]
    return [found, os.environ["PATH"] == "no"]


@case
def module_mirrors(e):
    os.environ["ELASTIK_URL"], os.environ["ELASTIK_APPROVE_TOKEN"] = e.url, e.bearer_token
    out = [
        receipt(elastik.put_text("m/t", "x")),
        receipt(elastik.put_json("m/j", [1])),
        receipt(elastik.put_gzip("m/g", b"x")),
        receipt(elastik.put_csv("m/c", [[1, 2]])),
        receipt(elastik.put_struct("m/s", ">h", 5)),
        receipt(elastik.post("m/t", b"y")),
        elastik.get_cached("m/t").decode(),
        elastik.get_json("m/j"),
        elastik.get_gzip("m/g").decode(),
        elastik.get_csv("m/c"),
        elastik.get_struct("m/s", ">h"),
        elastik.head("m/t")["content-type"],
        elastik.sizeof("m/t"),
        shape(elastik.checksum("m/t")),
        elastik.is_audited("m/t"),
        elastik.verify("m/t"),
        elastik.diff("m/t", "xz"),
        elastik.preview("m/t", max_bytes=1),
        receipt(elastik.copy("m/t", "m/u")),
        elastik.tree("m"),
        elastik.du("m", max_workers=1),
        elastik.mv("m/u", "m/v"),
        {k: receipt(v) for k, v in elastik.put_many({"m/1": b"1"}).items()},
        {k: v.decode() for k, v in elastik.get_many(["m/1"], max_workers=1).items()},
        elastik.open("m/1").read().decode(),
        elastik.list_paths() == elastik.list_keys() == e.list(),
        elastik.request("GET", "m/1").body.decode(),
        elastik.delete("m/1"),
        elastik.rm("m", recursive=True),
    ]
    return [*out, outcome(lambda: elastik.get("m/1"))]
