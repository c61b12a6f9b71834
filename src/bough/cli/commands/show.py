"""``bough show``: a conversation in its order, or one message whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, pass_app

if TYPE_CHECKING:
    from bough.model import Message


@click.command("show", cls=Command)
@click.argument("revision", metavar="[REVISION]", type=REVISION, required=False)
@pass_app
def command(app: App, revision: str | None) -> None:
    """Show a conversation in its order, or one message whole.

    REVISION is the current branch where none is given. With BRANCH:N, or N
    alone, it is one message; N counts from 1, or from the end where it is
    negative. `bough help revisions` has the other ways to name something.

    \b
    bough show             the conversation
    bough show main:3      the third message of main
    bough show :-1         the last message of the current branch
    bough show 3f9a.12     a message, by the id that `bough log` shows
    bough show main~3      main without its last three
    bough show main@{1}    main before its last operation
    """
    from bough import history
    from bough.branch import Messages
    from bough.cli.app import branch_json
    from bough.cli.naming import named
    from bough.cli.text import plain
    from bough.revisions import HEAD

    with app.manager() as manager:
        found, number = named(manager, HEAD if revision is None else revision)
        branches = {branch.id: branch for branch in manager.get_all_branches()}
        branch = branches.get(found.branch_id or "")
        shown = None if branch is None else branch_json(branch)
        if number is not None:
            [message] = manager.read_messages(history.cut(found.history, number - 1, number))
            app.answer({"branch": shown, "number": number, "message": message}, *_whole(number, message))
            return
        messages = Messages(manager.store, manager.session_id, found.history)
        if app.json:
            app.answer({"branch": shown, "messages": list(messages)})
            return
        if not messages:
            click.echo(f"{plain(found.text if branch is None else branch.id)} has no messages yet.")
        for at, message in enumerate(messages, 1):
            for line in _conversation_lines(at, message):
                click.echo(line)


def _head(number: int, message: Message) -> str:
    from bough.cli.drawing import role_label, style_role

    role = role_label(message)
    return f"{click.style(str(number), fg='yellow')} {style_role(role, role)}"


def _conversation_lines(number: int, message: Message) -> Iterator[str]:
    from bough.cli.text import plain_lines
    from bough.parts import spoken, text_of

    yield _head(number, message)
    yield from plain_lines(text_of(spoken(message)))
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
