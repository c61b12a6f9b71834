"""The store that keeps everything in this process: the reference model that the other stores are held against.

It is meant to be obviously right rather than fast. A session is one immutable snapshot and a list of bytes per segment;
a commit builds the next snapshot and puts it in the place of the old one in a single assignment. So:

1. A reader takes the snapshot that is there and never locks; lists only ever grow, behind what a snapshot refers to.
2. Writers of one session take turns by a re-entrant lock, the one that ``lock()`` hands out. Who waited for it looks
   whether the session is still there under that id.

What it deliberately does not do: last. Two stores never share anything, and ``close`` forgets it all.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bough import codec
from bough.errors import (
    BranchExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    InvalidRequestError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from bough.history import length, normalise, subtract, union
from bough.model import (
    Append,
    BranchChange,
    BranchRecord,
    Change,
    Commit,
    Finding,
    Graft,
    History,
    Message,
    Operation,
    Piece,
    SessionState,
    Version,
    replace,
)
from bough.search import Found, Query
from bough.stores.base import check_free, check_id, kept_id, operation_of, session_exists
from bough.stores.scan import scan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    head: str | None = None
    branches: Mapping[str, BranchRecord] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last_operation(self) -> int:
        in_log = self.operations[-1].number if self.operations else 0
        return max([in_log, *(record.operation for record in self.branches.values())])


class _Session:
    def __init__(self) -> None:
        self.writing = threading.RLock()
        self.segments: dict[str, list[bytes | None]] = {}  # None where a graft left a gap, or a message was given up
        self.snapshot = _Snapshot()


class MemoryStore:
    """See the module's docstring, and :class:`bough.stores.base.Store` for what each method promises.

    A commit waits for another thread's without a limit. A refusal of the store's own is ``InvalidRequestError`` for a
    put that would give a position out twice: a mistake of the caller, not of the conversation.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._deleted: dict[str, _Session] = {}
        self._moving = threading.Lock()
        self._closed = False

    @property
    def url(self) -> str:
        return "memory:"

    def sessions(self, *, deleted: bool = False) -> list[str]:
        self._check_open()
        kept = self._deleted if deleted else self._sessions
        return sorted(name for name, session in list(kept.items()) if session.snapshot.branches)

    def move(self, session_id: str, new_id: str | None) -> str:
        self._check_open()
        check_id(session_id if new_id is None else new_id)
        with self._writing(session_id, self._deleted) as session, self._moving:
            origin = self._sessions if self._sessions.get(session_id) is session else self._deleted
            if not session.snapshot.branches or (new_id is None and origin is self._deleted):
                raise SessionNotFoundError(session_id)
            if new_id is None:
                new_id, _ = kept_id(session_id, {*self._sessions, *self._deleted})
                self._deleted[new_id] = session
            elif new_id in self._sessions and self._sessions[new_id].snapshot.branches:
                raise session_exists(new_id)
            else:
                self._sessions[new_id] = session
            del origin[session_id]
        return new_id

    def load(self, session_id: str, *, only: Collection[str] | None = None) -> SessionState:
        self._check_open()
        session = self._sessions.get(session_id)
        snapshot = session.snapshot if session else _Snapshot()
        branches = {name: record for name, record in snapshot.branches.items() if only is None or name in only}
        return SessionState(
            session_id=session_id,
            head=snapshot.head,
            branches=MappingProxyType(branches),
            last_operation=snapshot.last_operation,
            attributes=snapshot.attributes,
        )

    def read(self, session_id: str, history: History) -> list[Message]:
        self._check_open()
        session = self._sessions.get(session_id)
        segments = session.segments if session else {}
        lines: list[bytes] = []
        for segment, start, stop in history:
            log = segments.get(segment, [])
            _check_there(session_id, Piece(segment, start, stop), log)
            lines += [line for line in log[start:stop] if line is not None]
        return [codec.decode(line) for line in lines]

    def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
        with self._writing(session_id) as session:
            if isinstance(change, Append):
                return _append(session, session_id, change)
            if isinstance(change, Graft):
                return _graft(session, session_id, change)
            return _apply(session, session_id, change)

    def operations(self, session_id: str) -> Iterator[Operation]:
        self._check_open()
        session = self._sessions.get(session_id)
        return reversed(session.snapshot.operations if session else ())

    def search(
        self, query: Query, *, session_id: str | None = None, branch_id: str | None = None
    ) -> Iterator[Found | Finding]:
        self._check_open()
        return scan(self, query, session_id, branch_id)

    def verify(self, session_id: str) -> Iterator[Finding]:
        """There are no bytes here that could go bad; but a copy or an import may have left messages."""
        self._check_open()
        session = self._sessions.get(session_id)
        rest = _unreachable(session) if session else ()
        if rest:
            yield Finding(
                place="messages",
                problem=f"no branch has or had {length(rest)} of the messages",
                severity="note",
                advice="`bough gc --unreachable` gives them up",
                history=rest,
                unreachable=True,
            )

    @contextmanager
    def lock(self, session_id: str) -> Iterator[object]:
        with self._writing(session_id) as session:
            if not session.snapshot.branches:
                raise SessionNotFoundError(session_id)
            yield session

    def close(self) -> None:
        self._closed = True
        self._sessions = {}
        self._deleted = {}

    @contextmanager
    def _writing(self, session_id: str, others: Mapping[str, _Session] = MappingProxyType({})) -> Iterator[_Session]:
        """The session, held: not one that was moved while this thread waited for it."""
        while True:
            self._check_open()
            session = self._sessions.get(session_id) or others.get(session_id) or self._begin(session_id)
            with session.writing:
                if session in (self._sessions.get(session_id), others.get(session_id)):
                    yield session
                    return

    def _begin(self, session_id: str) -> _Session:
        with self._moving:
            return self._sessions.setdefault(session_id, _Session())

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("the memory store is closed")


def _unreachable(session: _Session) -> History:
    """The messages that no branch and no operation has or had. Segments first: what comes meanwhile has a branch."""
    there = [
        Piece(segment, at, at + 1)
        for segment, log in list(session.segments.items())
        for at, line in enumerate(log)
        if line is not None
    ]
    snapshot = session.snapshot
    logged = (
        record for entry in snapshot.operations for each in entry.branches for record in (each.before, each.after)
    )
    records = [*snapshot.branches.values(), *(record for record in logged if record is not None)]
    return subtract(normalise(there), union(*(record.history for record in records)))


def _lines(log: Sequence[bytes | None], start: int, stop: int) -> list[bytes | None]:
    """What stands at those positions, None where nothing does."""
    return [*log[start:stop], *[None] * (stop - max(start, len(log)))]


def _check_there(session_id: str, piece: Piece, log: Sequence[bytes | None]) -> None:
    found = _lines(log, piece.start, piece.stop)
    if None in found:
        place = piece.start + found.index(None)
        raise CorruptBranchError(f"segment {piece.segment}", f"no message at {place}", session_id=session_id)


def _append(session: _Session, session_id: str, change: Append) -> Commit:
    old = session.snapshot
    before = old.branches.get(change.branch_id)
    if before is None:
        raise BranchNotFoundError(session_id, change.branch_id)
    after = before.appended(len(change.messages), codec.now())
    session.segments.setdefault(before.tip.segment, []).extend(change.messages)
    session.snapshot = _Snapshot(
        head=old.head,
        branches={**old.branches, after.id: after},
        operations=old.operations,
        attributes=old.attributes,
    )
    return Commit(branches={after.id: after}, before={before.id: before})


def _apply(session: _Session, session_id: str, change: Change) -> Commit:
    old = session.snapshot
    number = old.last_operation + 1
    branches = dict(old.branches)
    changes: list[BranchChange] = []
    stops: dict[str, int] = {}  # where the segments that grow will end

    if change.after_operation is not None and change.after_operation != old.last_operation:
        raise BranchMovedError(session_id, change.head or old.head or "", "had another operation meanwhile")
    for put in change.puts:
        before = _check_version(session_id, put.record.id, old, put.expected)
        segment, stop = put.record.tip
        if len(session.segments.get(segment, [])) + len(put.messages) != stop:
            raise InvalidRequestError(f"segment {segment} of branch {put.record.id!r} does not go on at {stop}")
        stops[segment] = stop
        after = replace(put.record, operation=number)
        branches[after.id] = after
        changes.append(BranchChange(id=after.id, before=before, after=after))
    for drop in change.drops:
        before = _check_version(session_id, drop.branch_id, old, drop.expected)
        del branches[drop.branch_id]
        changes.append(BranchChange(id=drop.branch_id, before=before, after=None))

    for put in change.puts:
        for segment, start, stop in put.record.history:
            log = session.segments.get(segment, [])
            there = (
                min(stop, len(log)) if stop <= stops.get(segment, 0) else stop
            )  # what is behind comes with the change
            if start < there:
                _check_there(session_id, Piece(segment, start, there), log)

    check_free(session_id, change.free, branches)
    operation = operation_of(change, number, changes, head=old.head, attributes=old.attributes)
    for put in change.puts:
        session.segments.setdefault(put.record.tip.segment, []).extend(put.messages)
    _give_up(session, change.free)
    session.snapshot = _Snapshot(
        head=operation.head_after,
        branches=branches,
        operations=(*old.operations, operation),
        attributes=old.attributes if change.attributes is None else change.attributes,
    )
    return Commit(
        branches={entry.id: entry.after for entry in changes if entry.after},
        before={entry.id: entry.before for entry in changes if entry.before},
        operation=operation,
    )


def _graft(session: _Session, session_id: str, graft: Graft) -> Commit:
    old = session.snapshot
    operation = graft.operation
    if operation is not None and operation.number <= old.last_operation:
        detail = f"had operation {old.last_operation} already"
        raise BranchMovedError(session_id, operation.head_after or old.head or "", detail)
    branches, before = dict(old.branches), {}
    for put in graft.puts:
        before[put.record.id] = _check_version(session_id, put.record.id, old, put.expected)
        branches[put.record.id] = put.record
    for drop in graft.drops:
        before[drop.branch_id] = _check_version(session_id, drop.branch_id, old, drop.expected)
        del branches[drop.branch_id]
    new: dict[str, list[bytes | None]] = {}
    for (segment, start, stop), lines in graft.runs:
        log = new.setdefault(segment, list(session.segments.get(segment, ())))
        log += _lines(log, len(log), stop)
        for position, line in zip(range(start, stop), lines, strict=True):
            if log[position] not in (None, line):
                raise CorruptBranchError(f"segment {segment}", f"another message at {position}", session_id=session_id)
            log[position] = line
    for put in graft.puts:
        for segment, start, stop in put.record.history:
            log = new.get(segment) or session.segments.get(segment, [])
            _check_there(session_id, Piece(segment, start, stop), log)
    session.segments |= new
    if operation is not None:
        _give_up(session, operation.freed)
    session.snapshot = _Snapshot(
        head=operation.head_after if operation else old.head,
        branches=branches,
        operations=(*old.operations, operation) if operation else old.operations,
        attributes=operation.attributes[1] if operation and operation.attributes else old.attributes,
    )
    return Commit(
        branches={put.record.id: put.record for put in graft.puts},
        before={name: record for name, record in before.items() if record is not None},
        operation=operation,
    )


def _give_up(session: _Session, freed: History) -> None:
    for segment, start, stop in freed:
        log = session.segments.get(segment, [])
        log[start:stop] = [None] * len(log[start:stop])


def _check_version(session_id: str, branch_id: str, old: _Snapshot, expected: Version | None) -> BranchRecord | None:
    """The branch as it is there. ``BranchExistsError``, ``BranchMovedError`` where that is not what was expected."""
    present = old.branches.get(branch_id)
    if present is not None and expected is None:
        raise BranchExistsError(session_id, branch_id)
    if (present.version if present else None) != expected:
        raise BranchMovedError(session_id, branch_id, "changed meanwhile" if present else "is gone")
    return present
