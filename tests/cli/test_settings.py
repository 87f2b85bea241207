"""Where settings come from, and that a token only goes where it belongs."""

from __future__ import annotations

import http.server
import json
import os
import threading
from pathlib import Path

import pytest

from elastik_cli.secrets import from_value, need_to_write
from elastik_cli.settings import DEFAULT_URL, Source, choose_server, same_server

MINE, EVIL = "http://127.0.0.1:4000", "http://evil.example:80"


def source(name, url=None, **tokens):
    return Source(name, url, {tier: from_value(f"{name} {tier}", t) for tier, t in tokens.items()})


def sent(server, need="write"):
    secret = server.token_for(need)
    return secret.read() if secret else None


def test_the_strongest_source_names_the_server():
    found = choose_server([source("flag"), source("environment", MINE), source("context a", EVIL)])
    assert (found.url, found.url_source) == (MINE, "environment")


def test_a_token_stays_with_the_url_of_its_source():
    env, evil = source("environment", MINE, write="secret"), source("flag", EVIL)
    found = choose_server([evil, env])
    assert (found.url, sent(found)) == (EVIL, None)
    assert found.kept_back == [f"environment write belongs to {MINE}"]


def test_a_token_without_a_url_belongs_to_the_default_one():
    found = choose_server(
        [source("flag"), source("environment", write="w"), source("context a", MINE)]
    )
    assert (found.url, sent(found)) == (MINE, None)
    found = choose_server([source("flag"), source("environment", write="w")])
    assert (found.url, sent(found)) == (DEFAULT_URL, "w")


def test_a_hostile_dotenv_gets_no_token_and_no_request():
    found = choose_server([source("flag"), source("environment", write="w"), source(".env", EVIL)])
    assert (found.url, sent(found)) == (DEFAULT_URL, "w")
    context = source("context mine", MINE, write="c")
    found = choose_server([source("flag"), source("environment"), context, source(".env", EVIL)])
    assert (found.url, sent(found)) == (MINE, "c")


def test_a_dotenv_token_never_joins_another_url():
    dotenv = source(".env", None, write="theirs")
    found = choose_server([source("flag"), source("environment", MINE), dotenv])
    assert (found.url, sent(found)) == (MINE, None)


def test_a_given_token_goes_to_the_given_server():
    found = choose_server([source("flag", EVIL, write="meant"), source("environment", MINE)])
    assert sent(found) == "meant"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://A:80/", "http://a", True),
        ("http://a", "https://a", False),
        ("http://a:81", "http://a", False),
        ("http://a/x", "http://a/y", False),
        ("http://localhost:1", "http://127.0.0.1:1", False),
    ],
)
def test_what_counts_as_the_same_server(one, other, same):
    assert same_server(one, other) is same


@pytest.mark.parametrize(
    ("have", "need", "expected"),
    [
        ("read write approve", "read", "read"),
        ("read write approve", "write", "write"),
        ("read write approve", "approve", "approve"),
        ("write approve", "read", "write"),
        ("read approve", "write", "approve"),
        ("read", "approve", "read"),
        ("approve", "read", "approve"),
    ],
)
def test_the_weakest_token_that_suffices(have, need, expected):
    server = choose_server([source("environment", MINE, **{t: t for t in have.split()})])
    assert sent(server, need) == expected


def test_system_paths_need_the_approve_token():
    assert [need_to_write(p) for p in ("home/x", "tmp/x", "etc/x", "var/x", "var/log/x")] == [
        "write", "write", "approve", "write", "approve",
    ]  # fmt: skip


@pytest.fixture
def spy():
    """A server that remembers what it was asked, and with which token."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.seen = seen
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.shutdown()


def test_hostile_dotenv_on_the_wire(elastik, spy, tmp_path):
    (tmp_path / ".env").write_text(f"ELASTIK_URL={spy.url}\n")
    elastik.ok("put", "dotenv/x", "--text", "mine")
    assert elastik.ok("get", "dotenv/x") == b"mine"
    assert spy.seen == []
    bare = elastik.with_env(ELASTIK_URL="")
    bare("get", "dotenv/x", "--retry", "0")
    assert spy.seen == []


def test_dotenv_of_a_project_is_found_as_in_8_3(bare, spy, tmp_path):
    (tmp_path / ".env").write_text(f"ELASTIK_URL='{spy.url}'\nELASTIK_READ_TOKEN=theirs\n")
    bare.ok("get", "x")
    assert spy.seen == [("/home/x", "Bearer theirs")]
    bare.with_env(ELASTIK_NO_DOTENV="1")("get", "x", "--retry", "0")
    assert len(spy.seen) == 1


def test_another_url_gets_no_token_and_the_hint_says_why(elastik, spy):
    elastik.ok("get", "x", "--url", spy.url)
    assert spy.seen == [("/home/x", None)]


def test_token_file_goes_with_the_given_url(elastik, spy, tmp_path):
    token = tmp_path / "token"
    token.write_text("given\n")
    token.chmod(0o600)
    elastik.ok("--url", spy.url, "get", "x", "--token-file", str(token))
    assert spy.seen == [("/home/x", "Bearer given")]
    elastik.ok("--url", spy.url, "get", "x", "--token-file", "-", stdin=b"piped\n")
    assert spy.seen[1] == ("/home/x", "Bearer piped")


def test_a_secret_that_others_can_read_is_refused(elastik, tmp_path):
    token = tmp_path / "token"
    token.write_text("open")
    token.chmod(0o644)
    ended = elastik.with_env(ELASTIK_READ_TOKEN="", ELASTIK_READ_TOKEN_FILE=str(token))("ls")
    assert ended.code == 3
    assert f"hint: chmod 600 {token}" in ended.err


def test_exactly_one_newline_is_removed_from_a_secret(bare, spy, tmp_path):
    token = tmp_path / "token"
    token.write_bytes(b"two \n\n")
    token.chmod(0o600)
    set_up = bare.with_env(ELASTIK_URL=spy.url, ELASTIK_READ_TOKEN_FILE=str(token))
    assert "not printable" in set_up("get", "x").err  # the second line break is still there
    token.write_bytes(b"one\n")
    set_up.ok("get", "x")
    assert spy.seen == [("/home/x", "Bearer one")]


def test_the_old_name_of_the_write_token_works_and_warns(elastik, shared_core):
    old = elastik.with_env(
        ELASTIK_WRITE_TOKEN="", ELASTIK_APPROVE_TOKEN="", ELASTIK_TOKEN=shared_core.write
    )
    ended = old("put", "old/name", "--text", "x")
    assert ended.code == 0
    assert "ELASTIK_TOKEN is an old name" in ended.err


def test_contexts_hold_url_and_tokens_together(bare, spy, tmp_path):
    config = tmp_path / "config" / "elastik" / "config.toml"
    config.parent.mkdir(parents=True)
    token = config.parent / "t"
    token.write_text("from-file")
    token.chmod(0o600)
    config.write_text(
        f"""
        context = "one"
        [contexts.one]
        url = "{spy.url}"
        read_token_file = "t"
        [contexts.two]
        url = "{spy.url}"
        token_command = ["printf", "from-command"]
        """
    )
    bare.ok("get", "x")
    bare.ok("get", "x", "--context", "two")
    bare.with_env(ELASTIK_CONTEXT="two").ok("get", "x")
    assert [token for _, token in spy.seen] == [
        "Bearer from-file", "Bearer from-command", "Bearer from-command",
    ]  # fmt: skip
    assert bare("get", "x", "--no-context", "--retry", "0").code == 7
    assert bare("get", "x", "--context", "three").code == 2
    assert len(spy.seen) == 3


def test_init_makes_secrets_nobody_else_can_read(bare, tmp_path):
    made = json.loads(bare.ok("init", "--json"))
    assert made["data_dir"] == str(tmp_path / "data" / "elastik" / "local")
    assert os.stat(made["data_dir"]).st_mode & 0o777 == 0o700
    secrets = [Path(made[key]) for key in made if key.endswith("_file")]
    before = [path.read_text() for path in secrets]
    assert len(set(before)) == 4
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secrets)
    assert bare("init").code == 6
    assert [path.read_text() for path in secrets] == before


@pytest.mark.parametrize("value", [None, "", " ", "/x/y", " /x "])
@pytest.mark.parametrize("kind", ["config", "data", "state"])
def test_the_users_directories_are_those_of_platformdirs(monkeypatch, kind, value):
    import platformdirs

    from elastik_cli import config

    monkeypatch.delenv("ELASTIK_CONFIG", raising=False)
    variable = f"XDG_{kind.upper()}_HOME"
    monkeypatch.delenv(variable) if value is None else monkeypatch.setenv(variable, value)
    ours = {"config": config.config_dir, "data": config.user_data_dir, "state": config.state_dir}
    assert str(ours[kind]()) == getattr(platformdirs, f"user_{kind}_dir")("elastik")
