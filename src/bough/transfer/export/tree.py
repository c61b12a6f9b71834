"""The branches of an export as one tree, in runs: a run is a stretch of messages that the same branches share.

1. A place in the tree is a message *and* all that comes before it. So a merged message has two.
2. A run ends where a branch, a tag or a merge ends, or begins to differ from another.
3. Children stand in the order of the first branch (as they are exported) that goes through them.
4. Nothing recurses, and the cost depends on pieces, never on the number of messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from bough import history
from bough.model import BranchRecord, History, Piece
from bough.transfer.export.talk import Exported, Merge

Identity: TypeAlias = tuple[str, int]
_Children: TypeAlias = "dict[Run, dict[Identity, Run]]"
"""The children of each run by their first message."""


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """Messages ``start + 1 … stop`` of all the branches that go through it.

    ``branches``, ``tags`` and ``merges`` end here. ``leader`` is the first branch that goes through, None where only a
    tag or the source of a merge does. ``number`` counts the runs in their order, children behind their parent.
    """

    pieces: History
    start: int
    parent: Run | None = None
    number: int = 0
    leader: BranchRecord | None = None
    branches: list[BranchRecord] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    children: list[Run] = field(default_factory=list)

    @property
    def stop(self) -> int:
        return self.start + history.length(self.pieces)


class Tree(NamedTuple):
    """``root`` has no messages; ``runs`` are all others in their order. ``ends`` has the run of each history asked for:
    branches, tags, both sides of merges."""

    root: Run
    runs: tuple[Run, ...]
    ends: dict[History, Run]


def plant(talk: Exported, *, merges: bool = False) -> Tree:
    """The tree of the branches and tags; with ``merges`` what was merged into them is in it too."""
    root = Run(pieces=(), start=0)
    by_first: _Children = {root: {}}
    histories = [record.history for record in talk.branches] + [tag.history for tag in talk.tags]
    for merge in talk.merges if merges else ():
        histories += [merge.before, merge.after, merge.brought]
    histories = list(dict.fromkeys(histories))
    for pieces in histories:
        _add(root, by_first, pieces)
    ends = {pieces: _end(root, by_first, pieces) for pieces in histories}
    for record in talk.branches:
        ends[record.history].branches.append(record)
        at: Run | None = ends[record.history]
        while at is not None and at.leader is None:
            at.leader, at = record, at.parent
    for tag in talk.tags:
        ends[tag.history].tags.append(tag.name)
    for merge in talk.merges if merges else ():
        ends[merge.after].merges.append(merge)
    order = {record.id: number for number, record in enumerate(talk.branches)}
    runs: list[Run] = []
    pending = [root]
    while pending:
        run = pending.pop()
        run.number = len(runs)
        runs.append(run)
        run.children = sorted(
            by_first[run].values(), key=lambda child: order[child.leader.id] if child.leader else len(order)
        )
        pending += reversed(run.children)
    return Tree(root, tuple(runs[1:]), ends)


class _Place(NamedTuple):
    """A message of a history: which piece, and how many messages of that stand before it."""

    piece: int
    offset: int


def _add(root: Run, by_first: _Children, pieces: History) -> None:
    """Puts a history into the tree; the run that it ends in, ends with it."""
    run, at = root, _Place(0, 0)
    while at.piece < len(pieces):
        segment, start, stop = pieces[at.piece]
        first = (segment, start + at.offset)
        child = by_first[run].get(first)
        if child is None:
            rest = (Piece(segment, first[1], stop), *pieces[at.piece + 1 :])
            child = by_first[run][first] = Run(pieces=rest, start=run.stop, parent=run)
            by_first[child] = {}
            return
        shared, at = _follow(child.pieces, pieces, at)
        length = child.stop - child.start
        if shared < length:
            _split(child, shared, length, by_first)
        run = child


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


def _split(run: Run, at: int, length: int, by_first: _Children) -> None:
    upper = Run(pieces=history.cut(run.pieces, at, length), start=run.start + at, parent=run)
    run.pieces = history.cut(run.pieces, 0, at)
    by_first[upper] = by_first[run]
    for child in by_first[upper].values():
        child.parent = upper
    by_first[run] = {(upper.pieces[0].segment, upper.pieces[0].start): upper}


def _end(root: Run, by_first: _Children, pieces: History) -> Run:
    """The run that ends with a history that was added."""
    run, at = root, _Place(0, 0)
    while at.piece < len(pieces):
        segment, start, _ = pieces[at.piece]
        run = by_first[run][segment, start + at.offset]
        _, at = _follow(run.pieces, pieces, at)
    return run


def identities(pieces: History) -> Iterator[Identity]:
    """Each message's (segment, position)."""
    for segment, start, stop in pieces:
        for position in range(start, stop):
            yield segment, position


def again(runs: Iterable[Run]) -> Iterator[tuple[Run, History]]:
    """Each run with those of its messages that stood in one before it: what a merge brought."""
    seen: dict[str, History] = {}
    for run in runs:
        before = history.concat(*(seen.get(segment, ()) for segment in {piece.segment for piece in run.pieces}))
        yield run, history.subtract(run.pieces, history.subtract(run.pieces, before))
        for piece in run.pieces:
            seen[piece.segment] = history.union(seen.get(piece.segment, ()), (piece,))


def holds(pieces: History, identity: Identity) -> bool:
    """Whether the message is among these."""
    return history.index_of(pieces, *identity) is not None


def first_of(pieces: History) -> History:
    """The first message alone."""
    segment, start, _ = pieces[0]
    return (Piece(segment, start, start + 1),)
