"""What ``bough export`` does beside exporting: which branches are meant, where it goes, and how far it is."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bough.cli.app import find_branch
from bough.cli.newfile import new_file
from bough.cli.text import plain
from bough.model import BranchRecord, replace

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager


def choose(manager: ConversationBranchManager, revision: str | None, branches: tuple[str, ...]) -> list[BranchRecord]:
    """The branches that were asked for, each once; of a revision that is no branch's end, one of its name."""
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


def write(parts: Iterator[bytes], target: Path | None, *, force: bool) -> int:
    """To the file, or to stdout; how many bytes."""
    if target is None:
        _print(parts)
        return 0
    with new_file(target, force=force) as file:
        return sum(file.write(part) for part in parts)


def _print(parts: Iterator[bytes]) -> None:
    """To stdout as it is; on a terminal without what could drive it."""
    if not sys.stdout.isatty():
        out = sys.stdout.buffer
        for part in parts:
            out.write(part)
        out.flush()
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for part in parts:
        click.echo(plain(decoder.decode(part), keep="\n\t"), nl=False)


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Hears how many more messages were read; on a terminal shows how many of all, and how long the rest takes."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Exporting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("messages"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda more: bar.advance(task, more)
