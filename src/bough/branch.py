"""The values that a manager hands out: branches with their messages, the tree they form, what a merge and an undo did.

Guarantees:
1. A value never changes: a branch shows the messages that it had when it was looked up, whatever happens afterwards.
2. A message is read from the store when it is asked for, and only that one: ``len()`` reads nothing.

What it deliberately does not do: write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, overload

from msgspec import Struct

from bough import history
from bough.model import BranchRecord, History, Message, Version
from bough.stores.base import Store

MAIN = "main"
"""The branch that every session has and keeps."""
MAIN_NAME = "Main conversation"
"""What it is called until somebody names it."""

CHUNK = 1000
"""How many messages an iteration holds at a time."""


class Messages(Sequence[Message]):
    """The messages of one history, read when they are asked for. Each access gives fresh copies.

    Equal to another sequence of equal messages; ``list(branch.messages)`` reads them all at once.
    """

    __slots__ = ("_history", "_session_id", "_store")

    def __init__(self, store: Store, session_id: str, pieces: History) -> None:
        self._store = store
        self._session_id = session_id
        self._history = pieces

    def __len__(self) -> int:
        return history.length(self._history)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        if isinstance(index, slice):
            return self._store.read(self._session_id, self._pieces(index))
        at = range(len(self))[index]
        [message] = self._store.read(self._session_id, history.cut(self._history, at, at + 1))
        return message

    def __iter__(self) -> Iterator[Message]:
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        if isinstance(other, Messages) and self._origin() == other._origin():
            return True
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=False))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __repr__(self) -> str:
        return f"<{len(self)} messages>"

    def _origin(self) -> tuple[Store, str, History]:
        return self._store, self._session_id, self._history

    def _pieces(self, wanted: slice) -> History:
        start, stop, step = wanted.indices(len(self))
        if step == 1:
            return history.cut(self._history, start, max(start, stop))
        return history.concat(*(history.cut(self._history, at, at + 1) for at in range(start, stop, step)))


class ConversationBranch(Struct, frozen=True, gc=False):
    """One branch as it was when it was looked up. Its ``record`` says what the store knows of it."""

    record: BranchRecord
    messages: Messages

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def parent_id(self) -> str | None:
        return self.record.parent_id

    @property
    def parent_message_index(self) -> int | None:
        """The exclusive index into the parent at which the branch began."""
        return self.record.parent_message_index

    @property
    def created_at(self) -> datetime:
        """Aware, in UTC, with milliseconds; so is ``updated_at``."""
        return self.record.created_at

    @property
    def updated_at(self) -> datetime:
        return self.record.updated_at

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        return self.record.metadata

    @property
    def version(self) -> Version:
        """What :meth:`ConversationBranchManager.set_messages` takes as ``expected``."""
        return self.record.version


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchTree:
    """A branch and the branches that were made from it, oldest first."""

    branch: ConversationBranch
    children: tuple[BranchTree, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """The operation that an undo took back: its number, its verb, when it was done, and the branches it had changed.

    ``dropped`` are those of them that are no more because of that; ``left`` is how many messages were in these and are
    in no branch now. ``passed_over`` are the numbers of operations that came later and that no undo takes back: another
    program did them.
    """

    operation: int
    kind: str
    at: datetime
    branch_ids: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    left: int = 0
    passed_over: tuple[int, ...] = ()


def branch_of(store: Store, session_id: str, record: BranchRecord) -> ConversationBranch:
    """The branch that a store's record stands for."""
    return ConversationBranch(record, Messages(store, session_id, record.history))


def grow_trees(branches: Iterable[ConversationBranch]) -> list[BranchTree]:
    """Every branch exactly once, main's tree first, then oldest first.

    A branch whose parent is unknown is a root; of parents in a circle the oldest branch is. Not recursive: a chain of
    forks may be longer than the interpreter's stack.
    """
    ordered = sorted(branches, key=lambda branch: (branch.id != MAIN, branch.created_at, branch.id))
    known = {branch.id for branch in ordered}
    by_parent: dict[str | None, list[ConversationBranch]] = {}
    for branch in ordered:
        by_parent.setdefault(branch.parent_id, []).append(branch)

    preorder: list[tuple[ConversationBranch, str | None]] = []
    placed: set[str] = set()
    for start in [branch for branch in ordered if branch.parent_id not in known] + ordered:
        if start.id in placed:
            continue
        pending: list[tuple[ConversationBranch, str | None]] = [(_top(start, ordered), None)]
        while pending:
            branch, parent_id = pending.pop()
            if branch.id in placed:
                continue
            placed.add(branch.id)
            preorder.append((branch, parent_id))
            pending += [(child, branch.id) for child in reversed(by_parent.get(branch.id, []))]

    grown: dict[str | None, list[BranchTree]] = {}
    for branch, parent_id in reversed(preorder):  # children stand behind their parent, so they are grown before it
        tree = BranchTree(branch=branch, children=tuple(reversed(grown.pop(branch.id, []))))
        grown.setdefault(parent_id, []).append(tree)
    return grown.get(None, [])[::-1]


def _top(branch: ConversationBranch, ordered: list[ConversationBranch]) -> ConversationBranch:
    """``branch`` itself if its parent is unknown, else the first in order of the circle that its parents lead into."""
    parents = {each.id: each.parent_id for each in ordered}
    line = [branch.id]
    while (parent := parents[line[-1]]) in parents and parent not in line:
        line.append(parent)
    circle = line[line.index(parent) :] if parent in line else [branch.id]
    return next(each for each in ordered if each.id in circle)


def line_of_descent(branches: Mapping[str, ConversationBranch], branch_id: str) -> list[ConversationBranch]:
    """From the root to ``branch_id``; the walk stops at an unknown parent and at a repeat."""
    line: dict[str, ConversationBranch] = {}
    at: str | None = branch_id
    while at is not None and at in branches and at not in line:
        line[at] = branches[at]
        at = branches[at].parent_id
    return list(line.values())[::-1]
