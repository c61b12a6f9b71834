"""``bough undo``: take an operation back."""

from __future__ import annotations

import click

from bough.cli.app import OPERATION, App, Command, pass_app


@click.command("undo", cls=Command)
@click.argument("number", metavar="[N]", type=OPERATION, required=False)
@pass_app
def command(app: App, number: int | None) -> None:
    """Take back the last operation, or operation N of the log.

    Once more takes back the one before it; `bough redo` does it again. Every
    change is an operation but added messages: what was added since stays, but
    where a branch goes it goes with it.
    Where something later depends on operation N, `bough revert N` may help.

    \b
    bough undo
    bough undo 12
    """
    from bough.cli.operations import taken_back

    with app.manager() as manager:
        taken_back(app, manager, manager.undo(number), "Undid")
