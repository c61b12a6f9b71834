"""``bough revert``: take out of the branches what an operation changed, and keep what came later."""

from __future__ import annotations

from typing import Literal

import click

from bough.cli.app import OPERATION, App, Command, pass_app


@click.command("revert", cls=Command)
@click.argument("number", metavar="N", type=OPERATION)
@click.option(
    "--resolve",
    type=click.Choice(["ours", "theirs", "both"]),
    help="Where a message was changed again since: ours is as it is now, theirs as it was before operation N.",
)
@pass_app
def command(app: App, number: int, resolve: Literal["ours", "theirs", "both"] | None) -> None:
    """Take out what operation N changed, and keep what came later.

    It is about the messages of branches, and goes where `bough undo N` is
    refused because something later depends on the operation. A message that
    was changed again since is a conflict: nothing is written, and both wordings
    are shown.

    \b
    bough revert 12
    bough revert 12 --resolve theirs
    """
    from bough.cli.conflicts import conflict_lines
    from bough.cli.operations import operation_of, words
    from bough.cli.text import plain
    from bough.errors import MergeConflictError

    with app.manager() as manager:
        try:
            made = manager.revert(number, None if resolve is None else lambda _: resolve)
        except MergeConflictError as error:
            error.hint = "`--resolve ours` keeps what is there now, `theirs` brings back what was, `both` has both"
            if not app.json:
                for line in conflict_lines(error.conflicts, ours="now", theirs="was"):
                    click.echo(line)
            raise
        changed = [] if made is None else [entry.id for entry in operation_of(manager, made).branches]
        text = f"Nothing of operation {number} is left to revert."
        if made is not None:
            what = plain(words(operation_of(manager, number)))
            text = f"Reverted operation {number}: {what}. `bough undo` takes that back."
        app.answer({"reverted": number, "operation": made, "branches": changed}, text)
