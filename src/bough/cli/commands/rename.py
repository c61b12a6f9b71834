"""``bough rename``: give a branch another name."""

from __future__ import annotations

import click

from bough.cli.app import BRANCH, App, Command, branch_id, branch_json, pass_app, warn_of_names


@click.command("rename", cls=Command)
@click.argument("branch", type=BRANCH)
@click.argument("name")
@pass_app
def command(app: App, branch: str, name: str) -> None:
    """Give a branch another name.

    Its id stays what it is.

    \b
    bough rename fork-2 "the happy ending"
    """
    from bough.cli.text import plain

    with app.manager() as manager:
        renamed = manager.rename_branch(branch_id(manager, branch), name)
        warn_of_names(app, manager, renamed)
        if name != renamed.id and any(each.id == name for each in manager.get_all_branches()):
            app.warn(f"{name!r} is the id of another branch, too: alone it names that one")
        app.answer({"branch": branch_json(renamed)}, f"Branch {plain(renamed.id)} is named {plain(renamed.name)} now.")
