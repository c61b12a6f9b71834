"""``bough show``: a conversation in its order, or one message whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bough.cli.app import BRANCH, App, Command, branch_id, find_branch, pass_app

if TYPE_CHECKING:
    from bough.branch import ConversationBranch
    from bough.manager import ConversationBranchManager
    from bough.model import Message


@click.command("show", cls=Command)
@click.argument("target", metavar="[BRANCH[:N]]", type=BRANCH, required=False)
@pass_app
def command(app: App, target: str | None) -> None:
    """Show a conversation in its order, or one message whole.

    BRANCH is the current one where none is given. N counts from 1, or from the end where it is negative.

    \b
    bough show             the conversation
    bough show main:3      the third message of main
    bough show :-1         the last message of the current branch
    """
    from bough.cli.app import branch_json

    with app.manager() as manager:
        name, number = _parse(manager, target)
        branch = find_branch(manager, name)
        if number is None:
            if app.json:
                app.answer({"branch": branch_json(branch), "messages": list(branch.messages)})
                return
            for at, message in enumerate(branch.messages, 1):
                for line in _conversation_lines(at, message):
                    click.echo(line)
            return
        at = _position(branch, number)
        message = branch.messages[at - 1]
        app.answer({"branch": branch_json(branch), "number": at, "message": message}, *_whole(at, message))


def _parse(manager: ConversationBranchManager, target: str | None) -> tuple[str | None, int | None]:
    """The branch and the number in ``BRANCH:N``; an id may have colons of its own."""
    from bough.errors import BranchNotFoundError

    if target is None:
        return None, None
    name, colon, number = target.rpartition(":")
    try:
        return branch_id(manager, target), None
    except (BranchNotFoundError, ValueError):
        if not colon or not number.removeprefix("-").isdecimal():
            raise
    return name or None, int(number)


def _position(branch: ConversationBranch, number: int) -> int:
    from bough.errors import InvalidRequestError

    length = len(branch.messages)
    position = number if number >= 0 else length + 1 + number
    if not 1 <= position <= length:
        raise InvalidRequestError(f"branch {branch.id!r} has no message {number}", hint=f"it has {length}")
    return position


def _head(number: int, message: Message) -> str:
    from bough.cli.drawing import role_label, style_role

    role = role_label(message)
    return f"{click.style(str(number), fg='yellow')} {style_role(role, role)}"


def _conversation_lines(number: int, message: Message) -> Iterator[str]:
    from bough.cli.messages import text_of
    from bough.cli.text import plain_lines

    yield _head(number, message)
    yield from plain_lines(text_of(message))
    yield ""


def _whole(number: int, message: Message) -> Iterator[str]:
    """The text, then every other key as JSON."""
    from bough.cli.text import json_line, plain_lines

    yield _head(number, message)
    for key, value in message.items():
        if key == "content" and isinstance(value, str):
            yield from plain_lines(value)
        elif key != "role" or not isinstance(value, str):
            yield click.style(json_line({key: value}).decode()[1:-1], dim=True)
