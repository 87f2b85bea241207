"""listen --batch: many events for one command, and all that holds for one event holds for them."""

from __future__ import annotations

import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commandline import finished, until
from elastik_cli.feed import Event
from elastik_cli.work import Turns, Work


def rows(out):
    return [json.loads(line) for line in out.splitlines()]


def test_a_command_gets_its_events_as_json_lines(elastik, listening):
    tell = 'echo "batch $ELASTIK_BATCH $ELASTIK_ID ${ELASTIK_PATH-none}" >&2; cat'
    process = listening("b1/*", "--batch", "3", "--every", "1h", "--count", "3", "--exec", tell)
    elastik.ok("put", "b1/text", "--text", "é")
    elastik.ok("put", "b1/bytes", stdin=b"\xff\x00")
    elastik.ok("rm", "b1/text")
    code, out, err = finished(process)
    text, raw, gone = rows(out)
    assert code == 0
    assert (text["event"], text["path"], text["data"]) == ("put", "home/b1/text", "é")
    assert (raw["data_base64"], raw["size"], raw["body"]) == ("/wA=", 2, "inline")
    assert (gone["event"], gone["path"], "data" in gone) == ("delete", "home/b1/text", False)
    assert f"batch 3 {gone['id']} none" in err


def test_a_batch_is_full_or_waits_only_so_long(elastik, listening, tmp_path):
    process = listening(
        "b2/*", "--batch", "2", "--every", "0.3", "--exec", "cat >> all; echo $ELASTIK_BATCH >> n"
    )
    for number in range(5):
        elastik.ok("put", f"b2/{number}", "--text", "x")
    until(lambda: (tmp_path / "all").exists() and len(rows((tmp_path / "all").read_bytes())) == 5)
    process.terminate()
    assert finished(process).code == -signal.SIGTERM
    assert all(int(n) <= 2 for n in (tmp_path / "n").read_text().split())


def test_the_last_batch_need_not_be_full(elastik, listening):
    words = ("--batch", "100", "--every", "1h", "--exec", "cat; echo $ELASTIK_BATCH >&2")
    process = listening("b3/*", "--count", "2", *words)
    elastik.ok("put", "b3/a", "--text", "1")
    elastik.ok("put", "b3/b", "--text", "2")
    code, out, _ = finished(process)
    assert (code, [row["data"] for row in rows(out)]) == (0, ["1", "2"])
    existing = elastik.ok("listen", "b3/*", "--now", *words)
    assert [row["path"] for row in rows(existing)] == ["home/b3/a", "home/b3/b"]
    process = listening("b3/*", "--timeout", "2", *words)
    elastik.ok("put", "b3/c", "--text", "3")
    code, out, _ = finished(process)
    assert (code, [row["data"] for row in rows(out)]) == (9, ["3"])


def test_a_failing_batch_is_tried_again_whole_and_then_kept_event_by_event(elastik, listening):
    process = listening(
        "b4/*", "--batch", "2", "--every", "1h", "--count", "2", "--on-error", "retry:1",
        "--dead-letter", "b4dead", "--exec", "cat; exit 5",
    )  # fmt: skip
    elastik.ok("put", "b4/a", "--text", "one")
    elastik.ok("put", "b4/b", "--text", "two")
    code, out, err = finished(process)
    assert (code, [row["data"] for row in rows(out)]) == (8, ["one", "two"] * 2)
    assert "2 events, " in err
    letters = elastik.ok("ls", "--all", "b4dead").decode().split()
    bodies = [elastik.ok("get", path) for path in letters if path.endswith("/body")]
    assert sorted(bodies) == [b"one", b"two"]


def test_a_batch_that_was_cut_off_is_handled_again_whole(elastik, listening, tmp_path):
    words = ("b5/*", "--state", "b5", "--batch", "3", "--every", "1h")
    process = listening(*words, "--exec", "exec >first 2>&1; cat; touch begun; exec sleep 60")
    for number in range(3):
        elastik.ok("put", f"b5/{number}", "--text", str(number))
    until((tmp_path / "begun").exists)
    process.kill()
    process.wait()
    again = elastik.ok("listen", *words, "--count", "3", "--exec", "cat")
    assert rows(again) == rows((tmp_path / "first").read_bytes())
    assert elastik("listen", *words, "--timeout", "0.5", "--exec", "cat").out == b""


def test_one_path_stays_in_order_over_batches_side_by_side(elastik, listening, tmp_path):
    # The first batch waits for the last: the second, of the same path, must not overtake it.
    script = (
        "b=$(cat); case $b in *hold*) until grep -qs last seen; do sleep 0.05; done;; esac; "
        'echo "$b" >> seen'
    )
    process = listening(
        "b6/*", "--batch", "2", "--every", "1h", "-j", "4", "--count", "6", "--exec", script
    )
    for path, text in [
        ("p", "hold"),
        ("q", "1"),
        ("p", "2"),
        ("r", "3"),
        ("s", "4"),
        ("t", "last"),
    ]:
        elastik.ok("put", f"b6/{path}", "--text", text)
    assert finished(process).code == 0
    seen = [row["data"] for row in rows((tmp_path / "seen").read_bytes())]
    assert seen.index("hold") < seen.index("2")


@pytest.mark.parametrize(
    "words",
    [
        ["--batch", "2"],
        ["--every", "1s"],
        ["--batch", "2", "--", "cat", "{}"],
        ["--batch", "2", "--", "cat", "x{/}"],
        ["--batch", "0", "--exec", "cat"],
    ],
)
def test_a_batch_without_sense_is_2(elastik, words):
    assert elastik("listen", "x/*", *words).code == 2


@given(st.lists(st.sets(st.sampled_from("abcd"), min_size=1), max_size=12), st.randoms())
def test_turns_keep_every_path_in_order_and_forget_nothing(batches, random):
    works = [Work([Event("put", path, id=n) for path in sorted(b)]) for n, b in enumerate(batches)]
    turns, done = Turns(by_path=True), []
    runnable = [work for work in works if turns.take(work)]
    while runnable:
        work = runnable.pop(random.randrange(len(runnable)))
        done.append(work)
        runnable += turns.finished(work)
    assert len(done) == len(works)
    for path in "abcd":
        numbers = [w.events[0].id for w in done if path in w.paths]
        assert numbers == sorted(numbers)
