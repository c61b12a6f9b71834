"""Undo, as pure functions on operations and branch records.

1. An undo restores each branch to what it was before the operation; messages appended since stay behind that.
2. It is refused where a branch was changed otherwise since: its history no longer begins with what the operation left,
   or its name, parent or metadata are other ones.
3. A tip never goes back: positions given out since stay given out.
4. An undo is an operation of its own, with ``detail {"undoes": n}``. The next undo goes one further back than n;
   an operation after it is undone first.

What it deliberately does not do: read a store, or move a manager's own current branch.
"""

from __future__ import annotations

from collections.abc import Iterable

from bough import history
from bough.branch import MAIN
from bough.changes import change
from bough.errors import BranchMovedError, NothingToUndoError
from bough.model import BranchChange, BranchRecord, Change, Drop, Operation, Put, SessionState, replace

FIXED = frozenset({"init", "external-edit"})
"""Kinds that are passed over: what makes the session, and what another program did."""


def find_target(operations: Iterable[Operation]) -> tuple[Operation, Operation]:
    """The newest of ``operations`` (newest first) and the one that the next undo takes back. ``NothingToUndoError``."""
    newest: Operation | None = None
    limit: int | None = None
    for operation in operations:
        newest = newest or operation
        if operation.kind == "undo":
            undoes = int(operation.detail["undoes"])
            limit = undoes if limit is None else min(limit, undoes)
        elif operation.kind not in FIXED and (limit is None or operation.number < limit):
            return newest, operation
    raise NothingToUndoError("there is nothing to undo")


def branches_of(target: Operation) -> set[str]:
    """The branches that :func:`invert` must know of."""
    ids = {entry.id for entry in target.branches}
    return ids if target.head_before is None else ids | {target.head_before}


def invert(target: Operation, state: SessionState) -> Change:
    """The change that takes ``target`` back. ``BranchMovedError`` where that would lose something.

    ``state`` holds the :func:`branches_of` the target, as far as they exist.
    """
    puts: list[Put] = []
    drops: list[Drop] = []
    for entry in target.branches:
        present = state.branches.get(entry.id)
        _check_unchanged(state.session_id, target, entry, present)
        if entry.before is None:
            if present is not None:
                drops.append(Drop(branch_id=entry.id, expected=present.version))
        elif present is None:
            puts.append(Put(record=entry.before, expected=None))
        else:
            puts.append(Put(record=_restore(entry, entry.before, present), expected=present.version))

    dropped = {drop.branch_id for drop in drops}
    there = (state.branches.keys() | {put.record.id for put in puts}) - dropped
    head: str | None = None
    if target.head_before != target.head_after:
        head = target.head_before if target.head_before in there else MAIN
    elif state.head in dropped:
        head = MAIN
    return change(
        "undo",
        *puts,
        drops=tuple(drops),
        head=head,
        detail={"undoes": target.number, "kind": target.kind},
        after_operation=state.last_operation,
    )


def _check_unchanged(session_id: str, target: Operation, entry: BranchChange, present: BranchRecord | None) -> None:
    after = entry.after
    if after is None:
        problem = "was made anew" if present is not None else ""
    elif present is None:
        problem = "is gone"
    elif not history.starts_with(present.history, after.history):
        problem = "no longer begins with the messages it had then"
    elif _labels(present) != _labels(after):
        problem = "was renamed or given another parent or other metadata"
    else:
        problem = ""
    if problem:
        raise BranchMovedError(
            session_id, entry.id, f"{problem}, so operation {target.number} ({target.kind}) cannot be undone"
        )


def _labels(record: BranchRecord) -> tuple[object, ...]:
    metadata = None if record.metadata is None else dict(record.metadata)
    return record.name, record.parent_id, record.parent_message_index, metadata


def _restore(entry: BranchChange, before: BranchRecord, present: BranchRecord) -> BranchRecord:
    kept = 0 if entry.after is None else entry.after.length
    since = history.cut(present.history, kept, present.length)
    return replace(
        before,
        history=history.concat(before.history, since),
        tip=present.tip,
        updated_at=present.updated_at if since else before.updated_at,
        extra=present.extra,
    )
