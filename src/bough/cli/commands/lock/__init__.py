"""``bough lock``: who holds a lock, a command under it, and removing one that was left behind."""

from __future__ import annotations

import click

from bough.cli.app import Group
from bough.cli.commands.lock import break_, run, status


@click.group("lock", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """See, use and break the lock of a session or a file.

    PATH.lock is the lock of PATH; both name it.

    \b
    bough lock status chat.json
    bough lock run chat.json -- ./compact chat.json
    bough lock break chat.json
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for each in (status, run, break_):
    command.add_command(each.command)
