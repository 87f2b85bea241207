"""Common HTTP clients do what their users expect: curl, wget, httpie."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import threading

import pytest

from foreign import needed
from realcore import APPROVE, READ, Listener

PACKAGES = {"http": "httpie", "nghttp": "nghttp2-client"}
LOG = b"".join(b"%06d a line of a log\n" % n for n in range(4000))


def tool(name, *arguments, cwd, data=None):
    """Run a program that has no configuration of its own."""
    found = needed(name, package=PACKAGES.get(name, name))
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C", "NO_PROXY": "*"}
    return subprocess.run(
        [found, *map(str, arguments)],
        input=data if data is not None else b"",
        capture_output=True,
        cwd=cwd,
        env=environment,
        timeout=60,
        check=False,
    )


@pytest.fixture
def curl(wire, tmp_path):
    """curl with the strongest token, which it reads from a file: no secret is an argument."""
    (tmp_path / "token").write_text(f'header = "Authorization: Bearer {APPROVE}"\n')

    def run(*arguments, ok=True, **options):
        done = tool("curl", "-q", "-sS", "-K", "token", *arguments, cwd=tmp_path, **options)
        assert not ok or done.returncode == 0, done.stderr
        return done

    return run


def status(done):
    """The status of the last head that curl wrote before the body (-i)."""
    return int(re.findall(rb"^HTTP/[0-9.]+ (\d+)", done.stdout, re.M)[-1])


def test_curl_puts_a_file_and_gets_it_back(wire, fresh, curl, tmp_path):
    url = wire.url + fresh()
    (tmp_path / "log").write_bytes(LOG)
    assert status(curl("-i", "-T", "log", url)) == 201
    assert curl(url).stdout == LOG
    assert status(curl("-I", url)) == 200
    assert curl("-H", "Range: bytes=7-12", url).stdout == LOG[7:13]
    assert curl("-r", "-10", url).stdout == LOG[-10:]
    assert curl("-f", wire.url + fresh(), ok=False).returncode == 22


def test_curl_streams_from_a_pipe(wire, fresh, curl):
    """Without a length, in chunks, after `Expect: 100-continue` for a large body."""
    url = wire.url + fresh()
    assert status(curl("-i", "-T", "-", "-H", "Expect: 100-continue", url, data=LOG)) == 201
    assert curl(url).stdout == LOG
    assert status(curl("-i", "--data-binary", "@-", url, data=b"more")) == 200
    assert curl(url).stdout == LOG + b"more"


def test_curl_asks_only_for_what_is_new(wire, fresh, curl, tmp_path):
    url = wire.url + fresh()
    curl("-d", "one", "-X", "PUT", url)
    curl("--etag-save", "etag", "-o", "copy", url)
    again = curl("--etag-compare", "etag", "-w", "%{http_code}", "-o", "copy", url)
    assert again.stdout == b"304"
    curl("-d", "two", "-X", "PUT", url)
    again = curl("--etag-compare", "etag", "-w", "%{http_code}", "-o", "copy", url)
    assert again.stdout == b"200" and (tmp_path / "copy").read_bytes() == b"two"
    # By time, as `-z FILE` asks.
    curl("-R", "-o", "dated", url)
    dated = curl("-z", "dated", "-w", "%{http_code}", "-o", "dated", url)
    assert dated.stdout == b"304"


def test_curl_goes_on_with_a_broken_download(wire, fresh, curl, tmp_path):
    url = wire.url + fresh()
    curl("-T", "-", url, data=LOG)
    (tmp_path / "part").write_bytes(LOG[:1000])
    said = curl("-C", "-", "-o", "part", "-w", "%{http_code} %{size_download}", url)
    assert said.stdout.decode() == f"206 {len(LOG) - 1000}"
    assert (tmp_path / "part").read_bytes() == LOG
    # A file that is whole: 416 with its size, and nothing is added.
    curl("-C", "-", "-o", "part", url, ok=False)
    assert (tmp_path / "part").read_bytes() == LOG


def test_curl_copies_and_moves(wire, fresh, curl):
    source, copy, moved = fresh(), fresh(), fresh()
    curl("-T", "-", wire.url + source, data=b"text")
    there = f"Destination: {copy}"
    assert status(curl("-i", "-X", "COPY", "-H", there, wire.url + source)) == 201
    assert status(curl("-i", "-X", "COPY", "-H", there, wire.url + source)) == 204
    kept = curl("-i", "-X", "COPY", "-H", there, "-H", "Overwrite: F", wire.url + source)
    assert status(kept) == 412
    # A whole URL, as WebDAV clients send it.
    whole = f"Destination: {wire.url}{moved}"
    assert status(curl("-i", "-X", "MOVE", "-H", whole, wire.url + source)) == 201
    assert wire.get(source).status == 404
    assert wire.get(copy).body == wire.get(moved).body == b"text"


def test_curl_speaks_http2_without_tls(wire, fresh, curl):
    url = wire.url + fresh()
    version = ["-w", "%{http_version} %{http_code}"]
    if b"HTTP2" not in tool("curl", "-V", cwd="/").stdout:
        pytest.skip("this curl has no HTTP/2")
    put = curl("--http2-prior-knowledge", *version, "-o", "out", "-T", "-", url, data=LOG)
    assert put.stdout == b"2 201"
    got = curl("--http2-prior-knowledge", url)
    assert got.stdout == LOG
    # An offer to upgrade is not taken up, and does no harm.
    assert curl("--http2", *version, "-o", "out", url).stdout == b"1.1 200"


def test_curl_reaches_a_unix_socket(start_core, tmp_path, curl):
    path = tmp_path / "core.sock"
    start_core(env={"ELASTIK_UNIX_SOCKET": str(path)})
    assert curl("--unix-socket", path, "http://elastik/proc/health").stdout == b"ok\n"
    curl("--unix-socket", path, "-T", "-", "http://elastik/home/a", data=LOG)
    assert curl("--unix-socket", path, "http://elastik/home/a").stdout == LOG


def test_curl_follows_events(wire, fresh, curl):
    """-N shows each event as it comes; -m ends it, as a person ends it with ^C."""
    world = fresh()
    with Listener(wire, world[1:]) as witness:
        writer = threading.Timer(0.5, lambda: wire.put(world, b"1"))
        writer.start()
        done = curl("-N", "-m", "3", f"{wire.url}/listen{world}", ok=False)
        writer.join()
        assert witness.event()["path"] == world
    assert done.returncode == 28
    assert b"event: put\n" in done.stdout and f"data: path: {world}\n".encode() in done.stdout


def test_curl_is_told_which_credentials_are_taken(wire, fresh, tmp_path):
    """--anyauth looks at the 401's offers; a user's name does not matter."""
    world = fresh()
    wire.put(world, b"secret")
    (tmp_path / "user").write_text(f'user = "anyone:{READ}"\n')
    done = tool("curl", "-q", "-sS", "--anyauth", "-K", "user", wire.url + world, cwd=tmp_path)
    assert done.stdout == b"secret", done.stderr


@pytest.fixture
def wget(tmp_path):
    (tmp_path / "wgetrc").write_text(f"header = Authorization: Bearer {READ}\ntries = 3\n")
    return lambda *arguments: tool("wget", "--config=wgetrc", "-nv", *arguments, cwd=tmp_path)


def test_wget_goes_on_where_it_was(wire, fresh, wget, tmp_path):
    url = wire.url + fresh()
    wire.put(url.removeprefix(wire.url), LOG)
    (tmp_path / "part").write_bytes(LOG[:12345])
    assert wget("-c", "-O", "part", url).returncode == 0
    assert (tmp_path / "part").read_bytes() == LOG
    # Nothing is left to do, and that is no error.
    assert wget("-c", "-O", "part", url).returncode == 0
    assert (tmp_path / "part").read_bytes() == LOG


def test_wget_goes_on_after_a_connection_that_broke(wire, fresh, wget, tmp_path):
    """A relay cuts the first answer in the middle; wget comes back with a Range by itself."""
    world = fresh()
    wire.put(world, LOG)
    with socket.create_server(("127.0.0.1", 0)) as door:
        asked = []

        def relay():
            for cut in (len(LOG) // 2, None):
                near, _ = door.accept()
                with near, socket.create_connection(wire.address) as far:
                    asked.append(near.recv(65536))
                    far.sendall(asked[-1])
                    answer = http.client.HTTPResponse(far)
                    answer.begin()
                    lines = "".join(f"{k}: {v}\r\n" for k, v in answer.getheaders())
                    near.sendall(f"HTTP/1.1 {answer.status} OK\r\n{lines}\r\n".encode())
                    near.sendall(answer.read()[:cut])

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        host, port = door.getsockname()
        done = wget("-O", "whole", "--waitretry=0", f"http://{host}:{port}{world}")
        thread.join(10)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "whole").read_bytes() == LOG
    assert f"Range: bytes={len(LOG) // 2}-".encode() in asked[1]


def test_wget_fetches_only_what_is_newer(wire, fresh, wget, tmp_path):
    world = fresh()
    wire.put(world, b"first")
    assert wget("-N", wire.url + world).returncode == 0
    kept = (tmp_path / "world").stat()
    assert wget("-N", wire.url + world).returncode == 0
    assert (tmp_path / "world").stat().st_ino == kept.st_ino
    assert (tmp_path / "world").read_bytes() == b"first"


def test_httpie_shows_and_stores_json(wire, fresh, tmp_path):
    (tmp_path / ".config").mkdir()
    url, token = wire.url + fresh(), f"Authorization:@{tmp_path / 'token'}"
    (tmp_path / "token").write_text(f"Bearer {APPROVE}")
    put = tool(
        "http", "--ignore-stdin", "--print=h", "PUT", url, token, "sku=tea", "qty:=2", cwd=tmp_path
    )
    assert b"201 Created" in put.stdout, put.stderr
    got = tool("http", "--ignore-stdin", "--print=hb", url, token, cwd=tmp_path)
    assert b"application/json" in got.stdout and b'"sku": "tea"' in got.stdout
    patch = tool(
        "http", "--ignore-stdin", "--print=h", "PATCH", url, token,
        "Content-Type:application/merge-patch+json", "qty:=3", cwd=tmp_path,
    )  # fmt: skip
    assert b"200 OK" in patch.stdout, patch.stderr
    assert b'"qty":3' in wire.get(url.removeprefix(wire.url)).body.replace(b" ", b"")
    # A body that comes by a pipe goes in as it is, and --check-status tells what became of it.
    pipe = ("http", "--check-status", "PUT", url, token, "Content-Type:text/csv")
    assert tool(*pipe, cwd=tmp_path, data=b"a,b").returncode == 0
    assert wire.get(url.removeprefix(wire.url)).body == b"a,b"
    refused = tool(*pipe, "If-None-Match:*", cwd=tmp_path, data=b"c")
    assert refused.returncode == 4 and b"If-None-Match matched current ETag" in refused.stdout


def test_httpie_goes_on_with_a_broken_download(wire, fresh, tmp_path):
    (tmp_path / ".config").mkdir()
    (tmp_path / "token").write_text(f"Bearer {READ}")
    world = fresh()
    wire.put(world, LOG)
    (tmp_path / "part").write_bytes(LOG[:1000])
    done = tool(
        "http", "--ignore-stdin", "--download", "--continue", "--output=part",
        wire.url + world, f"Authorization:@{tmp_path / 'token'}", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "part").read_bytes() == LOG


def test_nghttp_does_many_requests_on_one_connection(start_core, tmp_path):
    """Another HTTP/2 client; without TLS it begins with the preface. Reads are public here."""
    core = start_core(env={"ELASTIK_READ_TOKEN": None})
    core.put("/home/log", LOG)
    urls = [f"{core.url.rstrip('/')}/home/log?{number}" for number in range(3)]
    done = tool("nghttp", *urls, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # The answers share the connection, so their pieces may come in turns.
    assert sorted(done.stdout) == sorted(LOG * 3)
