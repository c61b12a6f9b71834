"""``bough log``: the messages, newest first; with ``--graph`` the tree of branches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from bough.cli.app import REVISION, App, Command, find_range, pass_app

if TYPE_CHECKING:
    from bough.cli.graph import Row
    from bough.manager import ConversationBranchManager
    from bough.model import History, SessionState
    from bough.revisions import Revision
    from bough.stores.base import Store

BODY_LINES = 4
"""Lines of a message without ``--oneline``; ``bough show`` has them all."""


class _Shown(NamedTuple):
    """What is shown of which state: the branches ``only`` (all if None), of their rows those to ``keep``. ``hide`` are
    branches that do not end where they seem to: they are cut to what was asked for."""

    state: SessionState
    only: list[str] | None = None
    hide: tuple[str, ...] = ()
    keep: Callable[[Row], bool] = lambda _: True
    is_range: bool = False


@click.command("log", cls=Command)
@click.argument("revision", type=REVISION, required=False)
@click.option("--graph", is_flag=True, help="Draw the tree; long runs of messages are folded.")
@click.option("--all", "everything", is_flag=True, help="All branches, not one.")
@click.option("--oneline", is_flag=True, help="A line a message (--graph always has that).")
@click.option("-n", "limit", type=click.IntRange(min=0), metavar="N", help="Only the newest N messages.")
@click.option("--no-fold", is_flag=True, help="With --graph: every message.")
@pass_app
def command(
    app: App, revision: str | None, graph: bool, everything: bool, oneline: bool, limit: int | None, no_fold: bool
) -> None:
    """Show the messages, newest first, or the tree of branches.

    REVISION is the current branch where none is given. A message's number counts
    from 1: `bough show BRANCH:N` shows it whole, `bough fork --at N` forks behind it.
    The id behind it (3f9a.12) names it wherever it is.

    \b
    bough log --graph --all       every branch, as a tree
    bough log --oneline -n 20     the last 20 messages
    bough log main..ideas         what ideas has and main has not
    bough log main@{1}            main before its last operation
    """
    from bough.cli.drawing import draw_graph
    from bough.cli.text import plain

    with app.manager() as manager:
        head, store, width = manager.get_current_branch_id(), manager.store, get_terminal_size((100, 24)).columns
        shown = _all(manager) if everything else _shown(manager, revision or "HEAD")
        if app.json:
            app.answer({"head": head, "messages": list(_as_json(store, shown, head, limit))})
        elif graph:
            lines = draw_graph(
                store,
                shown.state,
                head,
                width=width,
                only=shown.only,
                fold=not no_fold and not shown.is_range,
                limit=limit,
                keep=shown.keep,
                hide=shown.hide,
            )
            for line in lines:
                click.echo(line)
        elif not shown.is_range and shown.only and not any(shown.state.branches[each].length for each in shown.only):
            click.echo(f"{plain(', '.join(shown.only))} has no messages yet.")
        else:
            for line in _plain_log(store, shown, head, oneline=oneline, limit=limit, width=width):
                click.echo(line)


def _all(manager: ConversationBranchManager) -> _Shown:
    return _Shown(manager.store.load(manager.session_id))


def _shown(manager: ConversationBranchManager, text: str) -> _Shown:
    from bough.edits import subtract

    both = find_range(manager, text)
    if both is None:
        return _of(manager, manager.resolve(text))
    before, after = both
    keep = _holding(subtract(after.history, after.edits, before.history, before.edits))
    return _of(manager, after)._replace(keep=keep, is_range=True)


def _of(manager: ConversationBranchManager, revision: Revision) -> _Shown:
    """A revision is shown as its branch, cut; where that goes on otherwise by now, as a branch of its own beside it."""
    from bough import codec
    from bough.cli.comparing import name_of
    from bough.model import BranchRecord, Tip, replace

    state = manager.store.load(manager.session_id)
    record = state.branches.get(revision.branch_id or "")
    if record is not None and record.history == revision.history:
        return _Shown(state, [record.id])
    name = name_of(revision, state.branches)
    if record is None:
        at = codec.now()
        record = BranchRecord(id=name, name=name, history=(), tip=Tip("", 0), created_at=at, updated_at=at)
    cut = replace(record, id=name, history=revision.history, edits=revision.edits)
    return _Shown(replace(state, branches={**state.branches, name: cut}), [name], (name,))


def _holding(pieces: History) -> Callable[[Row], bool]:
    """Whether a row is a message of ``pieces``."""
    from bough.cli.graph import MessageRow
    from bough.history import index_of

    return lambda row: isinstance(row, MessageRow) and index_of(pieces, *row.identity) is not None


def _plain_log(
    store: Store, shown: _Shown, head: str, *, oneline: bool, limit: int | None, width: int
) -> Iterator[str]:
    from bough.attributes import tags_of
    from bough.cli.drawing import Labels, fit_after, read_rows, role_label, style_role
    from bough.cli.graph import MessageRow, lay_out
    from bough.cli.text import count, first_line, plain, plain_lines
    from bough.parts import gist, spoken, text_of
    from bough.revisions import short_ids

    state = shown.state
    labels = Labels(state.branches, head, tags=tags_of(state.attributes), hide=shown.hide)
    short = short_ids(state.branches.values())
    rows = filter(shown.keep, lay_out(state.branches, only=shown.only))
    for block, messages in read_rows(store, state.session_id, rows, limit):
        for row in block:
            if not isinstance(row, MessageRow):
                continue
            message = messages[row.identity]
            role = role_label(message)
            number = str(row.number) if shown.only else f"{labels.short(row.branch, mark='')}:{row.number}"
            start = f"{click.style(number, fg='yellow')} {click.style(plain(short(*row.identity)), dim=True)} "
            start += f"{style_role(role, role)} {labels.of(row)}{labels.origin(row.origin)}{labels.edited(row)}"
            if oneline:
                yield start + fit_after(start, first_line(gist(message)), width)
                continue
            yield start.rstrip()
            lines = [line for line in plain_lines(text_of(spoken(message))) if line.strip()]
            yield from ("    " + fit_after("    ", line, width) for line in lines[:BODY_LINES])
            if len(lines) > BODY_LINES:
                yield click.style(f"    · · {count(len(lines) - BODY_LINES, 'line')}", dim=True)
            yield ""


def _as_json(store: Store, shown: _Shown, head: str, limit: int | None) -> Iterator[dict[str, Any]]:
    from bough.attributes import tags_of
    from bough.cli.drawing import Labels, read_rows
    from bough.cli.graph import MessageRow, lay_out

    state = shown.state
    labels = Labels(state.branches, head, tags=tags_of(state.attributes), hide=shown.hide)
    rows = filter(shown.keep, lay_out(state.branches, only=shown.only))
    for block, messages in read_rows(store, state.session_id, rows, limit):
        for row in block:
            if isinstance(row, MessageRow):
                yield {
                    "branch": row.branch,
                    "number": row.number,
                    "id": list(row.identity),
                    "tips": [name for name in row.tips if name not in shown.hide],
                    "tags": labels.tags(row),
                    "from": row.origin,
                    "edited": labels.is_edited(row),
                    "message": messages[row.identity],
                }
