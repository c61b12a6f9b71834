"""``bough import``: bring conversations of other programs in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
    from bough.imports import IncomingBranch
    from bough.stores.base import Store
    from bough.transfer import Conversation


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was found in the files, and what of it was new."""

    sessions: int = 0
    branches: int = 0
    messages: int = 0
    new_sessions: int = 0
    new_branches: int = 0
    new_messages: int = 0
    defects: list[dict[str, str | int | None]] = field(default_factory=list)


@click.command("import", cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "format_", metavar="NAME", help="What the files are; recognised where it is not given.")
@pass_app
def command(app: App, files: tuple[Path, ...], format_: str | None) -> None:
    """Bring conversations of other programs in.

    Read are OpenAssistant trees and OpenAI chats, both JSON Lines.
    Each conversation becomes a session of its own, named by what the file says (--session has no say here). Imported
    again, it adds nothing. What cannot be read is reported with its line, and the rest comes in.

    \b
    bough import trees.jsonl
    bough sessions
    """
    from bough.cli.text import table
    from bough.errors import BoughError, UnsupportedFormatError

    tally = Tally()
    unsupported: list[UnsupportedFormatError] = []
    with app.store() as store, _progress(files, quiet=app.json) as progress:
        there = set(store.sessions())
        for file in files:
            try:
                _import_file(store, file, format_, tally, there, progress)
            except UnsupportedFormatError as error:
                unsupported.append(error)
                tally.defects.append({"file": str(file), "line": None, "reason": str(error)})
    if not tally.sessions and len(files) == len(unsupported) == 1:
        raise unsupported[0]
    for defect in tally.defects:
        at = "" if defect["line"] is None else f"{defect['file']}:{defect['line']}: "
        app.warn(f"{at}{defect['reason']}")
    if not tally.sessions:
        raise BoughError(
            "nothing could be imported",
            hint=unsupported[0].hint if unsupported else "the files hold no conversation that could be read",
        )
    found = {"sessions": tally.sessions, "branches": tally.branches, "messages": tally.messages}
    new = {"sessions": tally.new_sessions, "branches": tally.new_branches, "messages": tally.new_messages}
    rows: list[tuple[object, ...]] = [(name, found[name], new[name]) for name in found]
    rows.append(("defects", len(tally.defects), ""))
    app.answer({"found": found, "new": new, "defects": tally.defects}, *table(("", "found", "new"), rows))


def _import_file(
    store: Store, file: Path, format_: str | None, tally: Tally, there: set[str], progress: Callable[[int], object]
) -> None:
    from bough.errors import CorruptBranchError, InvalidRequestError
    from bough.manager import ConversationBranchManager
    from bough.transfer import Conversation, read_conversations

    for item in read_conversations(file, format=format_, progress=progress):
        if not isinstance(item, Conversation):
            tally.defects.append({"file": item.file, "line": item.line, "reason": item.reason})
            continue
        branches = _incoming(item)
        try:
            with ConversationBranchManager(item.session_id, store=store) as manager:
                result = manager.import_branches(branches)
        except (InvalidRequestError, CorruptBranchError) as error:
            tally.defects.append({"file": item.file, "line": item.line, "reason": str(error)})
            continue
        is_new = item.session_id not in there
        there.add(item.session_id)
        tally.sessions += 1
        tally.branches += len(branches)
        tally.messages += len(item.nodes)
        tally.new_sessions += is_new
        tally.new_branches += result.branches + is_new  # a new session has its main before anything comes in
        tally.new_messages += result.messages


def _incoming(conversation: Conversation) -> list[IncomingBranch]:
    from bough.branch import MAIN
    from bough.imports import IncomingBranch, IncomingMessage
    from bough.transfer import paths

    return [
        IncomingBranch(
            id=path.branch_id,
            name=path.name,
            messages=[IncomingMessage(node.id, node.message) for node in path.nodes],
            metadata=conversation.metadata if path.branch_id == MAIN else None,
            created_at=conversation.created_at,
        )
        for path in paths(conversation)
    ]


@contextmanager
def _progress(files: tuple[Path, ...], *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Hears the bytes read of each file in turn; a bar on a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    done = [0, 0]  # the bytes of the files before this one, and of this one

    columns = (TextColumn("Importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(file.stat().st_size for file in files))

        def hear(at: int) -> None:
            if at < done[1]:
                done[0] += done[1]
            done[1] = at
            bar.update(task, completed=sum(done))

        yield hear
