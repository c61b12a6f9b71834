"""One attempt at copying one session: what must hold before, the steps, and what must hold afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from bough import codec, edits
from bough.branch import MAIN
from bough.copying import blocks
from bough.copying.blocks import Blocks, Meter, Progress, lines_of
from bough.copying.looking import Messages, Session, histories_of, look
from bough.copying.tips import Tips, without_tips
from bough.errors import BranchExistsError, BranchMovedError, CorruptBranchError
from bough.history import length, starts_with, subtract, union
from bough.model import BranchRecord, Drop, Graft, History, Operation, Piece, Put, replace
from bough.stores.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyResult:
    """What a copy did: how many operations, branches and messages came to the destination's session ``session_id``, and
    how many messages were compared, those that were there before among them. ``lost`` counts messages that the source
    has in its log of operations only, and cannot read any more."""

    session_id: str
    operations: int
    branches: int
    messages: int
    verified: int
    lost: int


@dataclass(slots=True)
class Done:
    operations: int = 0
    branches: set[str] = field(default_factory=set)
    messages: int = 0


class RacedError(Exception):
    """Somebody else wrote to the destination since it was looked at."""

    def __init__(self, error: BranchMovedError | BranchExistsError) -> None:
        super().__init__(str(error))
        self.error = error


class Copy:
    """One attempt at one session."""

    def __init__(
        self,
        source: Store,
        destination: Store,
        goal: Session,
        present: Session,
        done: Done,
        progress: Progress | None,
    ) -> None:
        self._destination = destination
        self._goal = goal
        self._present = present
        self._done = done
        self._everything = goal.everything
        self._freed = goal.freed
        self._held = Messages(present.everything)
        self._branches = dict(present.state.branches)
        self._tips = Tips()
        self._sent: list[tuple[Piece, bytes]] = []
        self._meter = Meter(progress)
        self._blocks = Blocks(source, goal.id, goal.live, self._meter)

    def run(self) -> CopyResult:
        new = length(self._held.lacks(self._everything))
        self._meter.begin(length(self._everything) + new)
        self._check_log()
        self._check_branches()
        verified = self._compare_common()
        self._learn_tips()
        for operation in self._goal.operations:
            if operation.number > self._present.state.last_operation:
                self._repeat(operation)
        for record in self._goal.state.branches.values():
            self._bring(record)
        for branch_id in self._branches.keys() - self._goal.state.branches.keys():
            self._commit(Graft(drops=(Drop(branch_id=branch_id, expected=self._branches[branch_id].version),)))
        verified += self._verify()
        return CopyResult(
            session_id=self._present.id,
            operations=self._done.operations,
            branches=len(self._done.branches),
            messages=self._done.messages,
            verified=verified,
            lost=length(self._blocks.lost),
        )

    # -- what must hold before anything is written -----------------------------------------------------------------

    def _check_log(self) -> None:
        """The destination's operations are the source's first ones, as far as the source's log still has those."""
        theirs = {operation.number: operation for operation in self._goal.operations}
        first = min(theirs, default=0)
        for ours in self._present.operations:
            if ours.number < first:
                continue
            if ours.number not in theirs or theirs[ours.number].id != ours.id:
                branch_id = next((each.id for each in ours.branches), ours.head_after or MAIN)
                raise self._refusal(branch_id, f"has an operation ({ours.number}, {ours.kind}) that the source has not")

    def _check_branches(self) -> None:
        """No branch of the destination has a message of its own that the source knows nothing of."""
        known = Messages(union(self._everything, self._freed))
        for ours in self._branches.values():
            own = tuple(piece for piece in ours.history if piece.segment == ours.tip.segment)
            new = length(known.lacks(own))
            if new:
                raise self._refusal(ours.id, f"has {new} message{'s' * (new > 1)} that the source has not")

    def _compare_common(self) -> int:
        common = subtract(self._everything, self._held.lacks(self._everything))
        compared = 0
        for piece, lines in self._blocks.read(common):
            if lines is None:
                continue
            ours = lines_of(self._destination, self._present.id, (piece,))
            for at, (mine, theirs) in enumerate(zip(ours, lines, strict=True), piece.start):
                if mine != theirs:
                    holder = self._holder(Piece(piece.segment, at, at + 1))
                    raise self._refusal(holder, "holds another message than the source in the same place")
            compared += len(lines)
        return compared

    def _holder(self, piece: Piece) -> str:
        """A branch of the destination that holds this message."""
        holders = (each.id for each in self._branches.values() if subtract((piece,), each.history) != (piece,))
        return next(holders, self._present.state.head or MAIN)

    def _refusal(self, branch_id: str, detail: str) -> BranchMovedError:
        error = BranchMovedError(self._present.id, branch_id, f"{detail}; nothing was written")
        error.hint = "copy under another id: `bough copy --as ID`, or new_id"
        return error

    def _learn_tips(self) -> None:
        for branch_id, ours in self._branches.items():
            self._tips.learn(self._goal.state.branches.get(branch_id), ours)
        theirs = {operation.number: operation for operation in self._goal.operations}
        for operation in self._present.operations:
            if operation.number not in theirs:
                continue
            by_id = {each.id: each for each in theirs[operation.number].branches}
            for change in operation.branches:
                if change.id in by_id:
                    self._tips.learn(by_id[change.id].before, change.before)
                    self._tips.learn(by_id[change.id].after, change.after)

    # -- the steps -------------------------------------------------------------------------------------------------

    def _repeat(self, operation: Operation) -> None:
        """Does an operation of the source in the destination, with all messages that its records speak of."""
        runs = self._send(*histories_of(operation))
        ours = self._tips.operation(operation)
        puts = tuple(self._put(change.after) for change in ours.branches if change.after is not None)
        drops = tuple(
            Drop(branch_id=change.id, expected=self._branches[change.id].version)
            for change in ours.branches
            if change.after is None and change.id in self._branches
        )
        self._commit(Graft(runs=runs, puts=puts, drops=drops, operation=ours))
        self._done.operations += 1

    def _bring(self, record: BranchRecord) -> None:
        """Brings a branch to where it is in the source, by what no operation tells of: appends, above all."""
        ours = self._tips.ours(record)
        if self._branches.get(record.id) != ours:
            runs = self._send(record.history)
            self._commit(Graft(runs=runs, puts=(self._put(ours),)))

    def _put(self, record: BranchRecord) -> Put:
        there = self._branches.get(record.id)
        kept = subtract(record.history, union(self._freed, self._blocks.lost))
        if kept != record.history:
            record = replace(record, history=kept, edits=edits.kept(kept, record.edits))
        return Put(record=record, expected=None if there is None else there.version)

    def _send(self, *histories: History) -> tuple[tuple[Piece, Sequence[bytes]], ...]:
        """The messages that the destination has not, to go with the next step; all but the last block goes ahead."""
        pending: list[tuple[Piece, Sequence[bytes]]] = []
        size = 0
        for piece, lines in self._blocks.read(subtract(self._held.lacks(*histories), self._freed)):
            if lines is None:
                continue
            if size > blocks.BLOCK_BYTES:
                self._commit(Graft(runs=tuple(pending)))
                pending, size = [], 0
            pending.append((piece, lines))
            size += sum(map(len, lines))
            self._sent.append((piece, _digest(lines)))
        self._held.add(*histories)
        return tuple(pending)

    def _commit(self, graft: Graft) -> None:
        try:
            commit = self._destination.commit(self._present.id, graft)
        except (BranchMovedError, BranchExistsError) as error:
            raise RacedError(error) from error
        self._done.branches |= commit.branches.keys() - commit.before.keys()
        self._done.messages += sum(len(lines) for _, lines in graft.runs)
        for drop in graft.drops:
            del self._branches[drop.branch_id]
            self._done.branches.discard(drop.branch_id)
        self._branches |= commit.branches

    # -- afterwards ------------------------------------------------------------------------------------------------

    def _verify(self) -> int:
        """The destination has the operations, the branches and the messages that it was sent."""
        verified = 0
        for piece, digest in self._sent:
            if _digest(lines_of(self._destination, self._present.id, (piece,))) != digest:
                raise self._not_right(f"segment {piece.segment}, from {piece.start}", "other messages came back")
            verified += piece.stop - piece.start
            self._meter.count(piece.stop - piece.start)
        there = look(self._destination, self._present.id)
        ours = {operation.number: operation for operation in there.operations}
        for operation in self._goal.operations:
            mine = ours.get(operation.number)
            if mine is None and operation.number <= self._present.state.last_operation:
                continue  # the destination's log may begin later
            if mine is None or without_tips(mine) != without_tips(operation):
                raise self._not_right(f"operation {operation.number}", "it is not what the source has")
        if there.state.last_operation == self._goal.state.last_operation:
            self._verify_attributes(there)
        for theirs in self._goal.state.branches.values():
            branch = there.state.branches.get(theirs.id)
            # Whoever goes on in the copy already does so behind that.
            if branch is None or not starts_with(branch.history, theirs.history):
                raise self._not_right(f"branch {theirs.id!r}", "it has another history than in the source")
        return verified

    def _verify_attributes(self, there: Session) -> None:
        """Those of the session, as the log tells of them: of a damaged one nothing can be said."""
        told = [operation.attributes[1] for operation in self._goal.operations if operation.attributes is not None]
        if told and codec.dumps(dict(told[-1])) != codec.dumps(dict(there.state.attributes)):
            raise self._not_right("its tags and metadata", "they are not what the source has")

    def _not_right(self, place: str, reason: str) -> CorruptBranchError:
        return CorruptBranchError(f"session {self._present.id!r}, {place}", reason, session_id=self._present.id)


def _digest(lines: Sequence[bytes]) -> bytes:
    return hashlib.blake2b(b"\n".join(lines), digest_size=32).digest()
