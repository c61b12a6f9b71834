"""``bough export``: conversations for other programs, for people, and for git."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bough.cli.app import BRANCH, REVISION, App, Command, find_branch, pass_app

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager
    from bough.model import BranchRecord, History, Message
    from bough.transfer.export import Exported, Redactor


@click.command("export", cls=Command)
@click.argument("revision", type=REVISION, required=False)
@click.option("--branch", "branches", multiple=True, type=BRANCH, help="This branch; may be given again.")
@click.option("--all", "everything", is_flag=True, help="All branches, tags and merges.")
@click.option("--format", "format_", metavar="NAME", help="One of those below; else what the file's ending says.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file that is new.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@click.option("--plain", is_flag=True, help="Leave out the metadata of each message.")
@click.option("--redact", is_flag=True, help="Take out keys, tokens and e-mail addresses.")
@click.option(
    "--redact-pattern", "own", multiple=True, metavar="REGEX", help="And what this finds; may be given again."
)
@click.option("--redact-list", is_flag=True, help="Show what --redact looks for, and stop.")
@pass_app
def command(
    app: App,
    revision: str | None,
    branches: tuple[str, ...],
    everything: bool,
    format_: str | None,
    output: Path | None,
    force: bool,
    plain: bool,
    redact: bool,
    own: tuple[str, ...],
    redact_list: bool,
) -> None:
    """Write conversations for people, other programs, or git.

    The current branch where nothing else is said. To stdout as Markdown, or to
    FILE in the format of its ending. Formats:

    \b
    markdown .md        html .html          one page, readable offline
    openai-chat .jsonl  sharegpt            a line a branch
    chatgpt .json                           the tree, as ChatGPT exports it
    mermaid .mmd        graphviz .dot       a drawing of the tree
    git .fi             for `git fast-import`: a branch a ref, a message a commit

    \b
    bough export -o talk.md
    bough export main~3 --format openai-chat > part.jsonl
    bough export --all --redact -o talk.html
    git init -b main talk && bough export --all --format git | git -C talk fast-import
    """
    from bough import history
    from bough.cli.newfile import check_new, new_file
    from bough.cli.text import count
    from bough.cli.text import plain as safe
    from bough.transfer.export import EXPORTS, collect, redacted, without_metadata

    if redact_list:
        _list_patterns(app)
        return
    if sum((revision is not None, bool(branches), everything)) > 1:
        raise click.UsageError("a revision, --branch or --all: one of them")
    target = None if output is None or str(output) == "-" else output
    if app.json and target is None:
        raise click.UsageError("with --json the export itself needs a file: -o FILE")
    name = _format(format_, target)
    redactor = _redactor(own) if redact or own else None
    if target is not None:
        check_new(target, force=force)
    with app.manager() as manager, _progress(quiet=app.json or target is None) as hear:
        chosen = None if everything else _chosen(manager, revision, branches)
        state = manager.store.load(manager.session_id)
        _check_any(state.branches if chosen is None else chosen)
        talk = collect(manager.store, state, head=manager.get_current_branch_id(), chosen=chosen)
        ids = [record.id for record in talk.branches]
        messages = history.length(history.union(*(record.history for record in talk.branches)))
        talk = _heard(without_metadata(talk) if plain else talk, hear)
        if redactor is not None:
            talk = redacted(talk, redactor)
        parts = EXPORTS[name].write(talk)
        if target is None:
            _print(parts)
            if redactor is not None:
                click.echo(_told(redactor), err=True)
            return
        size = 0
        with new_file(target, force=force) as file:
            for part in parts:
                size += file.write(part)
    result = {
        "format": name,
        "path": str(target),
        "branches": ids,
        "messages": messages,
        "bytes": size,
        "redacted": None if redactor is None else dict(redactor.counts),
    }
    line = f"{safe(str(target))}: {count(len(ids), 'branch')}, {count(messages, 'message')}, {name}, {size:,} bytes."
    app.answer(result, line, *([] if redactor is None else [_told(redactor)]))


def _format(wanted: str | None, target: Path | None) -> str:
    from bough.transfer.export import EXPORTS, format_of

    name = wanted or ("markdown" if target is None else format_of(target.suffix))
    if name not in EXPORTS:
        said = f"there is no format {wanted!r}" if wanted else f"the ending of {str(target)!r} says no format"
        raise click.UsageError(f"{said}: --format {', '.join(EXPORTS)}")
    return name


def _redactor(own: tuple[str, ...]) -> Redactor:
    import re

    from bough.transfer.export import Redactor

    try:
        return Redactor(own)
    except re.error as error:
        raise click.BadParameter(f"{error.pattern!r}: {error}", param_hint="--redact-pattern") from None


def _list_patterns(app: App) -> None:
    from bough.cli.text import table
    from bough.transfer.export.redact import PATTERNS

    app.answer({"patterns": PATTERNS}, *table(("name", "pattern"), PATTERNS.items()))


def _chosen(manager: ConversationBranchManager, revision: str | None, branches: tuple[str, ...]) -> list[BranchRecord]:
    """The branches that were asked for, each once; of a revision that is no branch's end, one of its name."""
    from bough.model import replace

    if branches:
        records = [find_branch(manager, text).record for text in branches]
        return list({record.id: record for record in records}.values())
    if revision is None:
        return [manager.get_current_branch().record]
    found = manager.resolve(revision)
    record = (manager.get_current_branch() if found.branch_id is None else find_branch(manager, found.branch_id)).record
    if found.history == record.history:
        return [record]
    return [replace(record, id=revision, name=revision, history=found.history, edits=found.edits, parent_id=None)]


def _check_any(chosen: Iterable[object]) -> None:
    from bough.errors import BoughError

    if not list(chosen):
        raise BoughError("there is no branch that can be read")


def _heard(talk: Exported, hear: Callable[[int], object]) -> Exported:
    """The same, which tells how many messages were read."""
    from bough.model import replace

    def read(pieces: History) -> Iterator[Message]:
        count = 0
        for message in talk.read(pieces):
            yield message
            count += 1
            if count == 500:
                hear(count)
                count = 0
        hear(count)

    return replace(talk, read=read)


def _print(parts: Iterator[bytes]) -> None:
    """To stdout as it is; on a terminal without what could drive it."""
    from bough.cli.text import plain

    if not sys.stdout.isatty():
        out = sys.stdout.buffer
        for part in parts:
            out.write(part)
        out.flush()
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for part in parts:
        click.echo(plain(decoder.decode(part), keep="\n\t"), nl=False)


def _told(redactor: Redactor) -> str:
    counts = ", ".join(f"{number:,} {name}" for name, number in redactor.counts.most_common())
    return f"Redacted: {counts or 'nothing was found'}."


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Hears how many more messages were read; on a terminal shows how many, and how fast."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    told = TextColumn("Exporting {task.completed:,.0f} messages")
    columns = (SpinnerColumn(), told, TextColumn("{task.fields[rate]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate="")

        def hear(more: int) -> None:
            bar.advance(task, more)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f}/s" if speed else "")

        yield hear
