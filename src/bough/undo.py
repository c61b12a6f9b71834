"""Undo and redo, as pure functions on operations and branch records.

1. An undo restores what the operation changed of each branch, and nothing else; messages appended since stay behind
   what it restores, but for those that a merge has brought back since and that it restores itself: each once.
2. It is refused where something later depends on it: a branch no longer begins with the messages that the operation
   left, or what it set (a name, a parent, metadata, an attribute of the session) has been set again since.
3. A tip never goes back: positions given out since stay given out.
4. An undo is an operation of its own, with ``detail {"undoes": n}``; so is a redo, ``{"redoes": n, "undo": m}``, which
   takes the undo m back. Whether an operation is done or undone is what the last of these says.
5. What ``gc`` gave up cannot be restored; what ``purge`` erased is left out of what is restored.

What it deliberately does not do: read a store, or move a manager's own current branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough import edits, history
from bough.attributes import tags_of
from bough.branch import MAIN
from bough.changes import change, without_messages
from bough.errors import BranchMovedError, InvalidRequestError, NothingToUndoError
from bough.model import BranchChange, BranchRecord, Change, Drop, History, Operation, Put, SessionState, Tip, replace

FIXED = frozenset({"init", "external-edit", "gc", "purge"})
"""Kinds that are passed over: what makes the session, what another program did, what is gone for good."""

UNDO, REDO = "undo", "redo"

_REASONS = {
    "init": "it began the session",
    "external-edit": "another program did it",
    "gc": "what it gave up is gone",
    "purge": "what it erased is gone",
}


class Found:
    """An operation to be taken back, the newest one, what was given up for good since, where the segments of branches
    that were dropped since go on, and the numbers of what another program did since."""

    __slots__ = ("erased", "freed", "newest", "next", "passed_over", "target")

    def __init__(
        self,
        newest: Operation,
        target: Operation,
        freed: History,
        erased: History,
        next_: Mapping[str, int],
        passed_over: tuple[int, ...] = (),
    ) -> None:
        self.newest = newest
        self.target = target
        self.freed = freed
        self.erased = erased
        self.next = next_
        self.passed_over = passed_over


def find_undo(operations: Iterable[Operation], number: int | None = None) -> Found:
    """What an undo takes back, of ``operations`` (newest first): the last one that is done, or that of a ``number``.

    ``NothingToUndoError``; ``InvalidRequestError`` where that one cannot be: there is none, it is undone already.
    """
    walk = _Walk()
    foreign: list[Operation] = []
    for operation, is_undone in with_fate(operations):
        walk.pass_by(operation)
        if number is None and not is_undone and operation.kind not in FIXED | {UNDO, REDO}:
            return walk.found(operation, tuple(each.number for each in foreign))
        if operation.kind == "external-edit":
            foreign.append(operation)
        if operation.number == number:
            if operation.kind in FIXED | {UNDO, REDO}:
                advice = {
                    UNDO: "`bough redo` does it again",
                    REDO: f"undo {operation.detail.get('redoes')} instead",
                    "external-edit": _revert(operation),
                }
                reason = f": {_REASONS[operation.kind]}" if operation.kind in FIXED else ""
                raise InvalidRequestError(
                    f"operation {number} ({operation.kind}) cannot be undone{reason}",
                    hint=advice.get(operation.kind, ""),
                )
            if is_undone:
                raise InvalidRequestError(f"operation {number} ({operation.kind}) is undone already")
            return walk.found(operation)
    if number is not None:
        raise InvalidRequestError(f"there is no operation {number}", hint="`bough ops` lists them")
    raise NothingToUndoError("there is nothing to undo", hint=_revert(foreign[0]) if foreign else "")


def _revert(operation: Operation) -> str:
    """The advice for what another program did; none where it made or dropped branches only."""
    is_revertible = any(
        each.before and each.after and each.before.history != each.after.history for each in operation.branches
    )
    return f"`bough revert {operation.number}` takes out what it changed" if is_revertible else ""


def with_fate(operations: Iterable[Operation]) -> Iterator[tuple[Operation, bool]]:
    """Each of ``operations`` (newest first) with whether it is undone, and not redone since."""
    is_done: dict[int, bool] = {}
    for operation in operations:
        if operation.kind == UNDO:
            is_done.setdefault(operation.detail["undoes"], False)
        elif operation.kind == REDO:
            is_done.setdefault(operation.detail["redoes"], True)
        yield operation, not is_done.get(operation.number, True)


def find_redo(operations: Iterable[Operation]) -> Found:
    """The undo that a redo takes back: the last one, if nothing was done since but undo and redo.

    ``NothingToUndoError``.
    """
    walk = _Walk()
    taken_back: set[int] = set()
    for operation in operations:
        walk.pass_by(operation)
        if operation.kind == REDO:
            taken_back.add(operation.detail["undo"])
        elif operation.kind == UNDO:
            if operation.number not in taken_back:
                return walk.found(operation)
        elif operation.kind not in FIXED:
            break
    raise NothingToUndoError("there is nothing to redo", hint="only what was undone last can be done again")


class _Walk:
    """What was met on the way from the newest operation back."""

    def __init__(self) -> None:
        self._newest: Operation | None = None
        self._freed: list[History] = []
        self._erased: list[History] = []
        self._next: dict[str, int] = {}

    def pass_by(self, operation: Operation) -> None:
        self._newest = self._newest or operation
        if operation.freed:
            (self._erased if operation.erased else self._freed).append(operation.freed)
        for entry in operation.branches:
            if entry.before is not None and entry.after is None:
                segment, at = entry.before.tip
                self._next[segment] = max(at, self._next.get(segment, 0))

    def found(self, target: Operation, passed_over: tuple[int, ...] = ()) -> Found:
        freed, erased = history.union(*self._freed), history.union(*self._erased)
        return Found(self._newest or target, target, freed, erased, self._next, passed_over)


def branches_of(target: Operation) -> set[str]:
    """The branches that :func:`invert` must know of."""
    ids = {entry.id for entry in target.branches}
    return ids if target.head_before is None else ids | {target.head_before}


def invert(found: Found, state: SessionState) -> Change:
    """The change that takes the target back. ``BranchMovedError`` where something later depends on it,
    ``InvalidRequestError`` where gc has given up what it needs.

    ``state`` holds the :func:`branches_of` the target, as far as they exist.
    """
    target = found.target
    puts: list[Put] = []
    drops: list[Drop] = []
    for entry in target.branches:
        present = state.branches.get(entry.id)
        entry = _without(entry, found.erased)
        if entry.before is None:
            if present is not None:
                _check_unchanged(state.session_id, target, entry, present)
                drops.append(Drop(branch_id=entry.id, expected=present.version))
        elif present is None:
            if entry.after is not None:
                raise _depended_on(state.session_id, target, entry.id, "is gone")
            segment, at = entry.before.tip  # it may have been there again since, and have grown
            tip = Tip(segment, max(at, found.next.get(segment, 0)))
            puts.append(Put(record=replace(entry.before, tip=tip), expected=None))
        else:
            puts.append(Put(record=_restored(state.session_id, target, entry, present), expected=present.version))
    _check_kept(found, [put.record for put in puts])

    dropped = {drop.branch_id for drop in drops}
    there = (state.branches.keys() | {put.record.id for put in puts}) - dropped
    head: str | None = None
    if target.head_before != target.head_after and state.head == target.head_after:
        head = target.head_before if target.head_before in there else MAIN
    elif state.head in dropped:
        head = MAIN
    kind = REDO if target.kind == UNDO else UNDO
    detail = {"undoes": target.number, "kind": target.kind}
    if kind == REDO:
        detail = {"redoes": target.detail["undoes"], "undo": target.number, "kind": target.detail.get("kind", "")}
    return change(
        kind,
        *puts,
        drops=tuple(drops),
        head=head,
        detail=detail,
        attributes=_attributes(state, found),
        after_operation=state.last_operation,
    )


def _without(entry: BranchChange, erased: History) -> BranchChange:
    """The entry as it would read had the erased messages never been."""
    if not erased:
        return entry

    def lacking(record: BranchRecord | None) -> BranchRecord | None:
        if record is None:
            return None
        kept = history.subtract(record.history, erased)
        return replace(record, history=kept, edits=edits.kept(kept, record.edits))

    return BranchChange(id=entry.id, before=lacking(entry.before), after=lacking(entry.after))


def _check_kept(found: Found, records: Iterable[BranchRecord]) -> None:
    for record in records:
        if history.subtract(record.history, found.freed) != record.history:
            raise InvalidRequestError(
                f"operation {found.target.number} ({found.target.kind}) cannot be undone: gc has given up messages that"
                f" branch {record.id!r} had before it"
            )


def _depended_on(session_id: str, target: Operation, branch_id: str, problem: str) -> BranchMovedError:
    error = BranchMovedError(
        session_id, branch_id, f"{problem}, so operation {target.number} ({target.kind}) cannot be undone"
    )
    error.hint = "undo what came later first"
    if any(entry.before and entry.after for entry in target.branches):
        error.hint += f", or take its changes out of what is there now: `bough revert {target.number}`"
    return error


_FIELDS = ("name", "parent_id", "parent_message_index", "metadata")


def _check_unchanged(session_id: str, target: Operation, entry: BranchChange, present: BranchRecord) -> None:
    """That a branch which the operation made, and which shall go, is still that one, however much it grew."""
    after = entry.after
    if after is None:
        raise _depended_on(session_id, target, entry.id, "was made anew")
    if not history.starts_with(present.history, after.history):
        raise _depended_on(session_id, target, entry.id, "no longer begins with the messages it had then")
    if any(_plain(present, field) != _plain(after, field) for field in _FIELDS):
        raise _depended_on(session_id, target, entry.id, "was renamed or given another parent or other metadata since")


def _restored(session_id: str, target: Operation, entry: BranchChange, present: BranchRecord) -> BranchRecord:
    """The present branch with what the operation changed of it as it was before."""
    before, after = entry.before, entry.after
    if before is None or after is None:
        raise _depended_on(session_id, target, entry.id, "was made anew")
    restored = replace(
        present, updated_at=before.updated_at if present.history == after.history else present.updated_at
    )
    for field in _FIELDS:
        if _plain(before, field) == _plain(after, field):
            continue
        if _plain(present, field) != _plain(after, field):
            raise _depended_on(session_id, target, entry.id, f"was given another {field.replace('_', ' ')} since")
        restored = replace(restored, **{field: getattr(before, field)})
    if (before.history, before.edits) == (after.history, after.edits):
        return restored
    if not history.starts_with(present.history, after.history):
        raise _depended_on(session_id, target, entry.id, "no longer begins with the messages it had then")
    appended = history.cut(present.history, after.length, present.length)
    since = edits.subtract(appended, present.edits, before.history, before.edits)  # a merge may have brought it back
    pieces = history.concat(before.history, since)
    return replace(restored, history=pieces, edits=edits.kept(pieces, before.edits, present.edits))


def _plain(record: BranchRecord, field: str) -> object:
    value = getattr(record, field)
    return dict(value) if isinstance(value, Mapping) else value


def _attributes(state: SessionState, found: Found) -> dict[str, Any] | None:
    """The session's attributes with those that the operation set as they were before it."""
    target = found.target
    if target.attributes is None:
        return None
    before, after = (without_messages(each, found.erased) for each in target.attributes)
    restored = dict(state.attributes)
    for key in before.keys() | after.keys():
        was, became = before.get(key), after.get(key)
        if was == became:
            continue
        if restored.get(key) != became:
            raise InvalidRequestError(
                f"operation {target.number} ({target.kind}) cannot be undone: {key!r} was set again since"
            )
        if was is None:
            restored.pop(key, None)
        else:
            restored[key] = was
    present = tags_of(state.attributes)
    for name, tag in tags_of(restored).items():
        if name not in present and history.subtract(tag.history, found.freed) != tag.history:
            raise InvalidRequestError(
                f"operation {target.number} ({target.kind}) cannot be undone: gc has given up messages that tag"
                f" {name!r} had before it"
            )
    return restored
