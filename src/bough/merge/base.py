"""What the log of operations says of two branches: with what both began, and what was squashed. Pure.

1. A merge counts until it is undone, or until a reset of its target takes back everything that it brought.
2. A merge that looked at all that differed is a base as a whole. One that only adds (``ADDING``) neither took nor
   refused other wordings and removals: it tells of the messages that both held alike afterwards, and for the rest the
   earlier base goes on.
3. A branch begins with its last creation: what the log says of an earlier one of that id does not count. A restored
   branch goes on where it was deleted.

What it deliberately does not do: look at names, at ``parent_message_index``, or at times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from bough import edits, history
from bough.diff import Side
from bough.model import BranchChange, BranchRecord, Edit, History, Operation, Piece

ADDING = frozenset({"append", "interleave", "pick", "squash"})
"""The strategies that only add. Any other, somebody's own too, counts as one that decides about everything."""


def find_base(operations_newest_first: Iterable[Operation], target_id: str, source_id: str) -> Side | None:
    """With what both branches began, None where the log does not say.

    That is what the merged branch held at the last merge between the two, in either direction; else what the one held
    when it was made from the other; else, for branches further apart, what both took along from the branch that both
    descend from. Merges since that only added change it by what both held alike after them (rule 2).
    """
    both = [target_id, source_id]
    took: list[Side | None] = [None, None]
    alike: Side | None = None
    for operation in _of_present(operations_newest_first):
        if operation.kind == "merge" and both == [target_id, source_id]:
            if {operation.detail["source"], _target_of(operation)} != set(both):
                continue
            if operation.detail.get("strategy") not in ADDING:
                return _updated(_merged_side(operation), alike)
            alike = _updated(_alike(operation), alike)
            continue
        for number in (0, 1):
            made = _made(operation, both[number])
            if made is None:
                continue
            if operation.kind not in ("fork", "create") or made.parent_id is None:
                return alike
            both[number], took[number] = made.parent_id, _side(made)
            if both[0] == both[1]:
                return _updated(_shared(_side(made), took[1 - number]), alike)
    return alike


def find_squashed(operations_newest_first: Iterable[Operation], target_id: str) -> History:
    """What the target holds squashed, as first wordings: a merge by the strategy ``squash`` brought one message for it.

    A branch takes along what was squashed into its parent before, where it holds the message that stands for it.
    """
    squashed: list[History] = []
    branch_id, took = target_id, None
    for operation in _of_present(operations_newest_first):
        change = _change_of(operation, branch_id)
        if change and operation.kind == "merge" and not (took and _lacks(took, change)):
            squashed.append(_stood_for(operation, _side(change.before)))
        made = _made(operation, branch_id)
        if made is not None:
            if made.parent_id is None:
                break
            branch_id, took = made.parent_id, took or _side(made)
    return history.union(*squashed)


def _stood_for(operation: Operation, before: Side) -> History:
    if operation.detail.get("strategy") != "squash":
        return ()
    source = _merged_side(operation)
    new = edits.subtract(source.history, source.edits, before.history, before.edits)
    return edits.first_wordings(new, source.edits)


def _of_present(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations that speak of branches as they are now: what happened to another of the same id between the
    deletion of a branch and its restoration is passed over."""
    gone: dict[str, str] = {}  # by the segment that the deleted branch appended to
    for operation in _standing(operations):
        involved = {operation.detail.get("source")}
        for change in operation.branches:
            before, after = change.before, change.after
            if before is not None and after is None and gone.get(change.id) == before.tip.segment:
                del gone[change.id]
            involved |= {change.id, after.parent_id if after else None}
        if not involved & gone.keys():
            yield operation
        if operation.kind == "restore":
            gone = {change.id: change.after.tip.segment for change in operation.branches if change.after} | gone


def _standing(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations that count, but for undo and redo themselves (rule 1)."""
    counts: dict[int, bool] = {}
    resets: defaultdict[str, list[Side]] = defaultdict(list)
    for operation in operations:
        if operation.kind == "undo":
            counts.setdefault(int(operation.detail["undoes"]), False)
        elif operation.kind == "redo":
            counts.setdefault(int(operation.detail["redoes"]), True)
        elif counts.get(operation.number, True):
            if operation.kind == "reset":
                for change in operation.branches:
                    resets[change.id].append(_side(change.after))
            merged = _change_of(operation, _target_of(operation)) if operation.kind == "merge" else None
            if merged is None or not any(_lacks(reset, merged) for reset in resets[merged.id]):
                yield operation


def _lacks(later: Side, change: BranchChange) -> bool:
    """Whether of all that a change brought to a branch nothing is left later."""
    before, after = _side(change.before), _side(change.after)
    brought = edits.subtract(after.history, after.edits, before.history, before.edits)
    kept = edits.kept(brought, after.edits)
    return bool(brought) and edits.subtract(brought, kept, later.history, later.edits) == brought


def _change_of(operation: Operation, branch_id: str) -> BranchChange | None:
    return next((change for change in operation.branches if change.id == branch_id), None)


def _target_of(operation: Operation) -> str:
    """Older logs name the target of a merge only by the one branch that it changed."""
    return str(operation.detail.get("target") or operation.branches[0].id)


def _made(operation: Operation, branch_id: str) -> BranchRecord | None:
    """The branch as the operation made it, None where it did not."""
    change = _change_of(operation, branch_id)
    return change.after if change and change.before is None and operation.kind != "restore" else None


def _merged_side(operation: Operation) -> Side:
    pieces, changed = operation.detail["source_history"], operation.detail.get("source_edits", ())
    return Side(tuple(Piece(*piece) for piece in pieces), tuple(Edit(*edit) for edit in changed))


def _alike(operation: Operation) -> Side:
    """What both branches held in one wording after a merge, and what a squash put one message for."""
    source = _merged_side(operation)
    change = _change_of(operation, _target_of(operation))
    differs = history.subtract(source.history, _side(change.after if change else None).history)
    differs = history.subtract(differs, tuple(Piece(*piece) for piece in operation.detail.get("squashed", ())))
    pieces = history.subtract(source.history, differs)
    return Side(pieces, edits.kept(pieces, source.edits))


def _updated(earlier: Side, later: Side | None) -> Side:
    """What either holds, in the later one's wording."""
    if later is None:
        return earlier
    rest = history.subtract(earlier.history, later.history)
    if not rest:  # so it is with most merges of a long line of them
        return later
    rest = edits.subtract(rest, earlier.edits, later.history, later.edits)
    pieces = history.concat(rest, later.history)
    return Side(pieces, edits.kept(pieces, earlier.edits, later.edits))


def _side(record: BranchRecord | None) -> Side:
    return Side() if record is None else Side(record.history, record.edits)


def _shared(older: Side, later: Side | None) -> Side:
    """What both took along from one branch, in the older wording."""
    if later is None:
        return older
    alone = edits.subtract(older.history, older.edits, later.history, later.edits)
    both = edits.subtract(older.history, older.edits, alone, edits.kept(alone, older.edits))
    return Side(both, edits.kept(both, older.edits))
