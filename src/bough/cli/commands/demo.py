"""``bough demo``: a small conversation, forked, merged and undone before your eyes."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager

OPENING = (
    ("user", "Our nightly backup takes six hours. How do we get it under one?"),
    ("assistant", "It copies everything, and one file after another. Which one first?"),
)
LESS = (
    ("user", "Copy less. What would that look like?"),
    ("assistant", "Send only the blocks that changed since last night, some 4 %."),
    ("user", "And a restore?"),
    ("assistant", "The last full copy, then a week of changes at most."),
)
FASTER = (
    ("user", "Copy faster. How far does that get us?"),
    ("assistant", "Eight streams and zstd: fifty minutes, until the disks are full."),
)


@click.command("demo", cls=Command)
@pass_app
def command(app: App) -> None:
    """Watch a conversation being forked, merged and undone.

    It is made in a new temporary folder, which stays.

    \b
    bough demo
    """
    from tempfile import mkdtemp

    from bough.manager import ConversationBranchManager

    folder = mkdtemp(prefix="bough-demo-")
    with ConversationBranchManager("backup", store=folder) as manager:
        _play(app, manager)
        path = f"{folder}/backup"
        branches = [branch.id for branch in manager.get_all_branches()]
    app.answer(
        {"store": folder, "session": "backup", "path": path, "branches": branches},
        f"Every branch is one plain JSON file:  {path}/*.json",
        "",
        "Go on from here:",
        f"  export BOUGH_STORE={folder} BOUGH_SESSION=backup",
        *(
            f"  {click.style(text.ljust(38), fg='green')} {what}"
            for text, what in (
                ("bough show", "read the conversation"),
                ("bough log --graph --all", "draw the tree again"),
                ('bough add user "Who gets the alarm?"', "say something"),
                ("bough --help", "what else there is"),
            )
        ),
    )


def _play(app: App, manager: ConversationBranchManager) -> None:
    def step(done: str, told: str) -> None:
        if not app.json:
            _draw(manager, done, told)

    _say(manager, OPENING)
    step('bough add user "Our nightly backup …"', "A conversation begins, on the branch main.")

    less = manager.fork("copy less").id
    _say(manager, LESS)
    step('bough fork "copy less"', "One idea is followed on a branch of its own. main stays as it was.")

    faster = manager.fork_from_message("copy faster", 2).id
    _say(manager, FASTER)
    step('bough fork "copy faster" --at 2', "The other idea starts behind message 2, too.")

    manager.checkout("main")
    manager.merge(less)
    manager.merge(faster)
    step(f"bough switch main; bough merge {less}; bough merge {faster}", "main takes both, each message once.")

    manager.undo()
    step("bough undo", "On second thoughts, only the first. Nothing is lost: every operation can be taken back.")


def _say(manager: ConversationBranchManager, lines: tuple[tuple[str, str], ...]) -> None:
    manager.add_messages({"role": role, "content": text} for role, text in lines)


def _draw(manager: ConversationBranchManager, done: str, told: str) -> None:
    from bough.cli.drawing import draw_graph

    click.echo(click.style("$ ", dim=True) + click.style(done, bold=True))
    click.echo(told)
    click.echo()
    width = min(get_terminal_size((100, 24)).columns, 100)
    store, session_id = manager.store, manager.session_id
    for line in draw_graph(store, store.load(session_id), manager.get_current_branch_id(), width=width - 2):
        click.echo(f"  {line}")
    click.echo()
