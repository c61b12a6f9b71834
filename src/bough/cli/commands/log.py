"""``bough log``: the messages, newest first; with ``--graph`` the tree of branches."""

from __future__ import annotations

from collections.abc import Iterator
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import BRANCH, App, Command, branch_id, pass_app

if TYPE_CHECKING:
    from bough.model import SessionState
    from bough.stores.base import Store

BODY_LINES = 4
"""Lines of a message without ``--oneline``; ``bough show`` has them all."""


@click.command("log", cls=Command)
@click.argument("branch", type=BRANCH, required=False)
@click.option("--graph", is_flag=True, help="Draw the tree; long runs of messages are folded.")
@click.option("--all", "everything", is_flag=True, help="All branches, not one.")
@click.option("--oneline", is_flag=True, help="A line a message (--graph always has that).")
@click.option("-n", "limit", type=click.IntRange(min=0), metavar="N", help="Only the newest N messages.")
@click.option("--no-fold", is_flag=True, help="With --graph: every message.")
@pass_app
def command(
    app: App, branch: str | None, graph: bool, everything: bool, oneline: bool, limit: int | None, no_fold: bool
) -> None:
    """Show the messages, newest first, or the tree of branches.

    BRANCH is the current one where none is given. A message's number counts
    from 1: `bough show BRANCH:N` shows it whole, `bough fork --at N` forks behind it.

    \b
    bough log --graph --all       every branch, as a tree
    bough log --oneline -n 20     the last 20 messages
    """
    from bough.cli.drawing import draw_graph

    with app.manager() as manager:
        head = manager.get_current_branch_id()
        only = None if everything else [branch_id(manager, branch or head)]
        store, state = manager.store, manager.store.load(manager.session_id)
        width = get_terminal_size((100, 24)).columns
        if app.json:
            app.answer({"head": head, "messages": list(_as_json(store, state, only, limit))})
        elif graph:
            lines = draw_graph(store, state, head, width=width, only=only, fold=not no_fold, limit=limit)
            for line in lines:
                click.echo(line)
        else:
            for line in _plain_log(store, state, head, only=only, oneline=oneline, limit=limit, width=width):
                click.echo(line)


def _plain_log(
    store: Store,
    state: SessionState,
    head: str,
    *,
    only: list[str] | None,
    oneline: bool,
    limit: int | None,
    width: int,
) -> Iterator[str]:
    from bough.cli.drawing import Labels, fit_after, read_rows, role_label, style_role
    from bough.cli.graph import MessageRow, lay_out
    from bough.cli.messages import text_of
    from bough.cli.text import count, first_line, plain_lines

    labels = Labels(state.branches, head)
    for block, messages in read_rows(store, state.session_id, lay_out(state.branches, only=only), limit):
        for row in block:
            if not isinstance(row, MessageRow):
                continue
            message = messages[row.identity]
            role = role_label(message)
            number = str(row.number) if only else f"{labels.short(row.branch, mark='')}:{row.number}"
            start = f"{click.style(number, fg='yellow')} {style_role(role, role)} "
            start += labels.of(row.tips) + labels.origin(row.origin)
            if oneline:
                yield start + fit_after(start, first_line(text_of(message)), width)
                continue
            yield start.rstrip()
            lines = [line for line in plain_lines(text_of(message)) if line.strip()]
            yield from ("    " + fit_after("    ", line, width) for line in lines[:BODY_LINES])
            if len(lines) > BODY_LINES:
                yield click.style(f"    · · {count(len(lines) - BODY_LINES, 'line')}", dim=True)
            yield ""


def _as_json(store: Store, state: SessionState, only: list[str] | None, limit: int | None) -> Iterator[dict[str, Any]]:
    from bough.cli.drawing import read_rows
    from bough.cli.graph import MessageRow, lay_out

    for block, messages in read_rows(store, state.session_id, lay_out(state.branches, only=only), limit):
        for row in block:
            if isinstance(row, MessageRow):
                yield {
                    "branch": row.branch,
                    "number": row.number,
                    "id": list(row.identity),
                    "tips": list(row.tips),
                    "from": row.origin,
                    "message": messages[row.identity],
                }
