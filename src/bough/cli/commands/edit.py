"""``bough edit``: put another wording in a message's place."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, pass_app

if TYPE_CHECKING:
    from bough.cli.naming import Named
    from bough.manager import ConversationBranchManager
    from bough.model import BranchRecord, Message


@click.command("edit", cls=Command)
@click.argument("revision", type=REVISION)
@click.argument("text", required=False)
@click.option("--message", metavar="JSON", help="A whole message in its place; - reads it from stdin.")
@pass_app
def command(app: App, revision: str, text: str | None, message: str | None) -> None:
    """Change what a message says: the last one of REVISION.

    A number alone is a message of the current branch. TEXT takes the place of
    the content, and the other keys stay; without TEXT your editor opens, or it
    is read from standard input. The old wording stays in the log, and to merges
    both are one message.

    \b
    bough edit 4 "To the sea."
    bough edit ideas:2             in your editor
    bough edit 3f9a.12 < new.txt   by the id that `bough log` shows
    bough edit :-1 --message '{"role": "user", "content": "Hi"}'
    """
    from bough.cli.app import branch_json, find_branch
    from bough.cli.given import parse_message
    from bough.cli.naming import named
    from bough.cli.text import plain

    if text is not None and message is not None:
        raise click.UsageError("Give either TEXT or --message JSON.")
    given = None if message is None else parse_message(message)
    with app.manager() as manager:
        chosen = named(manager, revision)
        if given is None:
            index, record = _place(manager, chosen, revision)
            [present] = manager.get_messages(record.id, start=index, stop=index + 1)
            given = _reworded(present, text)
        with manager.lock():  # an editor may have been open for long: it is the message that counts, not its number
            index, record = _place(manager, chosen, revision)
            version = manager.edit_message(index, given, branch_id=record.id)
        changed = version.operation != record.operation
        at = f"message {index + 1} of {plain(record.id)}"
        line = f"Edited {at}. `bough undo` brings the old wording back." if changed else f"Nothing to change in {at}."
        result = {"branch": branch_json(find_branch(manager, record.id)), "number": index + 1}
        app.answer({**result, "operation": version.operation if changed else None}, line)


def _place(manager: ConversationBranchManager, chosen: Named, text: str) -> tuple[int, BranchRecord]:
    """Where the message stands now, in the branch that the revision was found by."""
    from bough import history
    from bough.errors import InvalidRequestError, RevisionNotFoundError

    pieces, number = chosen.revision.history, chosen.number or history.length(chosen.revision.history)
    if not number:
        raise RevisionNotFoundError(text, "there is no message")
    segment, position = history.identity(pieces, number - 1)
    branch_id = chosen.revision.branch_id
    record = manager.store.load(manager.session_id).branches.get(branch_id or "")
    index = None if record is None else history.index_of(record.history, segment, position)
    if record is None or index is None:
        of = "no branch" if record is None else f"branch {record.id!r} no longer"
        raise InvalidRequestError(
            f"{of} holds message {text!r}", hint="`bough log --all` shows those that can be edited"
        )
    return index, record


def _reworded(message: Message, text: str | None) -> Message:
    """The message with another text. Of a content in parts it is that of the only part that has one."""
    from bough.errors import InvalidRequestError

    content = message.get("content")
    parts = content if isinstance(content, list) else []
    texts = [part for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    if len(texts) == 1:
        new = _new_text(texts[0]["text"]) if text is None else text
        return {**message, "content": [{**part, "text": new} if part is texts[0] else part for part in parts]}
    if not (content is None or isinstance(content, str)):
        raise InvalidRequestError(
            "the message has no one text that could be another", hint="`--message JSON` replaces all of it"
        )
    new = _new_text(content or "") if text is None else text
    return message if content is None and not new else {**message, "content": new}


def _new_text(old: str) -> str:
    from bough.cli.given import text_given

    if not sys.stdin.isatty():
        return text_given()
    edited = click.edit(old)
    if edited is None:
        return old
    return edited if old.endswith("\n") else edited.removesuffix("\n")
