"""``bough reset``: make the current branch what a revision is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, pass_app

if TYPE_CHECKING:
    from bough.manager import Align


@click.command("reset", cls=Command)
@click.argument("revision", type=REVISION)
@click.option(
    "--align",
    type=click.Choice(["back", "forward"]),
    help="Move a cut inside a tool call and its results to before or behind them.",
)
@pass_app
def command(app: App, revision: str, align: Align | None) -> None:
    """Make the current branch what a revision is.

    A number N alone keeps the first N messages. What leaves the branch stays in
    the log: `bough undo` brings it back.

    \b
    bough reset 4
    bough reset HEAD~2       without the last two
    bough reset @{1}         what it was before its last operation
    bough reset ideas        what ideas is
    """
    from bough.cli.app import branch_json
    from bough.cli.naming import count_named
    from bough.cli.operations import made
    from bough.cli.text import count, plain

    with app.manager() as manager:
        before = manager.get_current_branch()
        number = count_named(manager, revision)
        done = made(manager, before, manager.reset(revision if number is None else number, align=align))
        branch = manager.get_current_branch()
        name, size = plain(branch.id), count(len(branch.messages), "message")
        moved = ", ".join(f"{each:,} {verb}" for each, verb in ((done.came, "added"), (done.left, "removed")) if each)
        text = f"Reset {name} to {size}{': ' if moved else ''}{moved}. `bough undo` takes it back."
        if done.operation is None:
            text = f"{name} is that already, with {size}: nothing to reset."
        result = {"branch": branch_json(branch), "added": done.came, "removed": done.left, "operation": done.operation}
        app.answer(result, text)
