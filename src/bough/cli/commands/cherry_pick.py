"""``bough cherry-pick``: bring chosen messages to the current branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, pass_app

if TYPE_CHECKING:
    from bough.manager import Align


@click.command("cherry-pick", cls=Command)
@click.argument("revisions", metavar="REVISION...", type=REVISION, nargs=-1, required=True)
@click.option(
    "--align",
    type=click.Choice(["back", "forward"]),
    help="Leave out messages whose tool call or results would not come along (back), or bring those too (forward).",
)
@pass_app
def command(app: App, revisions: tuple[str, ...], align: Align | None) -> None:
    """Bring chosen messages to the end of the current branch.

    Of each REVISION it is the last message; of a range A..B all that B has and
    A has not. What the branch holds already, in any wording, is left out.

    \b
    bough cherry-pick ideas:3
    bough cherry-pick ideas:3 ideas:5
    bough cherry-pick main..ideas
    bough cherry-pick 3f9a.12          by the id that `bough log` shows
    """
    from bough.cli.app import branch_json
    from bough.cli.operations import made
    from bough.cli.text import count, plain

    with app.manager() as manager:
        before = manager.get_current_branch()
        done = made(manager, before, manager.cherry_pick(*revisions, align=align))
        text = f"Picked {count(done.came, 'message')} into {plain(before.id)}. `bough undo` takes it back."
        if done.operation is None:
            text = f"{plain(before.id)} holds that already: nothing to pick."
        branch = branch_json(manager.get_current_branch())
        app.answer({"branch": branch, "added": done.came, "operation": done.operation}, text)
