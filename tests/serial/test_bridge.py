"""The bridge as a process, with a real core: readings, faults, signals, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from commandline import until
from foreign import needed


def test_a_board_becomes_worlds_and_stays_within_reach(lab):
    core = lab.serve()
    link = lab.simulate("b1", "--interval", "300ms", "--chatter", "1s")
    lab.bridge("--device", str(link), "--id", "kitchen")
    until(lambda: lab.world("kitchen/reading"))
    until(lambda: lab.world("kitchen/temp"))
    until(lambda: lab.world("kitchen/link").startswith(b"up since"))
    until(lambda: b"temperature" in lab.world("kitchen/log"), 30)
    assert re.fullmatch(rb"[0-9.]+", lab.world("kitchen/reading"))
    assert core.verify("home/sensor/kitchen/reading").headers["x-audit-valid"] == "true"
    elastik = lab.program
    assert re.fullmatch(rb"[0-9.]+", elastik.ok("serial", "get", "kitchen", "temp"))
    assert elastik.ok("serial", "get", str(link), "temp"), "by its port too"
    elastik.ok("serial", "put", "kitchen", "led", "--text", "1")
    assert elastik.ok("serial", "get", "kitchen", "led") == b"1"
    assert len(elastik.ok("serial", "get", "kitchen", "blob")) == 3072
    assert elastik.ok("serial", "get", "kitchen", "slow") == b"done"
    assert elastik("serial", "get", "kitchen", "nothing").code == 4
    assert len(elastik.ok("serial", "observe", "kitchen", "temp", "--count", "2").split()) == 2
    assert '"/led"' in elastik.ok("serial", "discover", "kitchen", "--json").decode()
    states = [json.loads(line) for line in elastik.ok("serial", "ls", "--json").splitlines()]
    assert "bridged as kitchen" in [record["state"] for record in states]
    busy = elastik("serial", "monitor", str(link))
    assert (busy.code, "busy" in busy.err) == (5, True)


def test_listen_reacts_to_a_board(lab):
    lab.serve()
    link = lab.simulate("b1", "--interval", "300ms", "--path", "t")
    lab.bridge("--device", str(link), "--observe", "none")
    words = ["listen", "sensor/b1/t", "--count", "2", "--exec", 'echo "$ELASTIK_PATH $(cat)"']
    lines = lab.program.ok(*words).decode().splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"home/sensor/b1/t [0-9.]+", line) for line in lines)


def test_f9_the_core_goes_and_comes_back(lab):
    core = lab.serve()
    link = lab.simulate("b1", "--interval", "200ms", "--chatter", "300ms")
    bridge = lab.bridge("--device", str(link), "--observe", "none")
    until(lambda: lab.world("b1/reading"))
    core.kill()
    printed = bridge.log.read_bytes().count(b"temperature")
    until(lambda: bridge.log.read_bytes().count(b"temperature") > printed + 3)
    before = lab.serve() and lab.events("b1/reading")
    until(lambda: lab.events("b1/reading") > before, 40)
    assert bridge.poll() is None


def test_spooled_readings_are_delivered_in_order_with_their_time(lab):
    core = lab.serve()
    link = lab.simulate("b1", "--interval", "200ms", "--path", "t")
    spool = lab.place / "spool"
    lab.bridge("--device", str(link), "--observe", "none", "--spool", str(spool))
    until(lambda: lab.world("b1/t"))
    core.kill()
    until(lambda: sum(f.stat().st_size for f in spool.glob("*.log")) > 2000)
    at_return = time.time()
    lab.serve()
    with lab.core.listen("home/sensor/b1/t") as listener:
        times = []
        while len(times) < 8:
            listener.event()
            reply = lab.core.get("/home/sensor/b1/t")
            times.append(reply.headers["x-observed-at"])
    assert times == sorted(times)
    assert times[0] < time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_return + 1))
    until(lambda: (spool / "done").exists())


def test_writes_go_up_over_http_where_that_is_wanted(lab):
    lab.serve()
    link = lab.simulate("b1", "--interval", "200ms", "--text", "--path", "t")
    lab.bridge("--device", str(link), "--protocol", "text")
    until(lambda: re.fullmatch(rb"[0-9.]+", lab.world("b1/t")))
    assert lab.core.get("/home/sensor/b1/t").headers["x-observed-at"]


def test_sigterm_ends_it_and_the_port_is_free(lab):
    lab.serve()
    link = lab.simulate("b1", "--interval", "200ms")
    bridge = lab.bridge("--device", str(link))
    until(lambda: lab.world("b1/link").startswith(b"up"))
    bridge.send_signal(signal.SIGTERM)
    assert bridge.wait(20) == -signal.SIGTERM
    assert lab.world("b1/link").startswith(b"down since")
    assert lab.program.ok("serial", "get", str(link), "temp")
    assert list((lab.place / "run" / "elastik").glob("bridge-*")) == []


def test_it_reports_on_sigusr1(lab):
    lab.serve()
    bridge = lab.bridge("--device", str(lab.simulate("b1", "--interval", "100ms")))
    time.sleep(0.5)
    bridge.send_signal(signal.SIGUSR1)
    until(lambda: b'"doubtful": 0' in bridge.log.read_bytes())
    assert b'"retransmitted"' in bridge.log.read_bytes()


def test_systemd_is_told_when_the_port_is_open(lab):
    lab.serve()
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(lab.place / "notify"))
    manager.settimeout(10)
    lab.program = lab.program.with_env(
        NOTIFY_SOCKET=str(lab.place / "notify"), WATCHDOG_USEC="400000"
    )
    bridge = lab.bridge("--device", str(lab.place / "later"), "--id", "b", wait=False)
    assert b"READY" not in manager.recv(1000)
    lab.program = lab.program.with_env(NOTIFY_SOCKET="", WATCHDOG_USEC="")
    lab.simulate("later")
    heard = b""
    while b"READY=1" not in heard or b"WATCHDOG=1" not in heard:
        heard += manager.recv(1000)
    bridge.terminate()
    manager.close()


def test_exit_codes_and_f17_a_second_bridge_is_refused(lab, tmp_path):
    lab.serve()
    elastik = lab.program
    absent = elastik("serial", "get", "./nothing", "temp")
    assert (absent.code, "no such device" in absent.err) == (7, True)
    assert elastik("serial", "bridge", "--device", "./nothing", "--no-wait").code == 7
    link = lab.simulate("b1", "--interval", "0s")
    lab.bridge("--device", str(link))
    second = elastik("serial", "bridge", "--device", str(link), "--no-wait")
    assert (second.code, "busy" in second.err) == (5, True)
    assert elastik("serial", "bridge").code == 2
    assert elastik("serial", "bridge", "--device", "x", "--xonxoff").code == 2
    assert elastik("serial", "bridge", "--device", "x", "--prefix", "/home/{what}").code == 2
    assert elastik("serial", "bridge", "--device", "x", "--prefix", "/home/../x").code == 2
    assert elastik("serial", "bridge", "nobody").code == 2
    master, slave = os.openpty()
    deaf = elastik("serial", "ping", os.ttyname(slave))
    assert (deaf.code, deaf.out) == (9, b"")
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_no_permission_names_the_group(lab, tmp_path):
    master, slave = os.openpty()
    os.fchmod(slave, 0)
    denied = lab.program("serial", "get", os.ttyname(slave), "temp")
    assert (denied.code, "dialout" in denied.err) == (5, True)
    os.close(master)
    os.close(slave)


def test_boards_of_the_config_file(lab):
    lab.serve()
    link = lab.simulate("x", "--interval", "200ms", "--path", "t")
    config = lab.place / "config.toml"
    config.write_text(
        f'[serial.attic]\ndevice = "{link}"\nprefix = "/home/house/{{id}}"\nobserve = ["none"]\n'
    )
    lab.program = lab.program.with_env(ELASTIK_CONFIG=str(config))
    lab.bridge()
    until(lambda: lab.core.get("/home/house/attic/t").status == 200)
    config.write_text('[serial.attic]\ndevice = "x"\ncolour = "red"\n')
    wrong = lab.program("serial", "bridge")
    assert (wrong.code, "unknown key colour" in wrong.err) == (2, True)


def test_monitor_send_record_and_replay(lab, tmp_path):
    link = str(lab.simulate("b1", "--interval", "0s", "--chatter", "100ms"))
    elastik = lab.program
    lines = elastik.ok("serial", "monitor", link, "--count", "2").decode().splitlines()
    assert all(re.fullmatch(r"\S+Z temperature [0-9.]+", line) for line in lines)
    record = json.loads(elastik.ok("serial", "monitor", link, "--json", "--count", "1"))
    assert (record["kind"], record["way"]) == ("diag", "<")
    assert elastik("serial", "monitor", link, "--timeout", "100ms").code == 9
    assert b"\n\xc0\xc0\n" in elastik("serial", "monitor", link, "--raw", "--count", "3").out
    hexed = elastik.ok("serial", "monitor", link, "--hex", "--count", "1").decode()
    assert "< diag 74656d70" in hexed
    elastik.ok("serial", "send", link, "help", "--wait", "300ms")
    elastik.ok("serial", "record", link, "-o", "tape", "--timeout", "500ms")
    shown = elastik.ok("serial", "replay", "tape").decode().splitlines()
    assert len(shown) >= 3
    assert shown[0].endswith(re.search("temperature [0-9.]+", shown[0])[0])
    (lab.place / "tape").write_text('{"t": 1}\n')
    assert elastik("serial", "replay", "tape").code == 2
    player = lab.program.start("serial", "replay", "-", "--pty", "--link", "again")
    tape = [{"t": 0.5, "way": "<", "hex": "c00a68690ac0"}, {"t": 2, "way": "<", "hex": "c0"}]
    player.stdin.write("".join(json.dumps(line) + "\n" for line in tape).encode())
    player.stdin.close()
    assert player.stdout.readline() == b"again\n"
    assert elastik.ok("serial", "monitor", "again", "--count", "1").endswith(b" hi\n")
    assert player.wait(10) == 0


def test_a_recording_of_a_bridge_holds_both_ways(lab):
    lab.serve()
    link = lab.simulate("b1", "--interval", "200ms")
    bridge = lab.bridge("--device", str(link), "--record", str(lab.place / "tape"))
    until(lambda: lab.world("b1/reading"))
    bridge.terminate()
    bridge.wait(5)
    shown = lab.program.ok("serial", "replay", "tape", "--hex").decode()
    assert "< coap" in shown
    assert "> coap" in shown
    assert "CON PUT" in shown
    assert "ACK 2.01" in shown


def test_two_boards_and_udp_clients(lab):
    lab.serve()
    links = [lab.simulate(name, "--interval", "200ms", "--path", name) for name in ("one", "two")]
    devices = [word for link in links for word in ("--device", str(link))]
    bridge = lab.bridge(*devices, "--listen", "127.0.0.1:0", "--observe", "none")
    until(lambda: lab.world("one/one") and lab.world("two/two"))
    assert not lab.world("one/two")
    port = re.search(rb"coap://127.0.0.1:(\d+)/", bridge.log.read_bytes())[1].decode()
    from elastik.coap import coap_get

    answer = coap_get("127.0.0.1", port, "home/x", timeout=5)
    assert answer.code == 132, "no such board"
    client = needed("coap-client-notls", package="libcoap3-bin")
    words = [client, "-m", "get", f"coap://127.0.0.1:{port}/two/temp"]
    done = subprocess.run(words, capture_output=True, timeout=20, check=False)
    assert re.search(rb"\d+\.\d+", done.stdout)


def test_f10_two_boards_with_the_same_ids_and_a_real_core(lab):
    """1,000 PUTs, turn by turn, with equal ids and tokens: nothing crosses, nothing doubles."""
    import select
    import tty

    from elastik.coap import messages
    from elastik.coap.messages import CON, PUT, Message
    from elastik_cli.serialio import slipmux

    lab.serve()
    masters = {}
    for name in ("one", "two"):
        master, slave = os.openpty()
        tty.setraw(slave)
        masters[master] = name
        (lab.place / name).symlink_to(os.ttyname(slave))
    devices = [word for name in masters.values() for word in ("--device", str(lab.place / name))]
    lab.bridge(*devices, "--observe", "none", "--ping", "0", wait=False)
    heard = {name: slipmux.Decoder() for name in masters.values()}
    for master in masters:
        assert select.select([master], [], [], 20)[0], "the bridge opens the port"
    answered = dict.fromkeys(masters.values(), 0)
    for number in range(500):
        for master, name in masters.items():
            body = b"%s %d" % (name.encode(), number)
            options = tuple(messages.path_options("t"))
            message = Message(CON, PUT, number, b"same", options, body)
            os.write(master, slipmux.encode_coap(messages.encode(message)))
        for master, name in masters.items():
            while answered[name] <= number:
                assert select.select([master], [], [], 20)[0]
                for frame in heard[name].feed(os.read(master, 65536)):
                    answer = messages.decode(frame.data)
                    assert (answer.mid, answer.token, answer.ok) == (number, b"same", True)
                    answered[name] += 1
    for name in masters.values():
        assert lab.world(f"{name}/t") == b"%s 499" % name.encode()
        assert lab.events(f"{name}/t") == 500
    for master in masters:
        os.close(master)
