"""The verbs that bring one branch's messages to another: merge, cherry-pick, revert; and where a message came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from bough import changes, edits, history
from bough.branch import Messages
from bough.diff import Side, compare
from bough.errors import BranchNotFoundError, InvalidRequestError, MergeConflictError
from bough.events import Event
from bough.manager.base import Align, Base, number_of
from bough.merge import (
    ADDING,
    STRATEGIES,
    Conflict,
    Conflicts,
    Sides,
    Strategy,
    find_base,
    find_squashed,
    lower,
    pick,
    three_way,
)
from bough.merge.result import MergeResult, Origin
from bough.merge.sides import Identity
from bough.merge.three_way import Resolve
from bough.model import BranchRecord, Change, Edit, History, Operation, Piece, Put, SessionState, Version, replace
from bough.revisions import HEAD, identity_of
from bough.stores.base import check_id
from bough.turns import align as align_turns
from bough.undo import FIXED, REDO, UNDO

_OURS = "bough."
"""The modules of strategies of which it is known what they ask of the log, which may be long: most ask nothing."""


class _Merged(Struct, frozen=True):
    """What a strategy made of two records; ``put`` is None where the target stays as it is. ``squashed`` is what was
    squashed into the target before."""

    put: Put | None
    conflicts: tuple[Conflict, ...] = ()
    squashed: History = ()


class MergeVerbs(Base):
    """The verbs of merging."""

    def merge(
        self,
        source_branch_id: str,
        strategy: str | Strategy = "append",
        *,
        preview: bool = False,
        align: Align | None = None,
    ) -> MergeResult:
        """Merges a branch into the current one.

        ``strategy`` is the name of one (``append replace interleave three-way``), or a function: those of
        :mod:`bough.merge` that take arguments (``pick([3, 4])``, ``squash("…")``, ``three_way(resolve)``), or your own.
        ``align``, with ``append``, leaves out what would come without the rest of its tool call (``back``), or brings
        that along (``forward``).

        With ``preview`` nothing is written: the result says what would happen, conflicts among it. Otherwise conflicts
        that nobody resolved are a ``MergeConflictError``. ``InvalidRequestError`` for an unknown strategy and for a
        merge into itself. Where nothing changes there is no operation and no event, but that a three-way merge which
        settled something is recorded, so that it stays settled.
        """
        work, name = self._strategy(strategy, align)
        target = self._current
        if check_id(source_branch_id) == target:
            raise InvalidRequestError(f"branch {target!r} cannot be merged into itself")
        merged: list[_Merged] = []

        def plan(state: SessionState) -> Change | None:
            record = self._session.find(state, target)
            source = self._session.find(state, source_branch_id)
            outcome = self._merged(record, source, work, name)
            merged[:] = [outcome]
            if preview:
                return None
            if outcome.conflicts:
                raise MergeConflictError(source_branch_id, target, outcome.conflicts)
            if outcome.put is None and not (name == "three-way" and self._settles(record, source)):
                return None
            return _merge_change(record, source, name, outcome, state)

        state, commit = self._session.write(plan, only=[target, source_branch_id])
        [outcome] = merged
        before = state.branches[target]
        after = outcome.put.record if outcome.put else before
        found_nothing = outcome.put is None and name in ADDING
        diff = compare(Side(before.history, before.edits), Side(after.history, after.edits))
        if commit:
            payload = {"source": source_branch_id, "target": target, "strategy": name}
            self._session.announce(commit, Event("branch:merged", payload))
        return MergeResult(
            source=source_branch_id,
            target=target,
            strategy=name,
            added=history.length(history.subtract(after.history, before.history)),
            removed=history.length(history.subtract(before.history, after.history)),
            operation=number_of(commit),
            conflicts=outcome.conflicts,
            diff=diff,
            new=tuple(outcome.put.messages) if outcome.put else (),
            new_at=_first_new(outcome.put),
            reworded=self._reworded(after, state.branches[source_branch_id]) if found_nothing else 0,
        )

    def _reworded(self, target: BranchRecord, source: BranchRecord) -> int:
        """How many messages the source has edited that the target holds in another wording."""
        missing = edits.subtract(source.history, source.edits, target.history, target.edits)
        differ = history.subtract(history.subtract(source.history, target.history), missing)
        if differ:
            base = find_base(self.store.operations(self.session_id), target.id, source.id)
            differ = history.subtract(differ, base.history if base else ())
        return history.length(differ)

    def _strategy(self, strategy: str | Strategy, align: Align | None) -> tuple[Strategy, str]:
        """The strategy and its name."""
        if align is not None and strategy not in ("append", STRATEGIES["append"]):
            raise InvalidRequestError("align goes with the strategy append")
        if isinstance(strategy, str):
            if strategy not in STRATEGIES:
                names = ", ".join(STRATEGIES)
                raise InvalidRequestError(f"no strategy {strategy!r}", hint=f"the strategies with a name are {names}")
            if align is not None:
                return self._append_whole(align), "pick"  # so that what was left out does not count as refused
            return STRATEGIES[strategy], strategy
        if not callable(strategy):
            raise InvalidRequestError(f"{strategy!r} is no strategy")
        name = getattr(strategy, "__qualname__", type(strategy).__name__).partition(".")[0]
        return strategy, name.strip("<>").replace("_", "-")

    def _append_whole(self, align: Align) -> Strategy:
        def append(sides: Sides) -> Iterable[Any]:
            source, target = sides.source, sides.target
            missing = edits.subtract(source.history, source.edits, target.history, target.edits)
            return pick(self._whole_groups(source.history, missing, align))(sides)

        return append

    def _whole_groups(self, source: History, picked: History, align: Align) -> History:
        """``picked``, which ``source`` holds, without groups that it holds in part, or with all of those."""
        messages = Messages(self.store, self.session_id, source)
        outwards = align == "forward"
        whole: list[Piece] = []
        for segment, first, last in picked:
            start = history.index_of(source, segment, first) or 0
            stop = start + last - first
            start = align_turns(messages, start, "back" if outwards else "forward")
            stop = align_turns(messages, stop, "forward" if outwards else "back")
            whole += history.cut(source, start, max(start, stop))
        return history.normalise(dict.fromkeys(whole))

    def _merged(self, target: BranchRecord, source: BranchRecord, work: Strategy, name: str) -> _Merged:
        sides = Sides(
            target=Side(target.history, target.edits),
            source=Side(source.history, source.edits),
            read=self.read_messages,
        )
        is_ours = getattr(work, "__module__", "").startswith(_OURS)
        if not is_ours or name == "three-way":
            base = find_base(self.store.operations(self.session_id), target.id, source.id)
            sides = replace(sides, base=base)
        if not is_ours or name == "squash":
            squashed = find_squashed(self.store.operations(self.session_id), target.id)
            sides = replace(sides, squashed=squashed)
        try:
            parts = list(work(sides))
        except Conflicts as found:
            return _Merged(None, found.conflicts)
        return _Merged(lower(parts, target, sides), squashed=sides.squashed)

    def _settles(self, target: BranchRecord, source: BranchRecord) -> bool:
        """Whether the source has changed since the base, so that a merge which leaves the target as it is decides
        something."""
        base = find_base(self.store.operations(self.session_id), target.id, source.id)
        return base is None or (base.history, base.edits) != (source.history, source.edits)

    # -- picking and reverting -------------------------------------------------------------------------------------

    def cherry_pick(self, *revisions: str, align: Align | None = None) -> Version:
        """Appends chosen messages to the current branch, those that it does not hold in any wording.

        Of each revision the last message; of a range ``A..B`` what B has and A has not. ``align`` leaves out messages
        whose tool call or results would not come along (``back``), or brings those too (``forward``).
        ``RevisionNotFoundError``.
        """
        picked: list[Piece] = []
        known: list[Edit] = []
        few: SessionState | None = None
        for revision in revisions:
            few = self._few(revision, self._current)
            before, after = self._resolve_range(revision, few=few)
            chosen = edits.subtract(after.history, after.edits, before.history, before.edits)
            if align is not None:
                chosen = self._whole_groups(self._longest(after.branch_id, after.history), chosen, align)
            picked += chosen
            known += after.edits
        wanted = history.normalise(dict.fromkeys(picked))

        def plan(record: BranchRecord) -> Put | None:
            new = edits.subtract(wanted, known, record.history, record.edits)
            if not new:
                return None
            return changes.put_history(record, history.concat(record.history, new), known)

        detail = {"picked": [list(piece) for piece in wanted]}
        record, _ = self._change_branch("cherry-pick", None, plan, lambda _: detail, seen=few)
        return record.version

    def _longest(self, branch_id: str | None, pieces: History) -> History:
        """The history of the branch if that goes on from ``pieces``, else those."""
        if branch_id is not None:
            try:
                record = self._session.record(branch_id)
            except BranchNotFoundError:
                return pieces
            if history.starts_with(record.history, pieces):
                return record.history
        return pieces

    def revert(self, operation: int, resolve: Resolve | None = None) -> int | None:
        """Takes out of the branches what an operation changed of their messages, and keeps what came later.

        Where :meth:`undo` would refuse because something later depends on the operation, this makes a three-way merge:
        ``MergeConflictError`` where a message was changed again since, unless ``resolve`` decides. The number of the
        operation that this makes, None where nothing of it is left. ``InvalidRequestError`` where there is no such
        operation, it changed no branch's messages, or gc has given up what it took away. What was purged stays away.
        """
        target, freed, erased = self._since(operation)
        changed: list[tuple[str, Side, Side]] = []
        for entry in target.branches:
            if entry.before is not None and entry.after is not None:
                before, after = (_without(record, erased) for record in (entry.before, entry.after))
                if before != after:
                    changed.append((entry.id, before, after))
        if not changed:
            raise InvalidRequestError(
                f"operation {operation} ({target.kind}) changed no branch's messages",
                hint="" if target.kind in FIXED | {UNDO, REDO} else f"`bough undo {operation}`",
            )
        for branch_id, before, after in changed:
            taken = history.subtract(before.history, after.history)
            if history.subtract(taken, freed) != taken:
                raise InvalidRequestError(
                    f"operation {operation} ({target.kind}) cannot be reverted: gc has given up messages that branch"
                    f" {branch_id!r} had before it"
                )

        def plan(state: SessionState) -> Change | None:
            puts = []
            for branch_id, before, after in changed:
                record = self._session.find(state, branch_id)
                target_side = Side(record.history, record.edits)
                sides = Sides(target=target_side, source=before, base=after, read=self.read_messages)
                try:
                    put = lower(list(three_way(resolve)(sides)), record, sides)
                except Conflicts as found:
                    was = f"{branch_id} before operation {operation}"
                    raise MergeConflictError(was, branch_id, found.conflicts) from None
                if put is not None:
                    puts.append(put)
            return changes.change("revert", *puts, detail={"reverts": operation, "kind": target.kind}) if puts else None

        _, commit = self._session.write(plan, only=[branch_id for branch_id, _, _ in changed])
        return number_of(commit)

    def _since(self, number: int) -> tuple[Operation, History, History]:
        """The operation, what gc gave up since, and what was purged since. ``InvalidRequestError``."""
        freed: list[History] = []
        erased: list[History] = []
        for operation in self.store.operations(self.session_id):
            if operation.number == number:
                return operation, history.union(*freed), history.union(*erased)
            (erased if operation.erased else freed).append(operation.freed)
        raise InvalidRequestError(f"there is no operation {number}", hint="`bough ops` lists them")

    # -- provenance ------------------------------------------------------------------------------------------------

    def origin(self, revision: str = HEAD) -> Origin:
        """Where the last message of a revision comes from: the branch it was written on, the operation that brought it
        to this one, the first wording it replaces, the messages it stands for. ``RevisionNotFoundError``."""
        found = self.resolve(revision)
        place = identity_of(found)
        writer: str | None = None
        state = self._session.load()
        for branch in state.branches.values():
            if branch.tip.segment == place.segment:
                writer = branch.id
        came: Operation | None = None
        made: Operation | None = None
        for operation in self.store.operations(self.session_id):
            for entry in operation.branches:
                for record in (entry.after, entry.before):
                    if writer is None and record is not None and record.tip.segment == place.segment:
                        writer = record.id
                if entry.id == found.branch_id and _holds(entry.before, place):
                    came = None  # what brought it here later brought it back
                elif entry.id == found.branch_id and _holds(entry.after, place):
                    came = operation
                if _holds(entry.after, place) and not _holds(entry.before, place) and entry.before is not None:
                    made = operation
        edit = next((each for each in found.edits if each[:2] == place[:2]), None)
        squashed = find_stands_for(made, place)
        return Origin(
            segment=place.segment,
            position=place.start,
            written_on=writer,
            branch_id=found.branch_id,
            came_by=came,
            original=None if edit is None else (edit.original_segment, edit.original_position),
            stands_for=squashed,
        )


def _without(record: BranchRecord, erased: History) -> Side:
    """What the record holds, as it would read had the erased messages never been."""
    kept = history.subtract(record.history, erased)
    return Side(kept, edits.kept(kept, record.edits))


def _first_new(put: Put | None) -> Identity | None:
    """Where the messages that a merge makes begin."""
    if put is None or not put.messages:
        return None
    segment, stop = put.record.tip
    return segment, stop - len(put.messages)


def _merge_change(
    target: BranchRecord, source: BranchRecord, strategy: str, merged: _Merged, state: SessionState
) -> Change:
    detail: dict[str, Any] = {
        "source": source.id,
        "target": target.id,
        "strategy": strategy,
        "source_history": [list(piece) for piece in source.history],
    }
    if source.edits:
        detail["source_edits"] = [list(edit) for edit in source.edits]
    put = merged.put
    if put is None:
        return changes.change("merge", detail=detail, after_operation=state.last_operation)
    if put.messages and strategy == "squash":
        missing = edits.subtract(source.history, source.edits, target.history, target.edits)
        stands_for = edits.subtract(missing, source.edits, merged.squashed, ())
        detail["squashed"] = [list(piece) for piece in stands_for]
    return changes.change("merge", put, detail=detail)


def _holds(record: BranchRecord | None, place: Piece) -> bool:
    return record is not None and history.index_of(record.history, place.segment, place.start) is not None


def find_stands_for(operation: Operation | None, place: Piece) -> History:
    """The messages that a squash put the one at ``place`` for."""
    if operation is None or operation.detail.get("strategy") != "squash":
        return ()
    for entry in operation.branches:
        if entry.before is not None and entry.before.tip.segment == place.segment:
            return tuple(Piece(*piece) for piece in operation.detail.get("squashed", ()))
    return ()
