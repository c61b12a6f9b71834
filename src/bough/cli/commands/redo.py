"""``bough redo``: do again what was undone last."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, pass_app


@click.command("redo", cls=Command)
@pass_app
def command(app: App) -> None:
    """Do again what was undone last.

    After several undos, once more does the next one. It ends where something
    else was done since; added messages do not count.

    \b
    bough redo
    """
    from bough.cli.operations import taken_back

    with app.manager() as manager:
        taken_back(app, manager, manager.redo(), "Redid")
