"""``bough import``: bring conversations of other programs in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
    from bough.imports import IncomingBranch, IncomingEntry
    from bough.stores.base import Store
    from bough.transfer import Conversation, Node


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was found, what of it was new, and what was wrong."""

    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("sessions", "branches", "messages"), 0))
    new: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("sessions", "branches", "messages"), 0))
    defects: list[dict[str, Any]] = field(default_factory=list)

    def note(self, file: str, line: int | None, reason: str, *, kept: bool = False) -> None:
        self.defects.append({"file": file, "line": line, "reason": reason, "kept": kept})


@click.command("import", cls=Command)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--into", metavar="STORE", help="The store that they come into; the one of --store if absent.")
@click.option("--format", "format_", metavar="NAME", help="What the files are; recognised where it is not given.")
@click.option("--raw", is_flag=True, help="Keep the original of each message in its metadata.")
@click.option("--dry-run", is_flag=True, help="Read everything, write nothing, and say what there is.")
@pass_app
def command(app: App, paths: tuple[Path, ...], into: str | None, format_: str | None, raw: bool, dry_run: bool) -> None:
    """Bring conversations of other programs in.

    A PATH is a file, a zip or a folder: exports of ChatGPT and Claude.ai, sessions of Claude Code, Codex and pi, Open
    WebUI, LibreChat, SillyTavern, OpenAssistant, ShareGPT, OpenAI chats and Responses, databases of the OpenAI Agents
    SDK, LangGraph and llm, folders of Code Buddy. What it is shows in what it says.

    Each conversation becomes a session of its own, with its branches, named by what the file says (--session has no say
    here). Imported again, only what is new comes in. What cannot be read is reported with its place, and the rest comes
    in. The files are only read.

    \b
    bough import export.zip
    bough import ~/.claude/projects --dry-run
    bough import trees.jsonl --into sqlite:talks.db
    """
    from bough.cli.text import table
    from bough.errors import BoughError, UnsupportedFormatError

    tally = Tally()
    unsupported: list[UnsupportedFormatError] = []
    with app.store(into) as store, _progress(paths, quiet=app.json) as progress:
        there = set(store.sessions())
        for path in paths:
            try:
                _import(store, path, format_, tally, there, progress, raw=raw, dry_run=dry_run)
            except UnsupportedFormatError as error:
                unsupported.append(error)
                tally.note(str(path), None, str(error))
    if not tally.found["sessions"] and len(paths) == len(unsupported) == 1:
        raise unsupported[0]
    for defect in tally.defects:
        at = defect["file"] if defect["line"] is None else f"{defect['file']}:{defect['line']}"
        app.warn(defect["reason"] if defect["reason"].startswith(at) else f"{at}: {defect['reason']}")
    if not tally.found["sessions"]:
        raise BoughError(
            "nothing could be imported",
            hint=unsupported[0].hint if unsupported else "the files hold no conversation that could be read",
        )
    new = None if dry_run else tally.new
    lost = sum(not defect["kept"] for defect in tally.defects)
    rows: list[tuple[object, ...]] = [
        (name, count, "" if new is None else new[name]) for name, count in tally.found.items()
    ]
    rows.append(("left out", lost, ""))
    if len(tally.defects) > lost:
        rows.append(("mended", len(tally.defects) - lost, ""))
    answer = {"found": tally.found, "new": new, "defects": tally.defects}
    app.answer(answer, *table(("", "found", "" if dry_run else "new"), rows))


def _import(
    store: Store,
    path: Path,
    format_: str | None,
    tally: Tally,
    there: set[str],
    progress: Callable[[int], object],
    *,
    raw: bool,
    dry_run: bool,
) -> None:
    from bough.errors import CorruptBranchError
    from bough.transfer import Conversation, read_conversations

    work = _look_through if dry_run else _bring_in
    for item in read_conversations(path, format=format_, raw=raw, progress=progress):
        if not isinstance(item, Conversation):
            tally.note(item.file, item.line or None, item.reason, kept=item.kept)
            continue
        try:
            work(store, item, tally, there)
        except (ValueError, CorruptBranchError) as error:  # a request that cannot be, or a file that changes meanwhile
            tally.note(item.file, item.line, str(error))


def _look_through(_: Store, item: Conversation, tally: Tally, __: set[str]) -> None:
    from bough.transfer import paths

    tally.found["messages"] += sum(len(node.messages()) for node in item.nodes)
    tally.found["branches"] += sum(1 for _ in paths(item))
    tally.found["sessions"] += 1


def _bring_in(store: Store, item: Conversation, tally: Tally, there: set[str]) -> None:
    from bough.manager import ConversationBranchManager

    branches = _incoming(item)
    with ConversationBranchManager(item.session_id, store=store) as manager:
        result = manager.import_branches(branches, metadata={"title": item.title} if item.title else {})
    is_new = item.session_id not in there
    there.add(item.session_id)
    for name, found, new in (
        ("sessions", 1, is_new),
        ("branches", len(branches), result.branches + is_new),  # a new session has its main before anything comes in
        ("messages", result.came, result.messages),
    ):
        tally.found[name] += found
        tally.new[name] += new


def _incoming(conversation: Conversation) -> list[IncomingBranch]:
    from bough.branch import MAIN
    from bough.imports import IncomingBranch
    from bough.transfer import paths

    return [
        IncomingBranch(
            id=path.branch_id,
            name=path.name,
            entries=_Entries(path.nodes),
            parent_id=path.parent_id,
            shared=path.shared,
            metadata=conversation.metadata if path.branch_id == MAIN else None,
            created_at=conversation.created_at,
        )
        for path in paths(conversation)
    ]


class _Entries(Sequence["IncomingEntry"]):
    """Nodes as what comes in, one at a time: there may be a million."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, index: int) -> IncomingEntry: ...
    @overload
    def __getitem__(self, index: slice) -> _Entries: ...
    def __getitem__(self, index: int | slice) -> IncomingEntry | _Entries:
        from bough.imports import IncomingEntry

        if isinstance(index, slice):
            return _Entries(self._nodes[index])
        return IncomingEntry(self._nodes[index].messages)


@contextmanager
def _progress(paths: tuple[Path, ...], *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Hears the bytes read of each path in turn; a bar with the rate on a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from bough.transfer.sources import sources

    done = [0, 0]  # the bytes of the paths before this one, and of this one

    columns = (TextColumn("Importing"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(source.size for path in paths for source in sources(path)))

        def hear(at: int) -> None:
            if at < done[1]:
                done[0] += done[1]
            done[1] = at
            bar.update(task, completed=sum(done))

        yield hear
