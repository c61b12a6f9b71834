"""``bough switch``: make another branch the current one."""

from __future__ import annotations

import click

from bough.cli.app import BRANCH, App, Command, branch_id, branch_json, pass_app


@click.command("switch", cls=Command)
@click.argument("branch", type=BRANCH)
@pass_app
def command(app: App, branch: str) -> None:
    """Make another branch the current one.

    Messages are added there from now on, also from the next terminal.

    \b
    bough switch main
    """
    from bough.cli.text import count, plain

    with app.manager() as manager:
        previous = manager.get_current_branch_id()
        current = manager.checkout(branch_id(manager, branch))
        verb = "Already on" if current.id == previous else "Switched to"
        text = f"{verb} branch {plain(current.id)} ({count(len(current.messages), 'message')})."
        app.answer({"from": previous, "branch": branch_json(current)}, text)
