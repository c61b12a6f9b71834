"""``bough path``: where a branch's file is."""

from __future__ import annotations

import click

from bough.cli.app import BRANCH, App, Command, KeepsFiles, branch_id, pass_app


@click.command("path", cls=Command)
@click.argument("branch", type=BRANCH, required=False)
@pass_app
def command(app: App, branch: str | None) -> None:
    """Print where a branch's file is.

    BRANCH is the current one where none is given.

    \b
    jq .messages "$(bough path)"
    cp "$(bough path ideas)" ideas.json
    """
    from bough.cli.text import plain
    from bough.errors import InvalidRequestError

    with app.manager() as manager:
        wanted = manager.get_current_branch_id() if branch is None else branch_id(manager, branch)
        if not isinstance(manager.store, KeepsFiles):
            raise InvalidRequestError(
                f"the store {manager.store.url} has no file for each branch",
                hint="`bough copy --to json:FOLDER` makes them",
            )
        path = manager.store.path(manager.session_id, wanted)
        app.answer({"branch": wanted, "path": path}, plain(path))
