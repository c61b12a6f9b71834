"""``bough delete``: delete a branch."""

from __future__ import annotations

import click

from bough.cli.app import BRANCH, App, Command, branch_id, pass_app


@click.command("delete", cls=Command)
@click.argument("branch", type=BRANCH)
@pass_app
def command(app: App, branch: str) -> None:
    """Delete a branch.

    Branches that grew from it keep all their messages; `bough undo` brings it back.

    \b
    bough delete ideas
    """
    from bough.cli.text import plain

    with app.manager() as manager:
        deleted = branch_id(manager, branch)
        manager.delete_branch(deleted)
        head = manager.get_current_branch_id()
        text = f"Deleted branch {plain(deleted)}; on {plain(head)} now. `bough undo` brings it back."
        app.answer({"deleted": deleted, "head": head}, text)
