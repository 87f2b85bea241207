"""listen and listen --exec: what the command gets, order, retries, state, limits, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

from commandline import finished, talking_to, until
from relay import Relay

# -- what is printed ----------------------------------------------------------------------------


def test_each_event_is_a_line_with_its_path_last(elastik, listening):
    process = listening("print/*", "--count", "3")
    elastik.ok("put", "print/a b", "--text", "1")
    elastik.ok("post", "print/a b", "--text", "2")
    elastik.ok("rm", "print/a b")
    code, out, _ = finished(process)
    fields = [line.split("\t") for line in out.decode().splitlines()]
    assert code == 0
    assert [(f[0], f[3]) for f in fields] == [
        ("put", "home/print/a b"), ("post", "home/print/a b"), ("delete", "home/print/a b"),
    ]  # fmt: skip


def test_json_is_one_object_a_line(elastik, listening):
    process = listening("json/*", "--once", "--json")
    elastik.ok("put", "json/x", "--text", "1")
    code, out, _ = finished(process)
    event = json.loads(out)
    assert (code, event["event"], event["path"]) == (0, "put", "home/json/x")
    assert event["id"] > 0
    assert event["etag"].startswith("hmac-")


def test_body_in_json_is_text_or_base64(elastik, listening):
    process = listening("body/*", "--count", "2", "--json", "--body")
    elastik.ok("put", "body/text", "--text", "hé")
    elastik.ok("put", "body/bin", stdin=b"\xff\x00")
    _, out, _ = finished(process)
    first, second = map(json.loads, out.splitlines())
    assert (first["data"], second["data_base64"]) == ("hé", "/wA=")


def test_nul_ends_paths_on_demand(elastik, listening):
    process = listening("nul/*", "--once", "-0")
    elastik.ok("put", "nul/x", "--text", "1")
    assert finished(process)[1] == b"home/nul/x\0"


def test_several_patterns_in_one_stream(elastik, listening):
    process = listening("many/a", "many/b/*", "--count", "2", "-0")
    for path in ("many/c", "many/b/x", "many/a"):
        elastik.ok("put", path, "--text", "1")
    assert finished(process)[1] == b"home/many/b/x\0home/many/a\0"


def test_now_takes_what_exists_and_ends(elastik):
    for path in ("now/a", "now/b"):
        elastik.ok("put", path, "--text", path)
    rows = [
        json.loads(line) for line in elastik.ok("listen", "now/*", "--now", "--json").splitlines()
    ]
    assert [(r["path"], r["size"]) for r in rows] == [("home/now/a", 5), ("home/now/b", 5)]
    assert elastik.ok("listen", "now/*", "--now", "--", "cat") == b"now/anow/b"


def test_since_replays_what_came_after(elastik, listening):
    process = listening("since/*", "--once", "--json")
    elastik.ok("put", "since/a", "--text", "1")
    ident = json.loads(finished(process)[1])["id"]
    elastik.ok("put", "since/b", "--text", "2")
    out = elastik.ok("listen", "since/*", "--since", str(ident), "--once", "-0")
    assert out == b"home/since/b\0"


# -- limits -------------------------------------------------------------------------------------


def test_timeout_is_9_and_does_not_wait_longer(elastik):
    began = time.monotonic()
    assert elastik("listen", "quiet/*", "--timeout", "0.3").code == 9
    assert elastik("listen", "quiet/*", "--timeout", "0.3", "--count", "5").code == 9
    assert elastik("listen", "quiet/*", "--timeout", "0.3", "--", "cat").code == 9
    assert time.monotonic() - began < 20


def test_a_reader_that_left_ends_an_idle_listener(elastik, listening):
    read, write = os.pipe()
    process = listening("idle/*", stdout=write)
    os.close(write)
    os.close(read)
    assert finished(process)[0] == -signal.SIGPIPE


def test_ctrl_c_and_sigterm_die_of_the_signal(elastik, listening):
    for number in (signal.SIGINT, signal.SIGTERM):
        for words in (["signal/*"], ["signal/*", "--", "cat"]):
            process = listening(*words)
            process.send_signal(number)
            assert finished(process)[0] == -number


# -- the command --------------------------------------------------------------------------------


def test_the_command_gets_bytes_on_stdin_and_facts_in_its_environment(elastik, listening):
    process = listening("env/*", "--once", "--exec", "cat; env -0 | grep -z ^ELASTIK_")
    elastik.ok("put", "env/x y", "--text", "line\n", "--type", "text/x-test")
    code, out, _ = finished(process)
    body, _, rest = out.partition(b"\n")
    env = dict(item.decode().split("=", 1) for item in rest.split(b"\0") if item)
    assert (code, body) == (0, b"line")
    assert env["ELASTIK_PATH"] == "home/env/x y"
    assert env["ELASTIK_EVENT"] == "put"
    assert env["ELASTIK_ATTEMPT"] == "1"
    assert env["ELASTIK_SIZE"] == "5"
    assert env["ELASTIK_ID"].isdigit()
    assert env["ELASTIK_ETAG"].startswith("hmac-")
    assert env["ELASTIK_URL"] == elastik.env["ELASTIK_URL"]
    assert not [name for name in env if "TOKEN" in name]


def test_a_token_is_passed_only_when_asked(elastik, listening):
    process = listening("token/*", "--once", "--pass-token", "--exec", "echo $ELASTIK_WRITE_TOKEN")
    elastik.ok("put", "token/x", "--text", "")
    assert finished(process)[1].decode().strip() == elastik.env["ELASTIK_WRITE_TOKEN"]


def test_a_delete_has_no_bytes(elastik, listening):
    elastik.ok("put", "del/x", "--text", "1")
    process = listening("del/*", "--once", "--exec", "echo $ELASTIK_EVENT $(wc -c)")
    elastik.ok("rm", "del/x")
    assert finished(process)[1] == b"delete 0\n"


def test_argv_after_the_dashes_is_the_childs_own(elastik, listening):
    process = listening(
        "argv/a", "argv/b", "-j", "2", "--once", "--",
        "printf", "<%s>", "-j", "3", "--", "x", "{}", "{/}", "{.}",
    )  # fmt: skip
    elastik.ok("put", "argv/a", "--text", "1")
    assert finished(process)[1] == b"<-j><3><--><x><home/argv/a><a><home/argv/a>"


def test_nothing_of_an_event_reaches_a_shell(elastik, listening, tmp_path):
    process = listening("shell/*", "--once", "--exec", 'echo {} "$ELASTIK_PATH"')
    elastik.ok("put", "shell/$(touch pwned);`touch pwned`", "--text", "1")
    assert finished(process)[1] == b"{} home/shell/$(touch pwned);`touch pwned`\n"
    assert not (tmp_path / "pwned").exists()


def test_large_bodies_and_commands_that_do_not_read_them(elastik, listening):
    process = listening("large/*", "--count", "2", "--exec", "wc -c")
    body = os.urandom(3_000_000)
    elastik.ok("put", "large/x", stdin=body)
    elastik.ok("put", "large/y", stdin=body[:20_000])
    assert finished(process)[1].split() == [b"3000000", b"20000"]
    process = listening("large/*", "--once", "--", "true")
    elastik.ok("put", "large/x", stdin=body)
    assert finished(process)[0] == 0


def test_one_path_stays_in_order_and_paths_run_side_by_side(elastik, listening):
    script = "echo begin $ELASTIK_PATH $(cat); sleep 0.3; echo end $ELASTIK_PATH"
    process = listening("order/*", "--count", "6", "-j", "4", "--exec", script)
    began = time.monotonic()
    for i in range(3):
        for path in ("a", "b"):
            elastik.ok("put", f"order/{path}", "--text", str(i))
    code, out, err = finished(process)
    assert code == 0, err
    runs = out.decode().split("begin ")[1:]
    # Output is grouped: each run's lines stand together.
    assert all(run.splitlines()[1] == "end " + run.split()[0] for run in runs)
    for path in ("home/order/a", "home/order/b"):
        assert [r.split()[1] for r in runs if r.split()[0] == path] == ["0", "1", "2"]
    assert time.monotonic() - began < 20


def test_eight_jobs_run_eight_commands_at_once(elastik, shared_core, listening, tmp_path):
    # Each command waits until all eight have begun: seven at once would never end.
    script = 'cd "$0"; touch "${ELASTIK_PATH##*/}"; until [ -e all ]; do sleep 0.05; done'
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    process = listening("meet/*", "--count", "8", "-j", "8", "--", "sh", "-c", script, str(meeting))
    for number in range(8):
        shared_core.put(f"/home/meet/{number}", b"1")
    until(lambda: len(list(meeting.iterdir())) == 8)
    (meeting / "all").touch()
    assert finished(process)[0] == 0


# -- failure ------------------------------------------------------------------------------------


def test_a_failing_command_is_tried_again_then_skipped_with_8(elastik, listening, tmp_path):
    script = "echo $ELASTIK_ATTEMPT; test $ELASTIK_ATTEMPT = 2"
    process = listening("retry/*", "--once", "--on-error", "retry:2", "--exec", script)
    elastik.ok("put", "retry/x", "--text", "1")
    assert finished(process)[:2] == (0, b"1\n2\n")
    process = listening(
        "retry/*", "--count", "2", "--on-error", "retry:1", "--exec", "echo $ELASTIK_ATTEMPT; false"
    )
    elastik.ok("put", "retry/x", "--text", "1")
    elastik.ok("put", "retry/y", "--text", "1")
    code, out, err = finished(process)
    assert (code, out) == (8, b"1\n2\n1\n2\n")
    assert "home/retry/x" in err
    assert "exit 1" in err


def test_stop_leaves_the_event_for_the_next_run(elastik, listening):
    words = ("stop/*", "--state", "stop", "--on-error", "stop")
    process = listening(*words, "--exec", "cat; exit 3")
    elastik.ok("put", "stop/x", "--text", "1")
    assert finished(process)[:2] == (8, b"1")
    assert elastik.ok("listen", *words, "--once", "--exec", "cat") == b"1"


def test_dead_letters_keep_body_and_reason(elastik, listening):
    process = listening(
        "dead/in", "--once", "--on-error", "skip", "--dead-letter", "dead/out", "--exec", "exit 7"
    )
    elastik.ok("put", "dead/in", "--text", "precious")
    assert finished(process)[0] == 8
    body, reason = sorted(elastik.ok("ls", "--all", "dead/out").decode().splitlines())
    assert elastik.ok("get", body) == b"precious"
    story = json.loads(elastik.ok("get", reason))
    assert (story["path"], story["reason"], story["attempts"]) == ("home/dead/in", "exit 7", 1)


def test_a_command_that_is_not_there_is_127_before_anything_is_taken(elastik, tmp_path):
    assert elastik("listen", "x", "--", "no-such-program-anywhere").code == 127
    (tmp_path / "plain").write_text("text")
    assert elastik("listen", "x", "--", "./plain").code == 126


def test_a_shell_command_that_is_not_there_is_127_and_takes_nothing(elastik, listening):
    words = ("gone/*", "--state", "gone")
    process = listening(*words, "--exec", "no-such-program-anywhere")
    elastik.ok("put", "gone/x", "--text", "1")
    assert finished(process)[0] == 127
    assert elastik.ok("listen", *words, "--once", "--exec", "cat") == b"1"


def test_a_hanging_command_is_ended_and_counts_as_failed(elastik, listening):
    process = listening(
        "hang/*", "--count", "2", "--kill-after", "0.3", "--on-error", "skip", "--exec",
        'test "$(cat)" = ok || sleep 1000 & wait',
    )  # fmt: skip
    elastik.ok("put", "hang/x", "--text", "forever")
    elastik.ok("put", "hang/y", "--text", "ok")
    code, _, err = finished(process)
    assert code == 8
    assert "killed by SIGTERM" in err


# -- at least once ------------------------------------------------------------------------------


def test_state_goes_on_where_it_was_even_after_kill_9(elastik, listening, tmp_path):
    words = ("state/*", "--state", "s", "--exec", "cat >> seen; echo >> seen; sleep 0.05")
    elastik.ok("put", "state/first", "--text", "before the first run")
    process = listening(*words)
    for i in range(20):
        elastik.ok("put", f"state/{i}", "--text", str(i))
    until(lambda: (tmp_path / "seen").exists() and len((tmp_path / "seen").read_text().split()) > 4)
    process.kill()
    process.wait()
    for i in range(20, 25):
        elastik.ok("put", f"state/{i}", "--text", str(i))
    process = listening(*words)
    until(lambda: "24" in (tmp_path / "seen").read_text().split())
    process.terminate()
    assert finished(process)[0] == -signal.SIGTERM
    seen = (tmp_path / "seen").read_text().split()
    assert set(seen) == {str(i) for i in range(25)}


def test_sigterm_lets_the_running_command_finish(elastik, listening, tmp_path):
    process = listening("grace/*", "--state", "g", "--exec", "touch begun; sleep 1; touch done")
    elastik.ok("put", "grace/x", "--text", "1")
    until((tmp_path / "begun").exists)
    process.terminate()
    assert finished(process)[0] == -signal.SIGTERM
    assert (tmp_path / "done").exists()
    assert elastik("listen", "grace/*", "--state", "g", "--timeout", "0.5", "--", "cat").out == b""


def test_after_the_grace_the_whole_group_is_ended(elastik, listening, tmp_path):
    script = "touch begun; sleep 1000 & echo $! > pid; wait"
    process = listening("grace2/*", "--grace", "0.2", "--state", "g2", "--exec", script)
    elastik.ok("put", "grace2/x", "--text", "again")
    until((tmp_path / "pid").exists)
    process.terminate()
    assert finished(process)[0] == -signal.SIGTERM
    grandchild = int((tmp_path / "pid").read_text())
    until(lambda: not os.path.exists(f"/proc/{grandchild}/cmdline") or _is_zombie(grandchild))
    assert elastik.ok("listen", "grace2/*", "--state", "g2", "--once", "--", "cat") == b"again"


def _is_zombie(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"


def test_a_second_ctrl_c_does_not_wait(elastik, listening, tmp_path):
    script = "trap '' TERM INT; touch begun; sleep 1000"
    process = listening("twice/*", "--exec", script)
    elastik.ok("put", "twice/x", "--text", "1")
    until((tmp_path / "begun").exists)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert finished(process)[0] == -signal.SIGINT
    assert time.monotonic() - began < 6


def test_one_listener_a_state(elastik, listening):
    listening("lock/*", "--state", "lock")
    ended = elastik("listen", "lock/*", "--state", "lock", "--timeout", "1")
    assert ended.code == 6
    assert elastik("listen", "x", "--state", "../up").code == 2


def test_a_state_of_other_patterns_is_refused(elastik, listening):
    process = listening("own/*", "--state", "own", "--once")
    elastik.ok("put", "own/x", "--text", "1")
    assert finished(process)[0] == 0
    assert elastik("listen", "other/*", "--state", "own", "--once").code == 6


def test_missed_events_are_reported(start_core, tmp_path):
    core = start_core(env={"ELASTIK_LISTEN_REPLAY_MAX": "16"})
    for i in range(40):
        core.put("/tmp/x", str(i).encode())
    program = talking_to(core, tmp_path)
    words = ("listen", "tmp/*", "--since", "1", "--once")
    missed = program(*words, "--json")
    assert json.loads(missed.lines[0])["event"] == "gap"
    assert "events were missed" in missed.err
    assert json.loads(missed.lines[-1])["path"] == "tmp/x"
    assert program(*words, "--on-gap", "stop").code == 3


def test_what_a_restart_lost_is_not_counted(start_core, tmp_path):
    core = start_core()
    core.put("/home/x", b"before")
    core.kill()
    core = start_core()
    core.put("/home/x", b"after")
    heard = talking_to(core, tmp_path)("listen", "*", "--since", "1", "--once", "--json")
    gap, event = json.loads(heard.lines[0]), json.loads(heard.lines[-1])
    assert (gap["event"], gap["missed"], event["path"]) == ("gap", None, "home/x")
    assert "events were missed (number unknown): the core started anew" in heard.err


# -- the connection -----------------------------------------------------------------------------


def test_a_cut_network_loses_nothing(elastik, shared_core, listening):
    relay = Relay(shared_core.address)
    process = listening(
        "cut/*",
        "--count",
        "30",
        "--exec",
        "cat; echo",
        program=elastik.with_env(ELASTIK_URL=relay.url),
    )
    for i in range(30):
        elastik.ok("put", f"cut/{i}", "--text", str(i))
        if i == 10:
            relay.cut()
        if i == 20:
            relay.mend()
    code, out, _ = finished(process)
    assert code == 0
    assert out.decode().split() == [str(i) for i in range(30)]


def test_readiness_and_life_signs_for_systemd(elastik, background, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        told = elastik.with_env(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        process = background("listen", "notify/*", "--", "cat", program=told)
        said = b""
        while b"READY=1" not in said or b"WATCHDOG=1" not in said:
            said += manager.recv(4096) + b"\n"
        process.terminate()
        while b"STOPPING=1" not in said:
            said += manager.recv(4096) + b"\n"


def test_a_listener_waits_for_a_server_that_is_not_up_yet(
    start_core, tmp_path, elastik, background
):
    from realcore import free_port

    port = free_port()
    later = elastik.with_env(ELASTIK_URL=f"http://127.0.0.1:{port}")
    process = background("listen", "up/*", "--once", "--", "cat", program=later)
    assert b"trying again" in process.stderr.readline()
    core = start_core(port=port)
    time.sleep(0.1)

    def written():
        core.put("/up/x", b"there")
        return process.poll() is not None

    until(written)
    code, out, _ = finished(process)
    assert (code, out) == (0, b"there")


def test_the_child_talks_to_the_same_server(elastik, listening):
    command = f"{' '.join(elastik.argv)} head $ELASTIK_PATH --json"
    process = listening("same/*", "--once", "--pass-token", "--exec", command)
    elastik.ok("put", "same/x", "--text", "1")
    code, out, err = finished(process)
    assert code == 0, err
    assert json.loads(out)["path"] == "home/same/x"
