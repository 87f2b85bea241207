"""The verb `elastik serial bridge`."""

import click

from elastik_cli import serial_options as serial
from elastik_cli.completion import PORT
from elastik_cli.lazy import Verb
from elastik_cli.options import DURATION


@click.command("bridge", cls=Verb)
@click.argument("boards", nargs=-1, metavar="[BOARD...]")
@click.option(
    "--device", multiple=True, type=PORT, metavar="PORT", help="A port, VID:PID or by-id:GLOB."
)
@click.option("--id", "name", metavar="NAME", help="What the (only) board is called.")
@click.option("--all", "every", is_flag=True, help="Every USB serial port, also later ones.")
@click.option("--include", multiple=True, metavar="GLOB", help="With --all: only such ports.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="With --all: not such ports.")
@click.option("--prefix", metavar="PATH", help="Where its worlds are (/home/sensor/{id}).")
@click.option("--coap", metavar="HOST:PORT", help="The core's CoAP door (server's host, 5683).")
@click.option("--up", type=click.Choice(["coap", "http"]), help="How writes go up (coap).")
@click.option("--protocol", type=click.Choice(["slipmux", "text"]), help="What the board speaks.")
@click.option("--observe", multiple=True, metavar="PATH", help="Keep this resource; auto, none.")
@click.option("--spool", metavar="DIR", help="Keep readings there while the core is away.")
@click.option("--spool-max", type=int, default=64, metavar="MIB", help="Size of the spool (64).")
@click.option("--listen", metavar="HOST:PORT", help="Let UDP clients ask the boards there.")
@click.option("--ping", type=DURATION, help="Ask after so much silence; 0 never (10s).")
@click.option("--mtu", type=click.IntRange(48, 1152), help="Largest message it takes (128).")
@click.option("--gap", type=DURATION, help="Pause between two frames (none).")
@click.option("--response-timeout", type=DURATION, help="Wait for a promised answer (30s).")
@click.option("--rtscts", is_flag=True, default=None, help="Hardware flow control.")
@click.option("--xonxoff", is_flag=True, default=None, help="Refused: slipmux needs every byte.")
@click.option("--trust-board-token", is_flag=True, default=None, help="Pass the board's token on.")
@click.option("--source-port", type=int, default=0, help="Our UDP port (any).")
@click.option("--record", metavar="FILE", help="Record the lines as JSON Lines.")
@click.option("--no-wait", is_flag=True, help="End with code 7 when a board is not there.")
@click.option("--baud", type=int, metavar="N", help="Bits a second (115200).")
@serial.levels
@click.pass_obj
def command(session, boards, **wish):
    """Join boards to the store, both ways, until stopped.

    BOARD is a name from the [serial.NAME] tables of the config file; without one, and without
    --device or --all, all of them are served. What a board sends to /temp is stored at
    /home/sensor/NAME/temp; what it offers for observation is kept there too. Other programs ask
    it with `elastik serial get NAME PATH` meanwhile. The bridge waits for boards that are not
    there, and finds them again after they were unplugged.

    \b
    Examples:
      elastik serial bridge --device /dev/ttyACM0 --id kitchen
      elastik serial bridge --all --exclude '*Modem*'
      elastik serial bridge kitchen --spool /var/lib/elastik/spool
    """
    from elastik_cli.exits import SignalDeath
    from elastik_cli.serialio.plans import run_bridge

    number = run_bridge(session, boards, wish)
    if number:
        raise SignalDeath(number)
