"""Help topics: what concerns more than one verb, in the words of the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from elastik_cli.config import CONTEXT_KEYS, DEFAULT_KEYS
from elastik_cli.exits import MEANING

PATHS = """\
PATHS

`note`, `/note` and `/home/note` are the same path; it is printed as `home/note`.

Namespaces, named by the first part of a path:
  home, var                kept on disk and audited
  etc, lib, boot, usr      the same, and written only with the approve token
  tmp, dev, sys            in memory: gone when the server stops, not audited

A path is UTF-8. It holds no control characters, no backslash, no empty part and no part
that is `.` or `..`. Spaces, `*`, `?`, `#`, `%` and colons are ordinary characters.

Directories exist only in names: `ls` and `tree` show what paths have in common.

Patterns of `listen`: `*` is everything, a final `*` any rest, an inner `*` one part,
`%2A` a star that is meant.
"""

LISTEN = """\
LISTEN

Without a command, each event is a line: event, id, version, path, separated by tabs; with
--json an object, with -0 the path ended by NUL. The event is put, post or delete.

With `-- CMD ARG...` the command is run for each event, without a shell. With
`--exec STRING` it is `sh -c STRING`; nothing of an event is ever put into STRING.

The command gets the bytes on standard input (none for delete), and in its environment
  ELASTIK_PATH      home/order/1
  ELASTIK_EVENT     put, post or delete
  ELASTIK_ID        the event's number
  ELASTIK_ETAG      the version of the bytes
  ELASTIK_TYPE      their media type, where the server tells it
  ELASTIK_SIZE      how many they are
  ELASTIK_TIME      when, where the server tells it
  ELASTIK_ATTEMPT   1 at first, 2 at the first retry
  ELASTIK_BODY      inline or fetched: the event's own bytes; superseded: a newer version,
                    whose ELASTIK_ETAG it is; gone: deleted meanwhile; none
  ELASTIK_URL       the server, so that `elastik put` in the command talks to the same
and no token, unless --pass-token. In its arguments {} is the path, {/} the last part of it,
{.} the path without its ending.

At least once: with --state NAME the position moves behind an event only when its command
succeeded and all before it did. After a crash or a restart it goes on there; some events may
come twice, none is left out. Write commands that may run twice.

Events of one path run one after another; different paths side by side, up to -j. With
-j above 1 the output of each run is kept together.

A command fails when it exits other than 0. It is then run again after a pause, three times
(--on-error retry:N), and given up: said on stderr, kept under --dead-letter PATH (body and
reason), and the exit code is 8 in the end. --on-error stop ends at once and leaves the event
for the next run. --kill-after TIME ends commands that hang. Exit codes 126 and 127 of the
command end the listener: retrying would not help and skipping would lose events.

With --batch N or --every TIME a command gets many events, one JSON object a line, with their
bytes in `data` or `data_base64`; ELASTIK_BATCH says how many. A batch succeeds or fails whole.

Refused, broken and silent connections are tried again for ever (--retry N: so many times);
a wrong token ends it at once. When the server can no longer deliver what was missed, that is
said on stderr and, with --json, as {"event": "gap"}; --on-gap stop ends there.

Ctrl-C and SIGTERM: nothing new is begun, what runs may finish within --grace, then it gets
SIGTERM, then SIGKILL. A second Ctrl-C does not wait. Under systemd readiness, status and
watchdog are told to $NOTIFY_SOCKET.
"""

COAP = """\
COAP

With ELASTIK_URL=coap://HOST:PORT, --url or a context's url, these verbs go over CoAP (UDP):
  put, get, head, post, rm, listen; and edit, diff, plot, which are made of them.
Every other verb, and what CoAP has nothing for (--range, --at, --gzip, --meta, --purge, rm -r,
a media type without a number), ends with exit code 2 and says so. Nothing is left out.

Exit codes are the same: 4 nothing there, 5 denied, 6 a precondition, 7 refused, 9 silence
for --timeout. Bodies of any size go in blocks. An ETag is the first half of HTTP's, and
--if-match takes either.

listen observes the server's list of links: an event is put or delete, with number and path;
several changes in a moment are one, and a deletion has no number. A deletion while the
connection is lost is not told.

A token is sent in the clear, and only to the URL of its own source (elastik help config): one
that belongs to http://HOST does not go to coap://HOST. A server refuses it from other machines
unless it was told to take it (ELASTIK_COAP_PLAIN_TOKEN).

`elastik coap` is for any CoAP server: coaps, discover, ping, observe with every value.
"""

ENVIRONMENT = {
    "ELASTIK_URL": "address of the server",
    "ELASTIK_READ_TOKEN, ELASTIK_READ_TOKEN_FILE": "token for reading, or the file it is in",
    "ELASTIK_WRITE_TOKEN, ELASTIK_WRITE_TOKEN_FILE": "token for writing",
    "ELASTIK_APPROVE_TOKEN, ELASTIK_APPROVE_TOKEN_FILE": "token for deleting and system paths",
    "ELASTIK_TOKEN": "old name of ELASTIK_WRITE_TOKEN",
    "ELASTIK_CONTEXT": "context to use",
    "ELASTIK_CONFIG": "config file to use",
    "ELASTIK_TIMEOUT": "seconds to wait for a connection and for bytes (30s)",
    "ELASTIK_RETRY": "how often to try again when nothing answers (3)",
    "ELASTIK_CAFILE": "certificates to trust for https",
    "ELASTIK_KEY, ELASTIK_KEY_FILE": "audit key of the server (for run)",
    "ELASTIK_DATA": "data directory of the server (for run)",
    "ELASTIK_HOST, ELASTIK_PORT": "where the server listens (for run), and the URL if none is set",
    "ELASTIK_CORE": "the server's binary",
    "ELASTIK_NO_DOTENV": "1: do not read .env",
    "NO_COLOR, FORCE_COLOR, CLICOLOR": "colour off or on",
    "VISUAL, EDITOR": "editor of edit",
    "PAGER": "pager of diff and help on a terminal (less -FIRX); cat: none",
}


def _exit_codes() -> str:
    rows = [f"  {int(code):>3}  {word:<13}{what}\n" for code, (word, what) in MEANING.items()]
    return f"""\
EXIT CODES

{"".join(rows)}
A signal ends the command as it ends any other: a shell sees 128 + its number, such as 130 for
Ctrl-C. A pipe whose reader left ends it silently by SIGPIPE (141).
With --json an error is one object on stderr, with the word above as `error`.
"""


def _environment() -> str:
    rows = "".join(f"  {names}\n      {text}\n" for names, text in ENVIRONMENT.items())
    return f"ENVIRONMENT\n\nAn option wins over its variable.\n\n{rows}"


def _config() -> str:
    keys = "".join(f"  {key:<20}{text}\n" for key, text in CONTEXT_KEYS.items())
    defaults = "".join(f"  {key:<20}{text}\n" for key, text in DEFAULT_KEYS.items())
    return f"""\
CONFIG

A setting comes from an option, else a variable (elastik help environment), else the selected
context, else .env in this directory, else it is built in. `elastik context show` says where
each one came from.

A token goes only to the URL of its own source: a token of the environment is never sent to a
server that a context or a .env file names. A verb sends the weakest token that suffices.
Secrets are never taken from the command line, and a secret file that others may read is
refused.

The file is config.toml in the user's config directory (ELASTIK_CONFIG names another):

  context = "lab"              # the selected one
  [defaults]
  timeout = "10s"
  [contexts.lab]
  url = "http://lab:3105"
  read_token_file = "lab/read.token"

In [defaults]:
{defaults}
In a context; file names are relative to the file:
{keys}"""


def _options() -> str:
    from elastik_cli.options import common_options

    rows = []
    for option in common_options():
        head = ", ".join(option.opts) + (f" {option.metavar}" if option.metavar else "")
        rows.append(f"  {head}\n      {option.help}\n")
    return "OPTIONS OF EVERY VERB\n\nThey may stand before or after the verb.\n\n" + "".join(rows)


TOPICS: dict[str, tuple[str, Callable[[], str]]] = {
    "exit-codes": ("what each exit code means", _exit_codes),
    "options": ("options of every verb", _options),
    "environment": ("variables that are read", _environment),
    "config": ("the config file, contexts and tokens", _config),
    "paths": ("what a path is, and patterns", lambda: PATHS),
    "listen": ("events, and a command for each", lambda: LISTEN),
    "coap": ("the verbs over CoAP", lambda: COAP),
}


def text(topic: str) -> str:
    """The text of one topic."""
    return TOPICS[topic][1]()


def listed() -> Iterator[dict[str, str]]:
    """Each topic with what it is about."""
    for name, (about, _) in TOPICS.items():
        yield {"topic": name, "about": about}
