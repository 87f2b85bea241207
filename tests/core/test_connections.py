"""Ways in and their limits: Unix socket, TLS, HTTP/2, inherited sockets, time-outs, places."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foreign import needs
from realcore import APPROVE, BANNER, KEY, WRITE, refuse, wait_for

HEAD = b"GET /proc/version HTTP/1.1\r\nhost: x\r\n"


def ask(line, request=HEAD + b"connection: close\r\n\r\n"):
    line.sendall(request)
    return b"".join(iter(lambda: line.recv(65536), b""))


def certificate(folder, name):
    made = [folder / f"{name}.pem", folder / f"{name}.key"]
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    written = ["-out", made[0], "-keyout", made[1]]
    subprocess.run([*command.split(), *subject, *written], check=True, capture_output=True)
    return made


def test_a_unix_socket_is_its_owners_and_goes_with_the_core(start_core, tmp_path):
    path = tmp_path / "core.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    core = start_core(arguments=("--unix-socket", str(path)))
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        assert b"elastik-core" in ask(line)
    assert core.stop() == 0
    assert not path.exists()


def test_a_file_is_never_taken_for_a_socket(core_binary, tmp_path):
    path = tmp_path / "precious"
    path.write_bytes(b"x")
    env = {"ELASTIK_KEY": KEY, "ELASTIK_PORT": "0", "ELASTIK_DATA": str(tmp_path / "d")}
    code, text = refuse(core_binary, env, ("--unix-socket", str(path)))
    assert (code, path.read_bytes()) == (1, b"x")
    assert f"bind {path} failed" in text


@needs("openssl")
def test_tls_and_its_reload(start_core, tmp_path):
    cert, key = certificate(tmp_path, "one")
    core = start_core(arguments=("--tls-cert", str(cert), "--tls-key", str(key)))
    assert core.url.startswith("https://")
    assert common_name(core, cert) == "one"
    other, other_key = certificate(tmp_path, "two")
    shutil.copy(other, cert)
    shutil.copy(other_key, key)
    core.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: "reloaded" in core.stderr())
    assert common_name(core, other) == "two"
    cert.write_text("nonsense")
    core.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: "reload failed, going on as before" in core.stderr())
    assert common_name(core, other) == "two"


def common_name(core, trusted):
    context = ssl.create_default_context(cafile=str(trusted))
    host, port = core.url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as line,
        context.wrap_socket(line, server_hostname=host) as secure,
    ):
        assert b"elastik-core" in ask(secure)
        subject = dict(pair[0] for pair in secure.getpeercert()["subject"])
        return subject["commonName"]


def test_tls_needs_both_files(core_binary, tmp_path):
    env = {"ELASTIK_KEY": KEY, "ELASTIK_PORT": "0", "ELASTIK_DATA": str(tmp_path / "d")}
    code, text = refuse(core_binary, env, ("--tls-cert", "x.pem"))
    assert (code, "TLS needs both" in text) == (1, True)


@needs("curl")
def test_http2_by_prior_knowledge(core):
    def curl(*arguments, data=None):
        command = ["curl", "-sS", "--http2-prior-knowledge", "-H", f"Authorization: Bearer {WRITE}"]
        done = subprocess.run([*command, *arguments], input=data, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    big = os.urandom(3_000_000)
    url = f"{core.url}/home/two"
    put = [
        "-X",
        "PUT",
        "--data-binary",
        "@-",
        "-o",
        os.devnull,
        "-w",
        "%{http_version} %{http_code}",
    ]
    assert curl(*put, url, data=big) == b"2 201"
    assert curl(url) == big
    assert curl("-o", os.devnull, "-w", "%{http_code}", "-r", "5-9", url) == b"206"


def test_sockets_of_a_service_manager_are_used(core_binary, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        # LISTEN_PID must be the core's own, so a child of this process becomes the core.
        code = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
            "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], [sys.argv[2]])"
        )
        env = {"ELASTIK_KEY": KEY, "ELASTIK_DATA": str(tmp_path / "d"), "LISTEN_FDS": "1"}
        core = subprocess.Popen(
            [sys.executable, "-c", code, str(server.fileno()), str(core_binary)],
            env=env,
            pass_fds=[server.fileno()],
            stderr=subprocess.PIPE,
        )
        try:
            address = BANNER.search(core.stderr.readline())[1].decode()
            assert address.endswith(f":{server.getsockname()[1]}")
            with socket.create_connection(server.getsockname(), timeout=10) as line:
                assert b"elastik-core" in ask(line)
        finally:
            core.kill()
            core.wait()
            core.stderr.close()


@pytest.mark.parametrize("sent", [b"", b"GET ", HEAD, b"PRI * HTTP/2.0\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(start_core, sent):
    core = start_core(arguments=("--head-timeout", "0.3"))
    core.exchange(sent)


def test_silence_between_requests_ends(start_core):
    core = start_core(arguments=("--head-timeout", "0.3"))
    assert b" 200 OK" in core.exchange(HEAD + b"\r\n")


def test_a_body_that_stops_coming_is_told_so(start_core):
    core = start_core(arguments=("--body-timeout", "0.3"))
    head = f"PUT /home/x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {WRITE}\r\n"
    answer = core.exchange(head.encode() + b"content-length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"request timeout: the body stopped coming\n")
    assert core.get("/home/x").status == 404


def test_a_client_that_takes_nothing_is_given_up(start_core):
    core = start_core(arguments=("--write-timeout", "0.5", "--access-log"))
    core.put("/tmp/big", bytes(30_000_000))
    line = socket.create_connection(core.address, timeout=10)
    line.sendall(
        f"GET /tmp/big HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {APPROVE}\r\n\r\n".encode()
    )
    # The one of the PUT may not have gone yet.
    assert connections(core) >= 2
    assert wait_for(lambda: connections(core) == 1)
    line.close()


def connections(core):
    text = core.get("/proc/metrics").body.decode()
    return int(
        next(i for i in text.splitlines() if i.startswith("elastik_connections ")).split()[1]
    )


def test_more_connections_wait_for_a_place(start_core):
    core = start_core(arguments=("--max-connections", "2"))
    held = [socket.create_connection(core.address) for _ in range(2)]
    late = socket.create_connection(core.address, timeout=0.5)
    late.sendall(HEAD + b"connection: close\r\n\r\n")
    with pytest.raises(TimeoutError):
        late.recv(1)
    held.pop().close()
    late.settimeout(10)
    assert late.recv(12) == b"HTTP/1.1 200"
    for line in [late, *held]:
        line.close()


@pytest.mark.parametrize(
    ("token", "length", "status"),
    [
        (None, 5, b"401"),
        (None, 10_000_000_000, b"401"),
        (WRITE, 10_000_000_000, b"413"),
        (WRITE, 5, None),
    ],
)
def test_a_body_is_judged_before_it_is_read(core, token, length, status):
    head = f"PUT /home/x HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n"
    if token:
        head += f"authorization: Bearer {token}\r\n"
    with socket.create_connection(core.address, timeout=1) as line:
        line.sendall(head.encode() + b"\r\n")
        if status is None:
            with pytest.raises(TimeoutError):
                line.recv(1)
        else:
            assert line.recv(4096).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("token", "length", "first"),
    [
        (None, 5, b"HTTP/1.1 401"),
        (WRITE, 10_000_000_000, b"HTTP/1.1 413"),
        (WRITE, 5, b"HTTP/1.1 100"),
    ],
)
def test_continue_is_said_only_to_who_may_go_on(core, token, length, first):
    head = (
        f"PUT /home/x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n"
    )
    if token:
        head += f"authorization: Bearer {token}\r\n"
    with socket.create_connection(core.address, timeout=10) as line:
        line.sendall(head.encode() + b"\r\n")
        assert line.recv(4096).startswith(first)


def test_a_refusal_arrives_although_the_body_is_long(start_core):
    core = start_core(env={"ELASTIK_MAX_WORLD_BYTES": "1000"})
    reply = core.request("PUT", "/home/x", bytes(8_000_000))
    assert (reply.status, reply.body) == (413, b"payload too large: max bytes 1000\n")
    assert core.request("PUT", "/home/x", bytes(8_000_000), token=None).status == 401


@pytest.mark.parametrize(
    ("method", "target", "header", "status"),
    [
        ("PUT", "/home", None, 400),
        ("PUT", "/home/a", ("X-Elastik-TTL", "soon"), 400),
        ("POST", "/home/a", ("X-Append-Offset", "x"), 400),
        ("PATCH", "/home/a", None, 415),
        ("POST", "/proc/none", None, 405),
        ("POST", "/proc/history/home/a", None, 400),
        ("COPY", "/home/a", None, 400),
        ("GET", "/proc/version", None, 200),
    ],
)
def test_a_body_that_nobody_reads_does_not_cost_the_connection(
    core, method, target, header, status
):
    """The body is far larger than what the sockets hold, and comes after the answer is made."""
    line = http.client.HTTPConnection(*core.address, timeout=20)
    for _ in range(2):
        line.putrequest(method, target)
        line.putheader("Authorization", f"Bearer {APPROVE}")
        line.putheader("Content-Length", str(8 << 20))
        if header:
            line.putheader(*header)
        line.endheaders(bytes(8 << 20))
        answer = line.getresponse()
        answer.read()
        assert answer.status == status
        assert line.sock, "the core closed the connection"
    line.close()


@pytest.mark.parametrize("count", [101, 100_000])
def test_too_many_headers_are_431(core, count):
    head = HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(count))
    with socket.create_connection(core.address, timeout=10) as line:
        with contextlib.suppress(OSError):
            line.sendall(head + b"\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.1 431")


def test_the_deadline_ends_what_does_not_end(start_core):
    core = start_core(arguments=("--shutdown-deadline", "0.5"))
    head = f"PUT /home/x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {WRITE}\r\n"
    with socket.create_connection(core.address) as line:
        line.sendall(head.encode() + b"content-length: 10\r\n\r\nabc")
        time.sleep(0.1)
        assert core.stop() == 0


def test_one_log_line_for_each_request(start_core):
    core = start_core(arguments=("--access-log",))
    core.request("PUT", "/home/a%20b", b"x", token="nobody")
    assert wait_for(lambda: "method=PUT" in core.stderr())
    line = next(i for i in core.stderr().splitlines() if "method=PUT" in i)
    for part in (
        "info request id=",
        "peer=127.0.0.1:",
        'path="/home/a%20b"',
        "tier=anonymous",
        "status=401",
    ):
        assert part in line
    assert "nobody" not in core.stderr()


def test_metrics_health_and_ready(core):
    core.get("/home/none")
    text = core.get("/proc/metrics").body.decode()
    assert 'elastik_requests_total{method="GET",status="4xx"} 1' in text
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert core.request("GET", "/proc/metrics", token=None).status == 401
    for page, body in (("health", b"ok\n"), ("ready", b"ready\n")):
        reply = core.request("GET", f"/proc/{page}", token=None)
        assert (reply.status, reply.body) == (200, body)


def test_a_full_disk_is_not_ready(start_core):
    core = start_core(arguments=("--min-free", str(1 << 60)))
    reply = core.get("/proc/ready")
    assert (reply.status, reply.body[:11]) == (503, b"not ready: ")
    assert reply.headers["retry-after"] == "1"


def test_descriptors_are_allowed_up_to_the_hard_limit(core):
    limits = Path(f"/proc/{core.process.pid}/limits").read_text()
    soft, hard = next(i for i in limits.splitlines() if i.startswith("Max open files")).split()[3:5]
    assert soft == hard
