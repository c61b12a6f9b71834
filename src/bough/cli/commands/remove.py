"""``bough remove``: take messages out of a branch."""

from __future__ import annotations

import re

import click

from bough.cli.app import BRANCH, App, Command, pass_app

_MESSAGES = re.compile(r"(?:(?P<branch>.*):)?(?P<first>-?\d+)(?:(?P<dots>\.\.)(?P<last>-?\d+)?)?", re.DOTALL)


@click.command("remove", cls=Command)
@click.argument("messages", metavar="[BRANCH:]FIRST[..LAST]", type=BRANCH)
@pass_app
def command(app: App, messages: str) -> None:
    """Take messages out of a branch, FIRST and LAST among them.

    Numbers count from 1, or from the end where they are negative. BRANCH is the
    current one where none is given. What is removed stays in the log, and in
    the branches that share it.

    \b
    bough remove 4
    bough remove 4..7
    bough remove ideas:3..    from the third to the last
    bough remove :-1          the last one
    """
    from bough.cli.app import branch_id, branch_json, find_branch
    from bough.cli.text import count, plain

    found = _MESSAGES.fullmatch(messages)
    if found is None:
        raise click.UsageError(f"{messages!r} names no messages: they are written 4, 4..7 or BRANCH:4..7")
    with app.manager() as manager:
        branch = find_branch(manager, branch_id(manager, found["branch"]) if found["branch"] else None)
        start = _number(branch.id, len(branch.messages), found["first"])
        last = found["last"] or ("-1" if found["dots"] else found["first"])
        stop = _number(branch.id, len(branch.messages), last)
        if stop < start:
            raise click.UsageError(f"{messages!r} ends before it begins")
        version = manager.remove_messages(start - 1, stop, branch_id=branch.id)
        removed = stop - start + 1
        text = (
            f"Removed {count(removed, 'message')} from {plain(branch.id)}, which has {version.length:,} now."
            f" `bough undo` brings {'it' if removed == 1 else 'them'} back."
        )
        result = {"branch": branch_json(find_branch(manager, branch.id)), "removed": removed}
        app.answer({**result, "operation": version.operation}, text)


def _number(branch: str, length: int, text: str) -> int:
    from bough.errors import InvalidRequestError

    number = int(text)
    at = number if number >= 0 else length + 1 + number
    if not 1 <= at <= length:
        raise InvalidRequestError(f"branch {branch!r} has no message {number}", hint=f"it has {length}")
    return at
