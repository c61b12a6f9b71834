"""The branches of an export as one tree of runs (:mod:`bough.runs`), and what ends with each.

Children stand in the order of the branches that go through them, as they are exported; behind those what only a tag or
the source of a merge goes through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bough import history, runs
from bough.model import BranchRecord, History
from bough.runs import Identity, grow, walk, way_down
from bough.transfer.export.talk import Exported, Merge


@dataclass(slots=True, kw_only=True, eq=False)
class Run(runs.Run):
    """``branches``, ``tags`` and ``merges`` end here. ``leader`` is the first branch that goes through, None where only
    a tag or the source of a merge does. ``number`` counts the runs in their order, children behind their parent.
    """

    number: int = 0
    leader: BranchRecord | None = None
    branches: list[BranchRecord] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)


class Tree(NamedTuple):
    """``root`` has no messages; ``runs`` are all others in their order. ``ends`` has the run of each history asked for:
    branches, tags, both sides of merges."""

    root: Run
    runs: tuple[Run, ...]
    ends: dict[History, Run]


def plant(talk: Exported, *, merges: bool = False) -> Tree:
    """The tree of the branches and tags; with ``merges`` what was merged into them is in it too."""
    joined = talk.merges if merges else ()
    histories = [record.history for record in talk.branches] + [tag.history for tag in talk.tags]
    for merge in joined:
        histories += [merge.before, merge.after, merge.brought]
    root, ends = grow(Run, histories)
    for record in talk.branches:
        ends[record.history].branches.append(record)
        for run in way_down(ends[record.history]):
            if run.leader is not None:
                break
            run.leader = record
    for tag in talk.tags:
        ends[tag.history].tags.append(tag.name)
    for merge in joined:
        ends[merge.after].merges.append(merge)
    planted = tuple(walk(root))
    for number, run in enumerate(planted):
        run.number = number
    return Tree(root, planted[1:], ends)


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
