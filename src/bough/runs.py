"""Histories as one tree of runs: a run is a stretch of messages that the same histories share. Pure.

1. A place in the tree is a message *and* all that comes before it. So a message that was merged has two.
2. A run ends where a history ends, or begins to differ from another. The root has no messages.
3. Children stand in the order of the first history that goes through them.
4. Nothing recurses, and the cost depends on pieces, never on the number of messages.

What it deliberately does not know: branches, tags, merges. Who draws or exports the tree has a kind of run of its own
for what ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeAlias, TypeVar

from bough import history
from bough.model import History, Piece

Identity: TypeAlias = tuple[str, int]


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """Messages ``start + 1 … stop`` of every history that goes through it. ``children`` are by their first message."""

    pieces: History
    start: int
    parent: Self | None = None
    children: dict[Identity, Self] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return history.length(self.pieces)

    @property
    def stop(self) -> int:
        return self.start + self.length


AnyRun = TypeVar("AnyRun", bound=Run)


def grow(kind: type[AnyRun], histories: Iterable[History]) -> tuple[AnyRun, dict[History, AnyRun]]:
    """The root, and the run that each history ends with."""
    root = kind(pieces=(), start=0)
    return root, {pieces: _add(root, pieces) for pieces in histories}


def walk(root: AnyRun) -> Iterator[AnyRun]:
    """The root and every run above it, each before its children."""
    pending = [root]
    while pending:
        run = pending.pop()
        yield run
        pending += reversed(run.children.values())


def way_down(run: AnyRun | None) -> Iterator[AnyRun]:
    """The run, the one that it grew from, and so on to the root."""
    while run is not None:
        yield run
        run = run.parent


class _Place(NamedTuple):
    """A message of a history: which piece, and how many messages of that stand before it."""

    piece: int
    offset: int


def _add(root: AnyRun, pieces: History) -> AnyRun:
    """Puts a history into the tree; the run that ends with it."""
    run, at = root, _Place(0, 0)
    while at.piece < len(pieces):
        segment, start, stop = pieces[at.piece]
        first = (segment, start + at.offset)
        child = run.children.get(first)
        if child is None:
            rest = (Piece(segment, first[1], stop), *pieces[at.piece + 1 :])
            child = run.children[first] = type(root)(pieces=rest, start=run.stop, parent=run)
            return child
        shared, at = _follow(child.pieces, pieces, at)
        run = child if shared == child.length else _split(run, first, shared)
    return run


def _follow(mine: History, other: History, at: _Place) -> tuple[int, _Place]:
    """How many messages of ``mine`` are those of ``other`` from ``at`` on, and the place behind them."""
    shared = 0
    for segment, start, stop in mine:
        if at.piece == len(other):
            break
        name, first, last = other[at.piece]
        if name != segment or first + at.offset != start:
            break
        end = min(stop, last)
        shared += end - start
        at = _Place(at.piece, end - first) if end < last else _Place(at.piece + 1, 0)
        if end < stop:
            break
    return shared, at


def _split(parent: AnyRun, first: Identity, at: int) -> AnyRun:
    """A new run for the first ``at`` messages of a child. The rest keeps its place in what was remembered of it: it is
    where histories end."""
    child = parent.children[first]
    lower = parent.children[first] = type(parent)(
        pieces=history.cut(child.pieces, 0, at), start=child.start, parent=parent
    )
    child.pieces, child.start, child.parent = history.cut(child.pieces, at, child.length), lower.stop, lower
    lower.children[child.pieces[0][:2]] = child
    return lower
