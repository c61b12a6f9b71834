"""Copying a session to another store, or under another id: the source's operations are done once more, one by one.

1. What is kept: messages and their identities, histories, operations with their numbers, ids and times, HEAD.
2. Each step is one commit of the destination (:class:`bough.model.Graft`). So a copy that was interrupted goes on where
   it was, and one that is made again brings what is new; where nothing is, nothing is written.
3. The source is only read. What others write to it meanwhile is left for the next time.
4. Only who made a segment appends to it: in the copy each branch has another tip segment, of a new id. Which one stands
   for which of the source's is read from both logs, never derived, for two copies of a session must not share one.
5. Before anything is written, all that both sides have is compared; a destination that has something of its own, or
   another message under the same identity, is refused (``BranchMovedError``). Afterwards all that was sent is compared.
6. A bounded number of messages is held at a time, however many a branch has.

Messages that the source itself has lost, and that no branch holds any more (another program deleted the file), are left
out: the operations that had them stay in the log, and an undo of those fails here as it does there.

What it deliberately does not do: merge two sessions that went different ways. Copy one under another id instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TypeAlias

from bough.branch import MAIN
from bough.changes import new_id as fresh_id
from bough.codec import encode_found
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    CorruptBranchError,
    InvalidRequestError,
    SessionNotFoundError,
)
from bough.history import length, starts_with, subtract, union
from bough.model import (
    BranchChange,
    BranchRecord,
    Drop,
    Graft,
    History,
    Operation,
    Piece,
    Put,
    SessionState,
    Tip,
    replace,
)
from bough.stores import open_store
from bough.stores.base import Store, check_id

Progress: TypeAlias = Callable[[int, int], object]
"""Hears how much is done, and how much there is to do: each message counts once for each time that it is read."""

BLOCK_BYTES = 4 << 20
BLOCK = 1000
"""The most messages that are read at a time; fewer where they are long, so that they come to about BLOCK_BYTES."""


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


def copy_session(
    source: Store | str | os.PathLike[str],
    destination: Store | str | os.PathLike[str],
    session_id: str,
    *,
    new_id: str | None = None,
    progress: Progress | None = None,
) -> CopyResult:
    """Copies a session from one store to another (a store, or what :func:`bough.stores.open_store` takes).

    ``new_id`` is its id there, the same if None. Made again, it brings what is new. ``SessionNotFoundError``;
    ``CorruptBranchError`` where a branch of the source cannot be read, or the copy is not what was sent;
    ``BranchMovedError``, with nothing written, where the destination's session has something that the source's has not.
    """
    target = check_id(session_id if new_id is None else new_id)
    with ExitStack() as opened:
        stores: list[Store] = []
        for each in (source, destination):
            is_place = isinstance(each, str | os.PathLike)
            stores.append(opened.enter_context(closing(open_store(each))) if is_place else each)  # type: ignore[arg-type]
        if target == session_id and are_one(*stores):
            raise InvalidRequestError("a session cannot be copied onto itself", hint="give the copy another id")
        goal = _look(stores[0], check_id(session_id))
        done = _Done()
        refused: tuple[_Session, _RacedError] | None = None
        while True:
            present = _look(stores[1], target, must_exist=False)
            if refused is not None and refused[0] == present:
                raise refused[1].error  # nobody was faster: a store that contradicts itself would keep us here for ever
            try:
                return _Copy(stores[0], stores[1], goal, present, done, progress or _unheard).run()
            except _RacedError as error:
                refused = present, error


def are_one(left: Store, right: Store) -> bool:
    """Whether two stores are the same place."""
    if left is right or "memory:" in (left.url, right.url):
        return left is right
    return _place(left.url) == _place(right.url)


def _place(url: str) -> tuple[str, str]:
    scheme, _, path = url.partition(":")
    return scheme, os.path.realpath(path)


def _unheard(done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """One session at one moment: its state, and the operations that led to it, oldest first."""

    state: SessionState
    operations: Sequence[Operation]

    @property
    def id(self) -> str:
        return self.state.session_id

    @property
    def live(self) -> History:
        return union(*(record.history for record in self.state.branches.values()))

    @property
    def everything(self) -> History:
        """All messages that a branch has, or had by the log."""
        found = _Messages(self.live)
        for operation in self.operations:
            found.add(*(record.history for record in _records(operation)))
        return found.all


class _Messages:
    """A set of messages that grows, at a cost that depends on the segments that it is asked for."""

    def __init__(self, history: History) -> None:
        self._runs: dict[str, History] = {}
        self.add(history)

    @property
    def all(self) -> History:
        return tuple(piece for segment in sorted(self._runs) for piece in self._runs[segment])

    def add(self, *histories: History) -> None:
        for segment, pieces in groupby(union(*histories), key=attrgetter("segment")):
            self._runs[segment] = union(self._runs.get(segment, ()), tuple(pieces))

    def lacks(self, *histories: History) -> History:
        """What of the histories is not among them, each message once."""
        wanted = union(*histories)
        held = (piece for segment in {each.segment for each in wanted} for piece in self._runs.get(segment, ()))
        return subtract(wanted, tuple(held))


@dataclass(slots=True)
class _Done:
    operations: int = 0
    branches: set[str] = field(default_factory=set)
    messages: int = 0
    lost: History = ()


class _RacedError(Exception):
    """Somebody else wrote to the destination since it was looked at."""

    def __init__(self, error: BranchMovedError | BranchExistsError) -> None:
        super().__init__(str(error))
        self.error = error


def _look(store: Store, session_id: str, *, must_exist: bool = True) -> _Session:
    state = store.load(session_id)
    for finding in state.findings:
        if finding.branch_id is None or finding.branch_id not in state.branches:
            raise CorruptBranchError(
                finding.place, finding.problem, session_id=session_id, branch_id=finding.branch_id or ""
            )
    operations = [each for each in store.operations(session_id) if each.number <= state.last_operation]
    if must_exist and not state.branches and not operations:
        raise SessionNotFoundError(session_id)
    return _Session(state=state, operations=operations[::-1])


def _records(operation: Operation) -> Iterator[BranchRecord]:
    for change in operation.branches:
        if change.before is not None:
            yield change.before
        if change.after is not None:
            yield change.after


@dataclass(slots=True)
class _Tips:
    """Which tip a branch has in the destination, by the branch and its tip segment in the source (guarantee 4)."""

    known: dict[tuple[str, str], Tip] = field(default_factory=dict)

    def learn(self, theirs: BranchRecord | None, ours: BranchRecord | None) -> None:
        if theirs is not None and ours is not None:
            tip = self.known.setdefault((theirs.id, theirs.tip.segment), ours.tip)
            if tip.segment == ours.tip.segment and tip.next < ours.tip.next:
                self.known[theirs.id, theirs.tip.segment] = ours.tip

    def ours(self, record: BranchRecord) -> BranchRecord:
        """The record as it is in the destination."""
        return replace(record, tip=self.known.setdefault((record.id, record.tip.segment), Tip(fresh_id(), 0)))

    def operation(self, operation: Operation) -> Operation:
        changes = [
            BranchChange(
                id=each.id, before=each.before and self.ours(each.before), after=each.after and self.ours(each.after)
            )
            for each in operation.branches
        ]
        return replace(operation, branches=tuple(changes))


class _Copy:
    """One attempt at one session."""

    def __init__(
        self, source: Store, destination: Store, goal: _Session, present: _Session, done: _Done, progress: Progress
    ) -> None:
        self._source = source
        self._destination = destination
        self._goal = goal
        self._present = present
        self._done = done
        self._progress = progress
        self._live = goal.live
        self._everything = goal.everything
        self._held = _Messages(present.everything)
        self._branches = dict(present.state.branches)
        self._tips = _Tips()
        self._sent: list[tuple[Piece, bytes]] = []
        self._read = 0
        new = length(self._held.lacks(self._everything))
        self._to_read = length(self._everything) + new

    def run(self) -> CopyResult:
        self._progress(0, self._to_read)
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
            lost=length(self._done.lost),
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
        known = _Messages(self._everything)
        for ours in self._branches.values():
            own = tuple(piece for piece in ours.history if piece.segment == ours.tip.segment)
            new = length(known.lacks(own))
            if new:
                raise self._refusal(ours.id, f"has {new} message{'s' * (new > 1)} that the source has not")

    def _compare_common(self) -> int:
        common = subtract(self._everything, self._held.lacks(self._everything))
        compared = 0
        for piece, lines in self._blocks(common):
            if lines is None:
                continue
            ours = self._lines(self._destination, self._present.id, (piece,))
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
        runs = self._send(*(record.history for record in _records(operation)))
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
        if self._done.lost:
            record = replace(record, history=subtract(record.history, self._done.lost))
        return Put(record=record, expected=None if there is None else there.version)

    def _send(self, *histories: History) -> tuple[tuple[Piece, Sequence[bytes]], ...]:
        """The messages that the destination has not, to go with the next step; all but the last block goes ahead."""
        pending: list[tuple[Piece, Sequence[bytes]]] = []
        size = 0
        for piece, lines in self._blocks(self._held.lacks(*histories)):
            if lines is None:
                continue
            if size > BLOCK_BYTES:
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
            raise _RacedError(error) from error
        self._done.branches |= commit.branches.keys() - commit.before.keys()
        self._done.messages += sum(len(lines) for _, lines in graft.runs)
        for drop in graft.drops:
            del self._branches[drop.branch_id]
            self._done.branches.discard(drop.branch_id)
        self._branches |= commit.branches

    # -- reading ---------------------------------------------------------------------------------------------------

    def _blocks(self, history: History) -> Iterator[tuple[Piece, list[bytes] | None]]:
        """The source's messages in blocks of one segment each; None for what it has lost and no branch needs."""
        size = 64
        for piece in history:
            at = piece.start
            while at < piece.stop:
                block = Piece(piece.segment, at, min(at + size, piece.stop))
                for part, lines in self._readable(block):
                    self._read += part.stop - part.start
                    self._progress(self._read, self._to_read)
                    yield part, lines
                    if lines:
                        average = sum(map(len, lines)) // len(lines) + 1
                        size = max(1, min(BLOCK, size * 2, BLOCK_BYTES // average))
                at = block.stop

    def _readable(self, piece: Piece) -> Iterator[tuple[Piece, list[bytes] | None]]:
        try:
            yield piece, self._lines(self._source, self._goal.id, (piece,))
        except CorruptBranchError:
            if subtract((piece,), self._live) != (piece,) and piece.stop - piece.start == 1:
                raise
            if piece.stop - piece.start == 1:
                self._done.lost = union(self._done.lost, (piece,))
                yield piece, None
                return
            middle = (piece.start + piece.stop) // 2
            for half in (piece._replace(stop=middle), piece._replace(start=middle)):
                yield from self._readable(half)

    def _lines(self, store: Store, session_id: str, history: History) -> list[bytes]:
        return [encode_found(message) for message in store.read(session_id, history)]

    # -- afterwards ------------------------------------------------------------------------------------------------

    def _verify(self) -> int:
        """The destination has the operations, the branches and the messages that it was sent."""
        verified = 0
        for piece, digest in self._sent:
            if _digest(self._lines(self._destination, self._present.id, (piece,))) != digest:
                raise self._not_right(f"segment {piece.segment}, from {piece.start}", "other messages came back")
            verified += piece.stop - piece.start
            self._read += piece.stop - piece.start
            self._progress(self._read, self._to_read)
        there = _look(self._destination, self._present.id)
        ours = {operation.number: operation for operation in there.operations}
        for operation in self._goal.operations:
            mine = ours.get(operation.number)
            if mine is None and operation.number <= self._present.state.last_operation:
                continue  # the destination's log may begin later
            if mine is None or _plain(mine) != _plain(operation):
                raise self._not_right(f"operation {operation.number}", "it is not what the source has")
        for theirs in self._goal.state.branches.values():
            branch = there.state.branches.get(theirs.id)
            # Whoever goes on in the copy already does so behind that.
            if branch is None or not starts_with(branch.history, theirs.history):
                raise self._not_right(f"branch {theirs.id!r}", "it has another history than in the source")
        return verified

    def _not_right(self, place: str, reason: str) -> CorruptBranchError:
        return CorruptBranchError(f"session {self._present.id!r}, {place}", reason, session_id=self._present.id)


def _digest(lines: Sequence[bytes]) -> bytes:
    return hashlib.blake2b(b"\n".join(lines), digest_size=32).digest()


def _plain(operation: Operation) -> Operation:
    """The operation without tips, which differ between a session and its copy."""
    nowhere = Tip("", 0)
    changes = [
        replace(
            each,
            before=each.before and replace(each.before, tip=nowhere),
            after=each.after and replace(each.after, tip=nowhere),
        )
        for each in operation.branches
    ]
    return replace(operation, branches=tuple(changes))
