"""``bough fork``: a new branch from the current one or any revision, and a switch to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, branch_json, pass_app, warn_of_names

if TYPE_CHECKING:
    from bough.manager import Align, ConversationBranchManager


@click.command("fork", cls=Command)
@click.argument("name", default="fork")
@click.option("--at", type=click.IntRange(min=0), metavar="N", help="Keep the first N messages only.")
@click.option("--from", "revision", type=REVISION, metavar="REVISION", help="What it begins with; the current branch.")
@click.option(
    "--align",
    type=click.Choice(["back", "forward"]),
    help="Move a cut inside a tool call and its results to before or behind them.",
)
@pass_app
def command(app: App, name: str, at: int | None, revision: str | None, align: Align | None) -> None:
    """Fork the current branch, or any revision.

    The fork is the current branch then. Its id is made from NAME.

    \b
    bough fork "another ending"              go on from here
    bough fork "another ending" --at 4       go on from behind message 4
    bough fork idea --from main~3            from main without its last three
    bough fork idea --from idea@{1}          from what idea was before
    """
    from bough.cli.text import count, plain
    from bough.revisions import HEAD

    with app.manager(create=revision is None) as manager:
        source: str | None = manager.get_current_branch_id()
        cuts = align is None and at is not None and _cuts_a_call(manager, revision or HEAD, at)
        if revision is not None:
            branch = manager.fork_from(name, revision if at is None else f"{revision}:{at}", align=align)
            source = branch.parent_id
        elif at is not None:
            branch = manager.fork_from_message(name, at, align=align)
        else:
            branch = manager.fork(name)
        warn_of_names(app, manager, branch)
        if cuts:
            app.warn(
                f"a tool call and its results lie on both sides of {at}: --align back or forward keeps them together"
            )
        held = count(len(branch.messages), "message")
        text = f"Switched to the new branch {plain(branch.id)}, with {held} of {plain(source or revision or '')}."
        app.answer({"from": source, "branch": branch_json(branch)}, text)


def _cuts_a_call(manager: ConversationBranchManager, revision: str, at: int) -> bool:
    """Whether a tool call would be kept without its results."""
    from bough.branch import Messages
    from bough.turns import align

    messages = Messages(manager.store, manager.session_id, manager.resolve(revision).history)
    return 0 < at < len(messages) and align(messages, at, "back") != at
