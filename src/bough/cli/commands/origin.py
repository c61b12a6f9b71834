"""``bough origin``: where a message comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, pass_app

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager
    from bough.merge.result import Origin
    from bough.model import History, Message


@click.command("origin", cls=Command)
@click.argument("revision", type=REVISION, default="HEAD")
@pass_app
def command(app: App, revision: str) -> None:
    """Show where a message comes from: the last one of REVISION.

    On which branch it was written, which operation brought it here, which
    wording it replaced, and for which messages it stands.

    \b
    bough origin main:12      the twelfth message of main
    bough origin 3f9a.11      a message by its id
    bough origin              the last one of the current branch
    """
    from bough.cli.naming import count_named
    from bough.cli.operations import as_json
    from bough.model import Piece

    with app.manager() as manager:
        number = count_named(manager, revision)
        origin = manager.origin(revision if number is None else f":{number}")
        [message] = manager.read_messages((Piece(origin.segment, origin.position, origin.position + 1),))
        first = _first_wording(manager, origin)
        stands_for = _read(manager, origin.stands_for)
        came = origin.came_by
        if app.json:
            app.answer(
                {
                    "id": [origin.segment, origin.position],
                    "branch": origin.branch_id,
                    "written_on": origin.written_on,
                    "came_by": came and as_json(came, undone=False),
                    "original": origin.original and {"id": list(origin.original), "message": first},
                    "stands_for": [{"id": list(id_), "message": each} for id_, each in stands_for],
                    "message": message,
                }
            )
            return
        for line in _lines(manager, origin, message, first, stands_for):
            click.echo(line)


def _lines(
    manager: ConversationBranchManager,
    origin: Origin,
    message: Message,
    first: Message | None,
    stands_for: list[tuple[tuple[str, int], Message | None]],
) -> Iterator[str]:
    from bough.cli.comparing import changed_lines, marked
    from bough.cli.drawing import role_label, style_role
    from bough.cli.operations import who, words
    from bough.cli.text import count, first_line, plain
    from bough.parts import gist
    from bough.revisions import short_ids

    known = short_ids(manager.store.load(manager.session_id).branches.values())

    def short(id_: tuple[str, int]) -> str:
        return click.style(plain(known(*id_)), dim=True)

    def said(each: Message | None) -> str:
        if each is None:
            return "erased, or it cannot be read"
        role = role_label(each)
        return f"{style_role(role, role)} {first_line(gist(each))}"

    yield f"{short((origin.segment, origin.position))} {said(message)}"
    yield "written on   " + (
        "a branch that the log does not know" if origin.written_on is None else plain(origin.written_on)
    )
    if origin.came_by is None:
        yield "came by      being added" + ("" if origin.branch_id is None else f" to {plain(origin.branch_id)}")
    else:
        came = origin.came_by
        yield f"came by      operation {came.number}: {plain(words(came))}"
        yield f"             {came.at.astimezone():%Y-%m-%d %H:%M}, {plain(who(came, verbose=True))}"
    if origin.original is not None:
        yield f"replaces     {short(origin.original)} {said(first)}"
        if first is not None:
            yield from (f"             {marked(spans)}" for spans in changed_lines(first, message))
    if stands_for:
        yield f"stands for   {count(len(stands_for), 'message')}"
        yield from (f"             {short(id_)} {said(each)}" for id_, each in stands_for)


def _first_wording(manager: ConversationBranchManager, origin: Origin) -> Message | None:
    from bough.model import Piece

    if origin.original is None:
        return None
    segment, position = origin.original
    [(_, first)] = _read(manager, (Piece(segment, position, position + 1),))
    return first


def _read(manager: ConversationBranchManager, pieces: History) -> list[tuple[tuple[str, int], Message | None]]:
    """The messages with their identities; None for what was given up or is damaged."""
    from bough.errors import CorruptBranchError
    from bough.model import Piece

    found: list[tuple[tuple[str, int], Message | None]] = []
    for segment, start, stop in pieces:
        for position in range(start, stop):
            message: Message | None = None
            with suppress(CorruptBranchError):
                [message] = manager.read_messages((Piece(segment, position, position + 1),))
            found.append(((segment, position), message))
    return found
