"""``bough import``: bring conversations of other programs in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
    from bough.cli.importing import Account, Imported

LISTED = 10
"""Sessions that are named for people."""


@click.command("import", cls=Command)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
@click.option("--into", metavar="STORE", help="The store that they come into; the one of --store if absent.")
@click.option("--format", "format_", metavar="NAME", help="What the files are; recognised where it is not given.")
@click.option("--raw", is_flag=True, help="Keep the original of each message in its metadata.")
@click.option("--dry-run", is_flag=True, help="Read everything, write nothing, and say what there is.")
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    paths: tuple[str, ...],
    into: str | None,
    format_: str | None,
    raw: bool,
    dry_run: bool,
) -> None:
    """Bring conversations of other programs in.

    A PATH is a file (also zipped or compressed), a folder, or - for standard input: exports of ChatGPT and Claude.ai,
    sessions of Claude Code, Codex and pi, Open WebUI, LibreChat, SillyTavern, OpenAssistant, ShareGPT, OpenAI chats and
    Responses, databases of the OpenAI Agents SDK, LangGraph and llm, folders of Code Buddy. What it is shows in what it
    says.

    Each conversation becomes a session of its own, with its branches, named by what the file says (--session has no say
    here). Imported again, only what is new comes in; so it does where an import was interrupted. What cannot be read is
    reported with its place, and the rest comes in. The files are only read.

    \b
    bough import export.zip
    bough import ~/.claude/projects --dry-run
    bough import trees.jsonl --into sqlite:talks.db
    curl https://example.org/chats.jsonl | bough import -
    """
    from bough.cli.importing import Account, bring_in
    from bough.errors import BoughError, InvalidRequestError

    account = Account()
    with app.store(into) as store:
        if store.url == "memory:" and not dry_run:
            raise InvalidRequestError(
                "all that comes into memory: is lost when this command ends", hint="--dry-run says what there is"
            )
        bring_in(account, store, paths, format_=format_, raw=raw, dry_run=dry_run, quiet=app.json)
    if not account.sessions and len(paths) == len(account.refused) == 1:
        raise account.refused[0]
    for defect in account.defects:
        at = defect["file"] if defect["line"] is None else f"{defect['file']}:{defect['line']}"
        app.warn(defect["reason"] if defect["reason"].startswith(at) else f"{at}: {defect['reason']}")
    if account.ended_by is not None:
        why = "interrupted" if isinstance(account.ended_by, int) else str(account.ended_by)
        app.warn(f"{why}; what is counted here came in, and the same import again brings the rest")
    elif account.bug is None and not account.sessions:
        raise BoughError("nothing could be imported", hint=_why_nothing(account, paths))
    url = into or app.store_url
    there = "" if url in (None, os.environ.get("BOUGH_STORE")) else f" --store {quote(str(url))}"
    app.answer(_json(account, dry_run=dry_run), *_totals(account, dry_run), *_sessions(account, dry_run, there))
    if account.bug is not None:
        raise account.bug  # with its traceback, as any mistake of ours
    if isinstance(account.ended_by, int):
        ctx.exit(128 + account.ended_by)
    ctx.exit(0 if account.ended_by is None else 1)


def _why_nothing(account: Account, paths: Sequence[str]) -> str:
    hints = [getattr(error, "hint", "") for error in (*account.refused, *account.kept_out)]
    hints += [] if account.kept_out else [f"no conversation that could be read is in {', '.join(paths)}"]
    return next(filter(None, hints), "")


def _json(account: Account, *, dry_run: bool) -> dict[str, Any]:
    return {
        "found": account.found,
        "new": None if dry_run else account.new,
        "sessions": [
            {
                "id": session.id,
                "title": session.title,
                "state": None if dry_run else session.state,
                "conversations": session.conversations,
                "found": session.found,
                "new": None if dry_run else session.new,
            }
            for session in account.sessions.values()
        ],
        "defects": account.defects,
        "interrupted": account.ended_by is not None,
    }


def _totals(account: Account, dry_run: bool) -> list[str]:
    from bough.cli.text import table

    lost = sum(not defect["kept"] for defect in account.defects)
    rows: list[tuple[object, ...]] = [
        (name, number, "" if dry_run else account.new[name]) for name, number in account.found.items()
    ]
    rows.append(("left out", lost, ""))
    if len(account.defects) > lost:
        rows.append(("mended", len(account.defects) - lost, ""))
    return table(("", "found", "" if dry_run else "new"), rows)


def _sessions(account: Account, dry_run: bool, there: str) -> Iterator[str]:
    """The sessions that were made or grew, those that did not, and what to type next."""
    from bough.cli.text import count, plain

    told = [session for session in account.sessions.values() if dry_run or session.state != "unchanged"]
    if told:
        yield ""
        yield from _listed(told[:LISTED], dry_run)
    if len(told) > LISTED:
        yield f"… and {len(told) - LISTED:,} more"
    notes = []
    if len(told) < len(account.sessions):
        notes.append(f"{count(len(account.sessions) - len(told), 'session')} had nothing new.")
    again = account.found["sessions"] - len(account.sessions)
    if again:
        notes.append(
            f"{again:,} of the {account.found['sessions']:,} conversations found are the same as one before: "
            "they share its session."
        )
    if told and not dry_run:
        first = plain(quote(told[0].id))
        notes.append(f"`bough{there} log --session {first}` shows the first one; `bough{there} sessions` lists all.")
    if notes:
        yield ""
        yield from notes


def _listed(sessions: list[Imported], dry_run: bool) -> list[str]:
    """A line each: what is new of it, or with ``dry_run`` what there is."""
    from bough.cli.text import fit, plain, table

    head = ["session", "", "branches", "messages", "title"]
    rows = []
    for session in sessions:
        counts = session.found if dry_run else session.new
        state = "" if dry_run else session.state
        title = fit(plain(session.title or ""), 40)
        rows.append([fit(plain(session.id), 60), state, counts["branches"], counts["messages"], title])
    return table(head, rows)
