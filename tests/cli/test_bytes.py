"""Bytes in, the same bytes out: put, get, post, head, rm."""

from __future__ import annotations

import gzip
import json
import os
import subprocess

import pytest


def test_five_megabytes_through_pipes_are_the_same_bytes(elastik, tmp_path):
    source = tmp_path / "random"
    source.write_bytes(os.urandom(5_000_000))
    elastik.ok("put", "bytes/random", stdin=source.read_bytes())
    with elastik.start("get", "bytes/random") as getting:
        compared = subprocess.run(["cmp", "-", source], stdin=getting.stdout, check=False)
    assert (compared.returncode, getting.returncode) == (0, 0)


@pytest.mark.parametrize("body", [b"", b"\0", b"no newline", b"\r\n\xff\xfe", b"\x1b[2J"])
def test_any_bytes_survive(elastik, body):
    elastik.ok("put", "bytes/any", stdin=body)
    assert elastik.ok("get", "bytes/any") == body


@pytest.mark.parametrize("path", ["p/note", "/p/note", "home/p/note", "/home/p/note"])
def test_four_spellings_of_one_path(elastik, path):
    elastik.ok("put", "p/note", "--text", "here")
    assert elastik.ok("get", path) == b"here"


@pytest.mark.parametrize("name", ["a b", "Ünï", "日本", "a*b", "100%", "a+b;c", "#x", "q?", "-x"])
def test_names_survive(elastik, name):
    elastik.ok("put", f"names/{name}", "--text", name)
    assert elastik.ok("get", f"names/{name}").decode() == name
    assert f"home/names/{name}" in elastik.ok("ls", "names").decode().splitlines()


def test_names_are_utf8_in_any_locale(elastik):
    elastik.ok("put", "locale/日本", "--text", "x")
    old = elastik.with_env(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert old.ok("ls", "locale") == "home/locale/日本\n".encode()
    assert old.ok("get", "locale/日本") == b"x"


def test_put_reads_a_file_text_or_standard_input(elastik, tmp_path):
    (tmp_path / "page.html").write_text("<p>hi</p>")
    elastik.ok("put", "src/file", "page.html")
    elastik.ok("put", "src/text", "--text", "typed")
    elastik.ok("put", "src/dash", "-", stdin=b"piped")
    assert elastik.ok("get", "src/file") == b"<p>hi</p>"
    assert elastik.ok("get", "src/text") == b"typed"
    assert elastik.ok("get", "src/dash") == b"piped"


def test_other_verbs_leave_standard_input_alone(elastik):
    elastik.ok("put", "stdin/x", "--text", "x")
    for verb in (["get", "stdin/x"], ["head", "stdin/x"], ["ls", "stdin"], ["rm", "stdin/x"]):
        read, write = os.pipe()
        os.write(write, b"kept")
        process = elastik.start(*verb, stdin=read)
        process.communicate(timeout=30)
        assert os.read(read, 10) == b"kept"
        os.close(read)
        os.close(write)


def test_type_is_given_or_told_by_the_name(elastik, tmp_path):
    (tmp_path / "page.html").write_text("<p>hi</p>")
    elastik.ok("put", "type/page", "page.html")
    elastik.ok("put", "type/data.json", stdin=b"{}")
    elastik.ok("put", "type/given", "--type", "text/csv", stdin=b"1,2")
    elastik.ok("put", "type/text", "--text", "x")
    elastik.ok("put", "type/none", stdin=b"x")
    types = {
        name: json.loads(elastik.ok("head", f"type/{name}", "--json"))["content-type"]
        for name in ("page", "data.json", "given", "text", "none")
    }
    assert types == {
        "page": "text/html; charset=utf-8",
        "data.json": "application/json",
        "given": "text/csv",
        "text": "text/plain; charset=utf-8",
        "none": "application/octet-stream",
    }


def test_headers_that_browsers_obey_are_kept(elastik):
    elastik.ok(
        "put", "h/x", "--text", "x", "--disposition", "inline", "--cache-control", "max-age=5",
        "-H", "Content-Language: en",
    )  # fmt: skip
    head = json.loads(elastik.ok("head", "h/x", "--json"))
    kept = ("content-disposition", "cache-control", "content-language")
    assert [head[name] for name in kept] == ["inline", "max-age=5", "en"]


def test_a_header_the_server_drops_is_named(elastik):
    ended = elastik("put", "h/meta", "--text", "x", "--meta", "author=me")
    assert ended.code == 0
    assert "does not keep the header X-Meta-author" in ended.err


def test_gzip_is_stored_compressed_and_said_so(elastik):
    elastik.ok("put", "z/x", "--gzip", stdin=b"again " * 1000)
    squeezed = elastik.ok("get", "z/x")
    assert len(squeezed) < 200
    assert gzip.decompress(squeezed) == b"again " * 1000
    assert json.loads(elastik.ok("head", "z/x", "--json"))["content-encoding"] == "gzip"


def test_post_appends_and_creates_only_when_told(elastik):
    assert elastik("post", "log/x", "--text", "a").code == 4
    elastik.ok("post", "log/x", "--create", stdin=b"a\n")
    elastik.ok("post", "log/x", stdin=b"b\n")
    elastik.ok("post", "log/x", "--create", "--text", "c\n")
    assert elastik.ok("get", "log/x") == b"a\nb\nc\n"


def test_preconditions_conflict_with_code_6(elastik):
    elastik.ok("put", "pre/x", "--text", "one", "--create-only")
    assert elastik("put", "pre/x", "--text", "two", "--create-only").code == 6
    etag = json.loads(elastik.ok("head", "pre/x", "--json"))["etag"]
    elastik.ok("put", "pre/x", "--text", "two", "--if-match", etag)
    assert elastik("put", "pre/x", "--text", "three", "--if-match", etag).code == 6
    assert elastik("post", "pre/x", "--text", "three", "--if-match", etag).code == 6
    assert elastik("rm", "pre/x", "--if-match", etag).code == 6
    assert elastik.ok("get", "pre/x") == b"two"


def test_get_into_a_file_is_whole_or_not_at_all(elastik, tmp_path):
    elastik.ok("put", "f/x", "--text", "content")
    elastik.ok("get", "f/x", "-o", "out")
    assert (tmp_path / "out").read_bytes() == b"content"
    assert elastik("get", "f/nothing", "-o", "out").code == 4
    assert (tmp_path / "out").read_bytes() == b"content"
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out"]


def test_get_resumes_the_same_version_only(elastik, tmp_path):
    body = os.urandom(100_000)
    elastik.ok("put", "f/big", stdin=body)
    etag = json.loads(elastik.ok("head", "f/big", "--json"))["etag"]
    (tmp_path / "big.part").write_bytes(body[:60_000])
    (tmp_path / "big.part.etag").write_text(etag)
    ended = elastik("get", "f/big", "-o", "big", "--resume", "-v")
    assert "continued" in ended.err
    assert (tmp_path / "big").read_bytes() == body
    (tmp_path / "big.part").write_bytes(b"of another version")
    (tmp_path / "big.part.etag").write_text('"hmac-00"')
    elastik.ok("get", "f/big", "-o", "big", "--resume")
    assert (tmp_path / "big").read_bytes() == body


def test_range_gives_just_those_bytes(elastik):
    elastik.ok("put", "r/x", "--text", "0123456789")
    assert elastik.ok("get", "r/x", "--range", "2-4") == b"234"
    assert elastik.ok("get", "r/x", "--range", "7-") == b"789"
    assert elastik("get", "r/x", "--range", "4-2").code == 2


def test_rm_counts_and_never_takes_a_namespace_by_accident(alone):
    for path in ("a/1", "a/2", "a/3/x", "ab", "b"):
        alone.ok("put", path, "--text", "x")
    assert alone("rm", "a").code == 4
    assert alone.ok("rm", "-r", "a", "-n").split() == [b"home/a/1", b"home/a/2", b"home/a/3/x"]
    assert alone.ok("rm", "-r", "a") == b"3\n"
    assert alone("rm", "-r", "home").code == 2
    assert alone.ok("ls", "--all", "home").split() == [b"home/ab", b"home/b"]
    assert alone.ok("rm", "-r", "home", "--force") == b"2\n"


def test_rm_reads_paths_only_when_told(alone):
    for path in ("x/1", "x/2", "x/a b"):
        alone.ok("put", path, "--text", "x")
    listed = alone.ok("ls", "-0", "--all", "x")
    assert alone.ok("rm", "--from-file", "-", "-0", stdin=listed) == b"3\n"


def test_put_json_says_what_was_written(elastik):
    first = json.loads(elastik.ok("put", "j/x", "--text", "1", "--json"))
    again = json.loads(elastik.ok("put", "j/x", "--text", "2", "--json"))
    assert (first["path"], first["created"], again["created"]) == ("home/j/x", True, False)
    assert json.loads(elastik.ok("head", "j/x", "--json"))["etag"] == f'"{again["etag"]}"'
