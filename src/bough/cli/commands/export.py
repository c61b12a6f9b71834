"""``bough export``: conversations for other programs, for people, and for git."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bough.cli.app import BRANCH, REVISION, App, Command, pass_app

if TYPE_CHECKING:
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
@click.pass_context
def command(
    ctx: click.Context,
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
    from bough.cli.exporting import choose, progress, write
    from bough.cli.failures import EXIT_CODES
    from bough.cli.newfile import check_new
    from bough.errors import CorruptBranchError
    from bough.transfer.export import EXPORTS, collect, heard, readable, redacted, without_metadata

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
    with app.manager() as manager:
        chosen = None if everything else choose(manager, revision, branches)
        state = manager.store.load(manager.session_id)
        talk = collect(manager.store, state, head=manager.get_current_branch_id(), chosen=chosen)
        steps = EXPORTS[name].reads(talk) + (EXPORTS["git"].reads(talk) if everything else 0)
        with progress(steps, quiet=app.json or target is None) as hear:
            whole, lost = readable(heard(talk, hear)) if everything else (heard(talk, hear), {})
            talk = without_metadata(whole) if plain else whole
            talk = talk if redactor is None else redacted(talk, redactor)
            size = write(EXPORTS[name].write(talk), target, force=force)
    if not any(record.history for record in whole.branches):
        app.warn("there are no messages in what is exported")
    for what, error in lost.items():
        app.warn(f"{what} is left out: {error}")
    if target is not None:
        _answer(app, name, target, whole, size, redactor)
    elif redactor is not None:
        click.echo(_told(redactor), err=True)
    if lost or (everything and any(finding.severity == "error" for finding in state.findings)):
        ctx.exit(EXIT_CODES[CorruptBranchError])


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


def _answer(app: App, name: str, target: Path, talk: Exported, size: int, redactor: Redactor | None) -> None:
    from bough import history
    from bough.cli.text import count, plain

    ids = [record.id for record in talk.branches]
    messages = history.length(history.union(*(record.history for record in talk.branches)))
    result = {
        "format": name,
        "path": str(target),
        "branches": ids,
        "messages": messages,
        "bytes": size,
        "redacted": None if redactor is None else dict(redactor.counts),
    }
    line = f"{plain(str(target))}: {count(len(ids), 'branch')}, {count(messages, 'message')}, {name}, {size:,} bytes."
    app.answer(result, line, *([] if redactor is None else [_told(redactor)]))


def _told(redactor: Redactor) -> str:
    counts = ", ".join(f"{number:,} {name}" for name, number in redactor.counts.most_common())
    return f"Redacted: {counts or 'nothing was found'}."
