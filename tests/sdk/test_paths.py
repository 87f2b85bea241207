"""Paths: canonical form, disk names as the core writes them, listen patterns as it matches them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastik import BadPath, decode_disk_name, encode_disk_name, paths


@pytest.mark.parametrize(
    ("given_path", "world"),
    [
        ("note", "home/note"),
        ("/note", "home/note"),
        ("//note", "home/note"),
        ("home/note", "home/note"),
        ("tmp/x", "tmp/x"),
        ("/var/log/app", "var/log/app"),
        ("Home/x", "home/Home/x"),
        ("mnt/x", "home/mnt/x"),
        ("a b/日本", "home/a b/日本"),
        ("...", "home/..."),
        ("..a", "home/..a"),
    ],
)
def test_canonical(given_path, world):
    assert paths.canonical(given_path) == world


@pytest.mark.parametrize(
    "bad",
    ["", "/", "home", "/tmp", "var/log", "proc/x", "a//b", "a/", ".", "a/..", "a/%2e%2E", "a/.%2e",
     "a\\b", "a\x00", "a\x7f", "a\x85"],
)  # fmt: skip
def test_what_no_core_can_hold(bad):
    with pytest.raises(BadPath):
        paths.canonical(bad)
    assert issubclass(BadPath, ValueError)


def test_every_refusal_agrees_with_the_core(keeping_core):
    for bad in ["a//b", "a/..", "a/%252e", "a%5Cb", "a%00", "a%C2%85", "home", "var/log"]:
        assert keeping_core.get("/" + bad).status == 400, bad


def test_targets_of_proc_pages():
    assert paths.target("/proc/version") == "/proc/version"
    assert paths.target("proc/audit/a b/verify") == "/proc/audit/home/a%20b/verify"
    for bad in ("proc", "proc/unknown", "proc/audit/x", "proc/audit//verify"):
        with pytest.raises(BadPath):
            paths.target(bad)


def test_a_path_that_utf8_cannot_hold():
    with pytest.raises(BadPath):
        paths.target("a\udcff")


# The names of the published core's own directories (a data root it wrote).
DISK = {
    "home/text": "home%2Ftext",
    "home/docs/readme.v1.txt": "home%2Fdocs%2Freadme%2Ev1%2Etxt",
    "home/a b*c%d:+;e": "home%2Fa%20b%2Ac%25d%3A+;e",
    "home/日本": "home%2F%E6%97%A5%E6%9C%AC",
    "home/!#$&'(),=@[]^`{}~_-": "home%2F!#$&'(),=@[]^`{}~_-",
    'home/"<>?|': "home%2F%22%3C%3E%3F%7C",
}


@pytest.mark.parametrize(("world", "disk"), DISK.items())
def test_disk_names(world, disk):
    assert encode_disk_name(world) == disk
    assert decode_disk_name(disk) == world


def test_disk_names_are_those_the_published_core_makes(old, published, tmp_path):
    worlds = [world for world in DISK if world.startswith("home/")]
    for world in worlds:
        old.put(world, b"")
    made = {path.name for path in (tmp_path / "published").iterdir() if path.is_dir()}
    assert made == {encode_disk_name(world) for world in worlds}


@given(st.text(min_size=1))
def test_disk_names_round_trip(world):
    try:
        world.encode()
    except UnicodeEncodeError:
        return
    assert decode_disk_name(encode_disk_name(world)) == world


# Pattern, paths it matches, paths it does not: the core's matcher has the same table.
CASES = [
    ("*", ["home/a", "tmp/x/y", "var/log/deletes"], []),
    ("home/a", ["home/a"], ["home/ab", "home/a/b", "tmp/a"]),
    ("/home/a", ["home/a"], ["home/ab"]),
    ("a", ["home/a"], ["home/ab", "tmp/a"]),
    ("a/*", ["home/a/b", "home/a/b/c"], ["home/a", "home/ab"]),
    ("home/a*", ["home/a", "home/ab", "home/a/b/c"], ["home/b"]),
    ("home/**", ["home/a", "home/a/b"], ["tmp/a"]),
    ("h*", ["home/a", "home/a/b"], ["tmp/a"]),
    ("home*", ["home/a"], ["tmp/a"]),
    ("t*", ["tmp/a"], ["home/t"]),
    ("sensor*", ["home/sensor", "home/sensors/a"], ["home/a"]),
    ("home/*/temp", ["home/a/temp"], ["home/temp", "home/a/b/temp", "home/a/temp/x"]),
    ("*/temp", ["home/temp", "tmp/temp"], ["home/a/temp"]),
    ("*/temp/*", ["home/temp/x", "tmp/temp/x/y"], ["home/temp"]),
    ("sensor/*/temp", ["home/sensor/1/temp"], ["home/sensor/1/2/temp"]),
    ("home/b*d/x", ["home/bd/x", "home/bcd/x"], ["home/bc/x", "home/b/d/x"]),
    ("home/a*a", ["home/aa", "home/aba"], ["home/a", "home/aab"]),
    ("home/a*b*c*", ["home/abc", "home/axbxc/y", "home/abcd"], ["home/acb", "home/ab/c"]),
    ("home/a%2Ab", ["home/a*b"], ["home/acb"]),
    ("home/a%2A", ["home/a*"], ["home/ab"]),
    ("home/日*", ["home/日", "home/日本/x"], ["home/本"]),
    ("Home/a", ["home/Home/a"], ["home/a"]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), CASES)
def test_patterns(pattern, yes, no):
    for path in yes:
        assert paths.matches(pattern, path)
        assert paths.matches(pattern, "/" + path)
    for path in no:
        assert not paths.matches(pattern, path)


@pytest.mark.parametrize(("pattern", "yes", "no"), CASES)
def test_the_core_matches_alike(e, pattern, yes, no):
    with e.listen(pattern, timeout=5) as events:
        writable = [path for path in [*no, *yes] if path != "var/log/deletes"]
        for path in writable:
            e.put(path, b"")
        heard = {next(events)["path"].lstrip("/") for path in yes if path in writable}
    assert heard == {path for path in yes if path in writable}


@pytest.mark.parametrize("bad", ["a/", "a//b", "home/../x", "a\\b", "a\x00"])
def test_patterns_that_can_never_match(e, bad):
    with pytest.raises(BadPath):
        e.listen(bad)
