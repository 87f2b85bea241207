"""Connections: reuse, staleness, threads, fork, restarts, retries, TLS, Unix sockets."""

from __future__ import annotations

import io
import os
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
from pathlib import Path

import pytest

from elastik import (
    Elastik,
    ElastikError,
    PayloadTooLarge,
    TimedOut,
    Unreachable,
)
from foreign import needs
from scriptedserver import OK, VERSION_9

ROOT = Path(__file__).resolve().parents[2]


def always_ok(connection, turn, head):
    return VERSION_9 if "/proc/version" in head else OK


def test_one_connection_serves_many_requests(serve):
    server = serve(always_ok)
    with Elastik(server.url) as e:
        for _ in range(5):
            assert e.get("a") == b"ok"
            e.put("a", b"x")
            with e.stream("a") as body:
                assert body.read() == b"ok"
        e.post("a", b"x")
    assert server.connections == 1


def test_a_client_that_nobody_closes_warns_of_nothing(keeping_core):
    code = f"""
import elastik
e = elastik.Elastik({keeping_core.url!r}, {keeping_core.approve!r})
e.put("a", b"x"); e.get("a")
with e.listen("a", last_event_id=0) as events:
    next(events)
with e.stream("a") as body:
    pass
elastik.Elastik(e.url, e.bearer_token).get("a")
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_keep_alive_false_is_one_connection_a_request(serve):
    server = serve(always_ok)
    e = Elastik(server.url, keep_alive=False)
    for _ in range(3):
        e.get("a")
    assert server.connections == 3
    assert all("Connection: close" in head for head in server.requests)


def test_a_body_that_was_not_read_costs_its_connection_not_the_next_request(e, name):
    path = name()
    e.put(path, b"x" * 10_000_000)
    with e.stream(path) as body:
        next(body)
    assert e.get(path, range=(0, 0)) == b"x"


def test_a_closed_idle_connection_is_noticed_before_use(serve):
    server = serve(always_ok)
    e = Elastik(server.url)
    e.get("a")
    # The server closes the idle connection; the client must not fall over it.
    [(_, sock)] = e._transport._idle
    sock.shutdown(socket.SHUT_RDWR)
    assert e.get("a") == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("method", ["get", "head"])
def test_a_connection_that_dies_under_a_request_is_replaced(serve, method):
    server = serve(lambda connection, turn, head: OK if (connection, turn) != (1, 2) else None)
    e = Elastik(server.url)
    e.get("a")
    getattr(e, method)("a")
    assert server.connections == 2


def test_a_put_from_a_file_is_sent_again_from_its_start(serve):
    server = serve(lambda connection, turn, head: OK if (connection, turn) != (1, 2) else None)
    e = Elastik(server.url)
    e.get("a")
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    e.put("a", file)
    assert server.bodies[-2:] == [b"sent", b"sent"]


def test_what_can_be_read_only_once_uses_no_connection_that_may_be_dead(serve):
    server = serve(lambda connection, turn, head: OK if (connection, turn) != (1, 2) else None)
    e = Elastik(server.url)
    e.get("a")
    e.put("a", iter([b"once"]))
    assert server.bodies == [b"", b"once"]


def test_a_fresh_connection_that_dies_is_an_error(serve):
    server = serve(lambda *_: None)
    with pytest.raises(Unreachable, match="GET /home/a"):
        Elastik(server.url).get("a")
    assert server.connections == 1


# -- what a server says in between -----------------------------------------------------------------


def test_an_answer_before_the_body_is_through_is_the_reason(serve):
    early = b"HTTP/1.1 413 No\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"
    server = serve(lambda *_: early, read_bodies=False)
    with pytest.raises(PayloadTooLarge) as caught:
        Elastik(server.url).put("a", (b"x" * 65536 for _ in range(2000)))
    assert caught.value.body == b"too large"


def test_silence_is_a_timeout(serve):
    gate = threading.Event()
    server = serve(lambda *_: gate.wait(5) and None)
    with pytest.raises(TimedOut) as caught:
        Elastik(server.url, timeout=0.05).get("a")
    gate.set()
    assert isinstance(caught.value, TimeoutError)


def test_a_body_that_breaks_off_is_an_error(serve):
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf"
    server = serve(lambda *_: cut)
    e = Elastik(server.url)
    with pytest.raises(Unreachable):
        e.get("a")
    with e.stream("a") as body, pytest.raises(Unreachable):
        b"".join(body)


def test_a_download_goes_on_where_it_broke_off(serve, tmp_path):
    body = bytes(range(256)) * 40

    def script(connection, turn, head):
        start = int(head.partition("bytes=")[2].partition("-")[0] or 0)
        rest = body[start:]
        status = b"206 Partial Content" if start else b"200 OK"
        answer = b'HTTP/1.1 %b\r\nETag: "v1"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n'
        # Each connection carries 3000 bytes and dies.
        return answer % (status, len(rest)) + rest[:3000]

    server = serve(script)
    e = Elastik(server.url)
    assert e.download("big", tmp_path / "big", tries=9) == len(body)
    assert (tmp_path / "big").read_bytes() == body
    assert all('If-Range: "v1"' in head for head in server.requests[1:])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big"]


def test_nonsense_is_unreachable(serve):
    server = serve(lambda *_: b"SSH-2.0-OpenSSH\r\n\r\n" + b"Connection: close")
    with pytest.raises(Unreachable):
        Elastik(server.url).get("a")


def test_repeated_headers_are_all_there(serve):
    twice = b"HTTP/1.1 200 OK\r\nLink: <a>\r\nLink: <b>\r\nContent-Length: 0\r\n\r\n"
    assert Elastik(serve(lambda *_: twice).url).head("a")["link"] == "<a>, <b>"


def test_the_token_and_an_explicit_authorization(serve):
    server = serve(always_ok)
    e = Elastik(server.url, "secret")
    e.get("a")
    e.get("a", headers={"authorization": "Basic eA=="})
    assert "Authorization: Bearer secret" in server.requests[0]
    assert "Bearer" not in server.requests[1]


def test_a_base_path_is_kept(serve):
    server = serve(always_ok)
    Elastik(server.url + "/behind/proxy/").get("a b")
    assert server.requests[0].startswith("GET /behind/proxy/home/a%20b HTTP/1.1")


# -- errors ----------------------------------------------------------------------------------------


def test_unreachable_is_what_existing_programs_catch():
    with pytest.raises(urllib.error.URLError) as caught:
        Elastik("http://127.0.0.1:1").get("a")
    assert isinstance(caught.value, (Unreachable, ElastikError, OSError))
    assert issubclass(Unreachable, urllib.error.URLError)
    assert isinstance(caught.value.reason, ConnectionRefusedError)
    assert caught.value.status == 0


def test_errors_survive_pickling():
    for error in (
        Unreachable(OSError("x"), method="GET", path="a"),
        TimedOut("x"),
        ElastikError(404, b"b", method="GET", path="p", headers={"x-request-id": "1"}),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert copy.status == error.status


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://"])
def test_urls_that_are_none(url):
    with pytest.raises(ValueError, match="not an http"):
        Elastik(url, "").get("a")


# -- threads, fork, restart ------------------------------------------------------------------------


def test_threads_share_a_client(e):
    wrong = []

    def work(n):
        for k in range(30):
            body = b"%d-%d" % (n, k)
            e.put(f"thread/{n}", body)
            if e.get(f"thread/{n}") != body:
                wrong.append((n, k))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_uses_connections_of_its_own(e):
    e.put("fork", b"0")
    children = []
    for n in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for k in range(50):
                    e.put(f"fork/{n}", b"%d" % k)
                    assert e.get(f"fork/{n}") == b"%d" % k
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    for k in range(50):
        e.put("fork", b"%d" % k)
        assert e.get("fork") == b"%d" % k
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0, 0]


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_lock_that_was_held_at_fork_does_not_hang_the_child(e):
    e.get("/proc/version")
    with e._transport._lock:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if e.get("/proc/version") else 1)
    for _ in range(200):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    pytest.fail("the child hangs")


def test_a_restart_between_two_requests_is_not_noticed(start_core, tmp_path):
    core = start_core()
    port = core.address[1]
    e = Elastik(core.url, core.approve)
    e.put("a", b"1")
    core.stop()
    start_core(core.data, port=port)
    assert e.get("a") == b"1"
    e.post("a", b"2")
    assert e.get("a") == b"12"


# -- other ways to a server ------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
@pytest.mark.parametrize("quoted", [False, True])
def test_unix_sockets(serve, tmp_path, quoted):
    path = str(tmp_path / "e.sock")
    server = serve(always_ok, family=socket.AF_UNIX, path=path)
    url = f"http+unix://{path.replace('/', '%2F')}/" if quoted else server.url
    assert Elastik(url, "").get("a") == b"ok"
    assert "Host: localhost" in server.requests[0]
    with pytest.raises(Unreachable):
        Elastik(f"http+unix://{path}.not", "").get("a")


@needs("openssl")
def test_https_with_a_certificate_of_ones_own(serve, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = serve(always_ok, tls=context)
    with Elastik(server.url, "", cafile=cert) as e:
        assert e.get("a") == b"ok"
        assert e.get("a") == b"ok"
    assert server.connections == 1
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
        Elastik(server.url, "").get("a")
