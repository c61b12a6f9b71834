"""The log of operations: looking at it, undoing, doing again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bough import history
from bough.branch import MAIN, Undone
from bough.errors import BranchExistsError, BranchMovedError
from bough.manager.base import Base
from bough.model import Commit, Operation, SessionState
from bough.undo import UNDO, Found, branches_of, find_redo, find_undo, invert


class OperationVerbs(Base):
    """The verbs of the log."""

    def operations(self, branch_id: str | None = None) -> Iterator[Operation]:
        """What was done, newest first, read as far as it is asked for; with ``branch_id`` to that branch."""
        for operation in self.store.operations(self.session_id):
            if branch_id is None or any(entry.id == branch_id for entry in operation.branches):
                yield operation

    def undo(self, operation: int | None = None) -> Undone:
        """Takes an operation back, the last one that is not undone if None. What was appended since stays, behind what
        that restores; where a branch goes it goes with it (``left``), until :meth:`redo` or :meth:`restore_branch`.

        ``NothingToUndoError``; ``BranchMovedError`` where something later depends on it; ``InvalidRequestError`` where
        there is no such operation, or gc has given up what it needs. Sends the events of what it makes, drops and
        renames.
        """
        return self._take_back(lambda operations: find_undo(operations, operation))

    def redo(self) -> Undone:
        """Does again what was undone last, if nothing else was done since. As :meth:`undo` otherwise."""
        return self._take_back(find_redo)

    def _take_back(self, find: Callable[[Iterable[Operation]], Found]) -> Undone:
        refused: tuple[Operation, SessionState] | None = None
        while True:
            found = find(self.store.operations(self.session_id))
            target = found.target
            state = self._session.load(only=branches_of(target))
            if refused == (found.newest, state):
                raise BranchMovedError(self.session_id, self._current, "does not agree with the log of operations")
            refused = found.newest, state
            if state.last_operation != found.newest.number:
                continue  # another operation came between the two looks
            change = invert(found, state)
            try:
                commit = self.store.commit(self.session_id, change)
                break
            except (BranchMovedError, BranchExistsError):
                continue
        self._session.wrote(commit)
        is_gone = self._current in commit.before and self._current not in commit.branches
        head = commit.operation.head_after if commit.operation else None
        follows = change.head is not None or is_gone
        self._session.announce(commit, *self._move_to(head or MAIN if follows else self._current))
        dropped = tuple(sorted(commit.before.keys() - commit.branches.keys()))
        is_redo = target.kind == UNDO
        return Undone(
            operation=target.detail["undoes"] if is_redo else target.number,
            kind=target.detail.get("kind", "") if is_redo else target.kind,
            at=target.at,
            branch_ids=tuple(entry.id for entry in target.branches),
            dropped=dropped,
            left=self._left(commit, dropped),
            passed_over=found.passed_over,
        )

    def _left(self, commit: Commit, dropped: Iterable[str]) -> int:
        """How many messages of the dropped branches no branch holds now."""
        gone = history.union(*(commit.before[branch_id].history for branch_id in dropped))
        if not gone:
            return 0
        held = [record.history for record in self._session.load().branches.values()]
        return history.length(history.subtract(gone, history.union(*held)))
