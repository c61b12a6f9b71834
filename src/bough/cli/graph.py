"""The layout of ``log``: branches in, rows out. Pure; what a row looks like stands in :mod:`bough.cli.drawing`.

The histories are grown into a tree of runs (:mod:`bough.runs`). Rows come newest first, each branch above what it grew
from:

    ● 4          main
    ● 3
    │ ● 4        a fork, in a column of its own
    ├─● 3        its first message, which grew from the one below in the column to the left
    ● 2
    ● 1

1. A message has one row for each place that it has in the tree: at its end by identity, *and* what comes before it. So
   a merged message is shown in the column of the branch that took it too, and says where it is from.
2. The first column is main's. Of the branches that grew from one message the one that changed last is above the others.
3. Columns count forks of forks, never branches: a hundred forks of main need two.
4. Nothing recurses, and the cost depends on pieces and on the rows shown, not on the messages folded away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeAlias

from bough import edits, history, runs
from bough.branch import MAIN
from bough.model import BranchRecord
from bough.runs import Identity as Identity
from bough.runs import grow, walk, way_down


@dataclass(slots=True, kw_only=True, eq=False)
class Run(runs.Run):
    """``tips`` are the branches that end here, ``leader`` the one that the column belongs to."""

    tips: list[str] = field(default_factory=list)
    leader: str = ""


class MessageRow(NamedTuple):
    """One message. ``number`` counts from 1 in ``branch``; ``tips`` end with it; ``origin`` is the branch it was merged
    from. ``joins``: the column begins here, and the message before it is the next one in the column to the left.
    """

    column: int
    joins: bool
    branch: str
    number: int
    identity: Identity
    tips: tuple[str, ...]
    origin: str | None


class FoldRow(NamedTuple):
    """Messages that are there and not shown."""

    column: int
    messages: int


class EmptyRow(NamedTuple):
    """Branches that hold no message yet."""

    tips: tuple[str, ...]


class GapRow(NamedTuple):
    """What follows has no message in common with what is above."""


Row: TypeAlias = MessageRow | FoldRow | EmptyRow | GapRow


def lay_out(
    branches: Mapping[str, BranchRecord], *, only: Collection[str] | None = None, fold: int | None = None
) -> Iterator[Row]:
    """The rows of ``only`` these branches (all if None), newest first.

    ``fold``: of a run of more than ``2 * fold + 1`` messages only the first and the last ``fold`` are shown.
    """
    root = _grow(branches)
    homes = _Homes(root, branches)
    shown = None if only is None else {run for name in only for run in homes.path(name)}
    if root.tips and (only is None or not set(only).isdisjoint(root.tips)):
        yield EmptyRow(tuple(root.tips))
        if shown is None and root.children:
            yield GapRow()

    trees = [run for run in root.children.values() if shown is None or run in shown]
    pending: list[_Part | GapRow | Iterator[Row]] = []
    for tree in reversed(trees):
        pending.append(_Part(tree, 0, joins=False))
        if tree is not trees[0]:
            pending.append(GapRow())
    while pending:
        part = pending.pop()
        if isinstance(part, _Part):
            children = [child for child in part.run.children.values() if shown is None or child in shown]
            pending.append(_rows_of(part, homes, fold))
            pending += [_Part(child, part.column + 1, joins=True) for child in reversed(children[1:])]
            pending += [_Part(child, part.column, joins=False) for child in children[:1]]
        elif isinstance(part, GapRow):
            yield part
        else:
            yield from part


class _Part(NamedTuple):
    """A run, all that grew from it included, yet to be laid out."""

    run: Run
    column: int
    joins: bool


def _rows_of(part: _Part, homes: _Homes, fold: int | None) -> Iterator[Row]:
    run, column, joins = part
    length = run.length
    offset = length
    while offset:
        if fold is not None and length > 2 * fold + 1 and offset == length - fold:
            yield FoldRow(column, length - 2 * fold)
            offset = fold
        identity = history.identity(run.pieces, offset - 1)
        yield MessageRow(
            column=column,
            joins=joins and offset == 1,
            branch=run.leader,
            number=run.start + offset,
            identity=identity,
            tips=tuple(run.tips) if offset == length else (),
            origin=homes.origin(identity, run, run.start + offset),
        )
        offset -= 1


def _grow(branches: Mapping[str, BranchRecord]) -> Run:
    names = sorted(branches)
    root, ends = grow(Run, (branches[name].history for name in names))
    for name in names:
        ends[branches[name].history].tips.append(name)
    _order(root, branches)
    return root


def _order(root: Run, branches: Mapping[str, BranchRecord]) -> None:
    """Sorts siblings by invariant 2; of branches that changed at one time the longest, then the first by id."""
    keys: dict[Run, tuple[bool, datetime, int, str]] = {}
    for run in reversed(list(walk(root))):
        run.tips.sort(key=lambda name: (name != MAIN, name))
        children = sorted(run.children.values(), key=lambda child: keys[child][3])
        children.sort(key=lambda child: keys[child][:3], reverse=True)
        run.children = {child.pieces[0][:2]: child for child in children}
        if run is not root:
            own = [(name == MAIN, branches[name].updated_at, branches[name].length, name) for name in run.tips]
            keys[run] = max(own + [keys[child] for child in children], key=lambda key: key[:3])
            run.leader = MAIN if keys[run][0] else [*run.tips, *(child.leader for child in children)][0]


class _Homes:
    """Where each message belongs: in the branch that owns its segment."""

    def __init__(self, root: Run, branches: Mapping[str, BranchRecord]) -> None:
        self._ends: dict[str, Run] = {}
        self._holders: dict[str, list[tuple[int, int, Run]]] = {}
        self._owners = {record.tip.segment: name for name, record in branches.items()}
        self._branches = branches
        self._taken: dict[tuple[str, str], int] = {}
        self._paths: dict[str, set[Run]] = {}
        for run in walk(root):
            self._ends.update((name, run) for name in run.tips)
            for segment, start, stop in run.pieces:
                self._holders.setdefault(segment, []).append((start, stop, run))

    def path(self, branch_id: str) -> set[Run]:
        """The runs from the root to the branch's end."""
        if branch_id not in self._paths:
            self._paths[branch_id] = set(way_down(self._ends.get(branch_id)))
        return self._paths[branch_id]

    def origin(self, identity: Identity, run: Run, number: int) -> str | None:
        """The branch that the message in this run was merged from; None where it is at home, or was taken along when
        the branch was made."""
        segment, position = identity
        holders = [holder for start, stop, holder in self._holders[segment] if start <= position < stop]
        if len(holders) < 2:
            return None
        owner = self._owners.get(segment, "")
        path = self.path(owner)
        home = next((holder for holder in holders if holder in path), None)
        if home is None:
            home, owner = holders[0], holders[0].leader
        return None if home is run or number <= self._taken_along(run.leader, owner) else owner

    def _taken_along(self, branch_id: str, owner: str) -> int:
        """How many messages a branch begins with that the other holds too, in whatever wording: the two may have edited
        or removed some since, so that they stand apart in the tree."""
        if (branch_id, owner) not in self._taken:
            mine, other = self._branches[branch_id], self._branches[owner]
            alone = edits.subtract(mine.history, mine.edits, other.history, other.edits)
            index = history.index_of(mine.history, alone[0].segment, alone[0].start) if alone else mine.length
            self._taken[branch_id, owner] = index or 0
        return self._taken[branch_id, owner]
