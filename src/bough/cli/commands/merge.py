"""``bough merge``: bring a branch's messages into the current one."""

from __future__ import annotations

import click

from bough.cli.app import BRANCH, App, Command, branch_id, pass_app
from bough.merge import STRATEGIES


@click.command("merge", cls=Command)
@click.argument("source", type=BRANCH)
@click.option(
    "--strategy",
    type=click.Choice(list(STRATEGIES)),
    default="append",
    show_default=True,
    help="append: add what the current branch does not hold yet. replace: take SOURCE's messages instead.",
)
@pass_app
def command(app: App, source: str, strategy: str) -> None:
    """Merge another branch into the current one.

    Merged again, it adds nothing; `bough undo` takes it back.

    \b
    bough merge ideas
    bough merge ideas --strategy replace
    """
    from dataclasses import asdict

    from bough.cli.text import count, plain

    with app.manager() as manager:
        result = manager.merge(branch_id(manager, source), strategy)
        if result.operation is None:
            text = f"{plain(result.target)} is up to date: nothing to merge from {plain(result.source)}."
        else:
            removed = f", {result.removed:,} removed" if result.removed else ""
            added = count(result.added, "message")
            text = f"Merged {plain(result.source)} into {plain(result.target)}: {added} added{removed}."
        app.answer(asdict(result), text)
