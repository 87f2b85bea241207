"""The verb `elastik serial ls`."""

import click

from elastik_cli.lazy import Verb


@click.command("ls", cls=Verb)
@click.option("-1", "--porcelain", is_flag=True, help="Only the devices, one a line.")
@click.pass_obj
def command(session, porcelain):
    """List serial ports and the boards on them.

    The state is free, busy, no permission, or `bridged as NAME`. Opening a port can reset the
    board on it, so nothing is opened to find out: busy means that another program has it locked.

    \b
    Examples:
      elastik serial ls
      elastik serial ls --json | jq -r .serial
    """
    from elastik_cli.serialio.states import listing

    records = listing()
    if porcelain:
        for record in records:
            session.out.line(record["device"])
        return

    def human(rows):
        columns = ["DEVICE", "STATE", "USB", "SERIAL", "PRODUCT", "BY-ID"]
        fields = ["device", "state", "usb", "serial", "product", "by_id"]
        session.out.table(columns, [[row[field] for field in fields] for row in rows])

    def plain(row):
        fields = ["state", "usb", "serial", "product", "by_id", "device"]
        return "\t".join(str(row[field]) for field in fields)

    if not session.out.rows(records, plain, human=human):
        session.say("no serial port; is the board plugged in, and is its cable one for data?")
