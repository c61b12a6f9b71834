"""What diagrams say of a run of messages, and which runs are joined: for Mermaid and Graphviz alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bough import history
from bough.parts import role_of
from bough.transfer.export.talk import Exported, Merge
from bough.transfer.export.text import first_line
from bough.transfer.export.tree import Run, Tree

MAX_TEXT = 40
MAX_NAME = 40
MAX_NAMES = 5


class Edge(NamedTuple):
    """From a run to another, by number; with the merge that it stands for."""

    source: int
    target: int
    merge: Merge | None = None


def nodes(tree: Tree) -> Iterator[Run]:
    """The runs, before them the root where a branch has no messages."""
    if tree.root.branches:
        yield tree.root
    yield from tree.runs


def label(talk: Exported, run: Run) -> list[str]:
    """The lines of a run's label: the branches and tags that end here, how many messages, how the first begins."""
    count = run.length
    names = [record.id for record in run.branches] + [f"tag {name}" for name in run.tags]
    lines = [_cut(name) for name in names[:MAX_NAMES]]
    if len(names) > MAX_NAMES:
        lines.append(f"and {len(names) - MAX_NAMES} more")
    if not count:
        return [*lines, "no messages"]
    numbers = f"message {run.stop}" if count == 1 else f"{count} messages, {run.start + 1} to {run.stop}"
    [message] = talk.read(history.cut(run.pieces, 0, 1))
    return [*lines, numbers, f"{_cut(role_of(message))}: {first_line(message, MAX_TEXT)}"]


def edges(tree: Tree) -> Iterator[Edge]:
    """Each run with the one that it grew from; what was merged with the run that it came to."""
    for run in tree.runs:
        if run.parent is not None and run.parent is not tree.root:
            yield Edge(run.parent.number, run.number)
        for merge in run.merges:
            yield Edge(tree.ends[merge.brought].number, run.number, merge)


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
