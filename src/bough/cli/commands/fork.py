"""``bough fork``: a new branch from the current one, and a switch to it."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, branch_json, pass_app


@click.command("fork", cls=Command)
@click.argument("name", default="fork")
@click.option("--at", type=click.IntRange(min=0), metavar="N", help="Keep the first N messages only.")
@pass_app
def command(app: App, name: str, at: int | None) -> None:
    """Fork the current branch, and switch to the fork.

    The id of the fork is made from NAME.

    \b
    bough fork "another ending"          go on from here
    bough fork "another ending" --at 4   go on from behind message 4
    """
    from bough.cli.text import count, plain

    with app.manager(create=True) as manager:
        source = manager.get_current_branch_id()
        branch = manager.fork(name) if at is None else manager.fork_from_message(name, at)
        held = count(len(branch.messages), "message")
        text = f"Switched to the new branch {plain(branch.id)}, with {held} of {plain(source)}."
        app.answer({"from": source, "branch": branch_json(branch)}, text)
