"""``bough diff``: what two states of a conversation have in common and what not."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, find_range, pass_app

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager
    from bough.revisions import Revision


@click.command("diff", cls=Command)
@click.argument("before", metavar="[A]", type=REVISION, required=False)
@click.argument("after", metavar="[B]", type=REVISION, required=False)
@click.option("--side-by-side", is_flag=True, help="In two columns.")
@click.option("--stat", is_flag=True, help="How many messages only; reads none.")
@pass_app
def command(app: App, before: str | None, after: str | None, side_by_side: bool, stat: bool) -> None:
    """Show what leads from revision A to revision B.

    B is the current branch where it is not given, and A then what that grew
    from. A..B is A and B. Messages are the same by identity, not by content:
    one that was edited is shown word by word, one that was said twice in the
    same words is marked with =.

    \b
    bough diff main ideas
    bough diff main..ideas --side-by-side
    bough diff HEAD@{1}             what the last operation changed
    bough diff v1 --stat
    """
    from bough.cli.comparing import (
        Comparison,
        ancestor_line,
        head_lines,
        hunks_json,
        is_same,
        name_of,
        stat_json,
        stat_line,
        unified,
    )
    from bough.cli.comparing import side_by_side as in_columns
    from bough.diff import compare, twins
    from bough.history import length
    from bough.manager.looking import side_of
    from bough.revisions import short_ids

    with app.manager() as manager:
        old, new = _sides(manager, before, after)
        diff = compare(side_of(old), side_of(new))
        branches = manager.store.load(manager.session_id).branches
        old_name, new_name = (name_of(side, branches) for side in (old, new))
        short = short_ids(branches.values())
        segment, _, stop = diff.ancestor[-1] if diff.ancestor else ("", 0, 0)
        answer = {
            "before": {"revision": old.text, "branch": old.branch_id, "length": length(old.history)},
            "after": {"revision": new.text, "branch": new.branch_id, "length": length(new.history)},
            "ancestor": {"length": length(diff.ancestor), "id": [segment, stop - 1] if segment else None},
            "stat": stat_json(diff),
        }
        if stat:
            app.answer(answer, ancestor_line(diff, short), stat_line(diff))
            return
        found = twins(diff, manager.read_messages)
        comparison = Comparison(diff, old_name, new_name, manager.read_messages, found)
        if app.json:
            same = [{"before": twin.index_before + 1, "after": twin.index_after + 1} for twin in found]
            app.answer({**answer, "hunks": hunks_json(comparison), "twins": same})
            return
        width = get_terminal_size((100, 24)).columns
        for line in head_lines(comparison, short):
            click.echo(line)
        if is_same(diff):
            click.echo("No differences.")
            return
        for line in (in_columns if side_by_side else unified)(comparison, width):
            click.echo(line)


def _sides(manager: ConversationBranchManager, before: str | None, after: str | None) -> tuple[Revision, Revision]:
    if before is not None and after is not None:
        return manager.resolve(before), manager.resolve(after)
    if before is None:
        before = manager.get_current_branch().parent_id
        if before is None:
            raise click.UsageError("The current branch grew from no other: say what it shall be compared with.")
    return find_range(manager, before) or (manager.resolve(before), manager.resolve("HEAD"))
