"""``bough search``: the messages that hold what one looks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import BRANCH, App, Command, branch_id, pass_app

if TYPE_CHECKING:
    from bough.hits import SearchHit
    from bough.model import Finding
    from bough.stores.base import Store

LIMIT = 20
MIN_ROOM = 20
"""Cells that the text of a message has, however narrow the terminal is."""


@click.command("search", cls=Command)
@click.argument("query", nargs=-1, required=True)
@click.option("--branch", type=BRANCH, help="Only the messages of this branch.")
@click.option("--all", "everywhere", is_flag=True, help="In all sessions.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=LIMIT, metavar="N", help=f"The newest N ({LIMIT}).")
@pass_app
def command(app: App, query: tuple[str, ...], branch: str | None, everywhere: bool, limit: int) -> None:
    """Find messages by their words, the newest first.

    Case and accents make no difference. A message that several branches hold
    is one hit. Single quotes keep the shell from changing the query.

    \b
    bough search paris hotel               both words
    bough search 'paris OR rome'           one of them
    bough search '"night train"'           together, in this order
    bough search 'trai*'                   words that begin so
    bough search 'paris -(hotel OR inn)'   without
    bough search --all invoice             in all sessions
    """
    from bough.hits import find

    if everywhere and branch is not None:
        raise click.UsageError("--branch is one of a session's, so it does not go with --all")
    text, session, within = " ".join(query), None, None
    told: set[Finding] = set()
    with ExitStack() as stack:
        if everywhere:
            store = stack.enter_context(app.store())
        else:
            manager = stack.enter_context(app.manager())
            store, session = manager.store, manager.session_id
            within = None if branch is None else branch_id(manager, branch)
            told.update(store.load(session).findings)
        hits = find(store, text, session_id=session, branch_id=within, limit=limit + 1)
        shown, more = hits[:limit], len(hits) > limit
        for finding in hits.findings:
            if finding not in told:
                app.warn(f"{finding.place}: {finding.problem}")
        if app.json:
            app.answer({"query": text, "hits": [_as_json(hit) for hit in shown], "more": more})
            return
        for line in _lines(store, text, shown, with_session=everywhere):
            click.echo(line)
        if more:
            click.echo(click.style(f"· · there are more: -n {2 * limit}", dim=True))
        elif not shown:
            click.echo("No message matches.")


def _as_json(hit: SearchHit) -> dict[str, Any]:
    return {
        "session": hit.session_id,
        "branch": hit.branch_id,
        "number": hit.index + 1,
        "id": [hit.segment, hit.position],
        "branches": [{"id": name, "number": index + 1} for name, index in hit.branches.items()],
        "snippet": hit.snippet,
        "matches": [list(match) for match in hit.matches],
        "message": hit.message,
    }


def _lines(store: Store, text: str, hits: list[SearchHit], *, with_session: bool) -> Iterator[str]:
    """A line a hit: where, who, what."""
    from bough.cli.drawing import Labels, role_label, style_role
    from bough.cli.text import count, plain, width_of
    from bough.search import parse, snippet, text_of

    query = parse(text)
    labels = {name: Labels(store.load(name).branches, "") for name in {hit.session_id for hit in hits}}
    width = get_terminal_size((100, 24)).columns
    for hit in hits:
        place = f"{labels[hit.session_id].short(hit.branch_id, mark='')}:{hit.index + 1}"
        if with_session:
            place = f"{plain(hit.session_id)}/{place}"
        role = role_label(hit.message)
        start = f"{click.style(place, fg='yellow')} {style_role(role, role)} "
        if len(hit.branches) > 1:
            start += click.style(f"(+{count(len(hit.branches) - 1, 'branch')}) ", dim=True)
        room = max(width - width_of(click.unstyle(start)), MIN_ROOM)
        yield start + _paint(*snippet(text_of(hit.message), query, room), room)


def _paint(text: str, matches: tuple[tuple[int, int], ...], room: int) -> str:
    """The snippet, safe for a terminal, its matches in colour, cut to ``room`` cells."""
    from bough.cli.text import fit, plain, width_of

    out, at = "", 0
    for begin, end in (*matches, (len(text), len(text))):
        for part, is_match in ((text[at:begin], False), (text[begin:end], True)):
            safe = plain(part)
            cut = fit(safe, room)
            out += click.style(cut, fg="red", bold=True) if cut and is_match else cut
            if cut != safe:
                return out
            room -= width_of(cut)
        at = end
    return out
