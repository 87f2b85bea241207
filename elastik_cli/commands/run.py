"""elastik run"""

import click

from elastik_cli import core_process, serving, units
from elastik_cli.lazy import Verb
from elastik_cli.secrets import TIERS


def _published(name):
    """8.3's options that took a secret as their value: they work, and warn."""
    return click.option(f"--{name}", name.replace("-", "_"), hidden=True, metavar="SECRET")


@click.command("run", cls=Verb)
@click.option("--host", metavar="ADDRESS", help="Address to listen on (127.0.0.1).")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on (3105; 0: a free one)."
)
@click.option("--data-dir", metavar="DIR", help="Where the bytes are kept.")
@click.option("--key-file", metavar="FILE", help="File with the audit key.")
@click.option("--read-token-file", metavar="FILE", help="File with the read token.")
@click.option("--write-token-file", metavar="FILE", help="File with the write token.")
@click.option("--approve-token-file", metavar="FILE", help="File with the approve token.")
@click.option(
    "--print-path", is_flag=True, help="Print where the server's binary lies; run nothing."
)
@click.option(
    "--install-unit", is_flag=True, help="Write systemd units, print their paths; run nothing."
)
@_published("key")
@_published("read-token")
@_published("write-token")
@_published("approve-token")
@click.pass_obj
def command(session, print_path, install_unit, **given):
    """Run the server in the foreground.

    Settings come from the options, else from ELASTIK_* variables, else from .env in this
    directory, else from the selected context. Ctrl-C ends it cleanly.

    The units of --install-unit, a service and a socket for those who want the store started by
    its first connection, are the machine's for root, else the user's. The secrets are read
    from files (key, read-token, write-token, approve-token) in /etc/elastik, or for a user in
    service/ beside the config file; install them again after adding one.

    \b
    Examples:
      elastik init && elastik run
      elastik run --key-file key --data-dir ./data --port 0
    """
    if print_path:
        session.out.line(str(core_process.binary()))
        return
    if install_unit:
        written, then = units.install(core_process.binary())
        for unit in written:
            session.out.line(str(unit))
        session.say(f"next: {then}")
        return
    for name in ("key", *(f"{tier}_token" for tier in TIERS)):
        if given[name]:
            flag = f"--{name.replace('_', '-')}"
            session.say(f"{flag} shows the secret to every user of this machine: use {flag}-file")
    core_process.become(session, serving.collect(session, given))
