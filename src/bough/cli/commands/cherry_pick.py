"""``bough cherry-pick``: bring chosen messages to the current branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, pass_app

if TYPE_CHECKING:
    from bough.manager import Align, ConversationBranchManager
    from bough.model import History


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
    from bough.errors import RevisionNotFoundError

    with app.manager() as manager:
        before = manager.get_current_branch()
        try:
            version = manager.cherry_pick(*revisions, align=align)
        except RevisionNotFoundError as error:
            if error.revision.isdecimal():
                error.hint = f"message {error.revision} of a branch is written `BRANCH:{error.revision}`"
            raise
        done = made(manager, before, version)
        text = f"Picked {count(done.came, 'message')} into {plain(before.id)}. `bough undo` takes it back."
        if done.operation is None:
            text = f"{plain(before.id)} holds that already: nothing to pick."
            if _differs(manager, revisions, before.record.history):
                text = (
                    f"{plain(before.id)} holds that already, in another wording: nothing to pick."
                    " `bough merge BRANCH --strategy three-way` takes edits over."
                )
        branch = branch_json(manager.get_current_branch())
        app.answer({"branch": branch, "added": done.came, "operation": done.operation}, text)


def _differs(manager: ConversationBranchManager, revisions: tuple[str, ...], held: History) -> bool:
    """Whether some of the chosen messages are not held in the wording that was chosen."""
    from bough import edits, history

    for revision in revisions:
        before, after = manager.resolve_range(revision)
        chosen = edits.subtract(after.history, after.edits, before.history, before.edits)
        if history.subtract(chosen, held):
            return True
    return False
