"""The store that keeps everything in this process: the reference model that the other stores are held against.

It is meant to be obviously right rather than fast. A session is one immutable snapshot and a list of bytes per segment;
a commit builds the next snapshot and puts it in the place of the old one in a single assignment. So:

1. A reader takes the snapshot that is there and never locks; lists only ever grow, behind what a snapshot refers to.
2. Writers of one session take turns by a re-entrant lock, the one that ``lock()`` hands out.

What it deliberately does not do: last. Two stores never share anything, and ``close`` forgets it all.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from types import MappingProxyType

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
from bough.history import concat
from bough.model import (
    Append,
    BranchChange,
    BranchRecord,
    Change,
    Commit,
    History,
    Message,
    Operation,
    Piece,
    SessionState,
    Tip,
    Version,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    head: str | None = None
    branches: Mapping[str, BranchRecord] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()


class _Session:
    def __init__(self) -> None:
        self.writing = threading.RLock()
        self.segments: dict[str, list[bytes]] = {}
        self.snapshot = _Snapshot()


class MemoryStore:
    """See the module's docstring, and :class:`bough.stores.base.Store` for what each method promises.

    A commit waits for another thread's without a limit. A refusal of the store's own is ``InvalidRequestError`` for a
    put that would give a position out twice: a mistake of the caller, not of the conversation.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._closed = False

    @property
    def url(self) -> str:
        return "memory:"

    def sessions(self) -> list[str]:
        self._check_open()
        return sorted(name for name, session in list(self._sessions.items()) if session.snapshot.branches)

    def load(self, session_id: str, *, only: Collection[str] | None = None) -> SessionState:
        self._check_open()
        session = self._sessions.get(session_id)
        snapshot = session.snapshot if session else _Snapshot()
        branches = {name: record for name, record in snapshot.branches.items() if only is None or name in only}
        return SessionState(
            session_id=session_id,
            head=snapshot.head,
            branches=MappingProxyType(branches),
            last_operation=len(snapshot.operations),
        )

    def read(self, session_id: str, history: History) -> list[Message]:
        self._check_open()
        session = self._sessions.get(session_id)
        segments = session.segments if session else {}
        lines: list[bytes] = []
        for segment, start, stop in history:
            log = segments.get(segment, [])
            if stop > len(log):
                raise CorruptBranchError(f"segment {segment}", f"no message at {len(log)}", session_id=session_id)
            lines += log[start:stop]
        return [codec.decode(line) for line in lines]

    def commit(self, session_id: str, change: Append | Change) -> Commit:
        session = self._session(session_id)
        with session.writing:
            if isinstance(change, Append):
                return _append(session, session_id, change)
            return _apply(session, session_id, change)

    def operations(self, session_id: str) -> Iterator[Operation]:
        self._check_open()
        session = self._sessions.get(session_id)
        return reversed(session.snapshot.operations if session else ())

    def lock(self, session_id: str) -> AbstractContextManager[object]:
        session = self._session(session_id)
        if not session.snapshot.branches:
            raise SessionNotFoundError(session_id)
        return session.writing

    def close(self) -> None:
        self._closed = True
        self._sessions = {}

    def _session(self, session_id: str) -> _Session:
        self._check_open()
        return self._sessions.setdefault(session_id, _Session())

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("the memory store is closed")


def _append(session: _Session, session_id: str, change: Append) -> Commit:
    old = session.snapshot
    before = old.branches.get(change.branch_id)
    if before is None:
        raise BranchNotFoundError(session_id, change.branch_id)
    segment, start = before.tip
    stop = start + len(change.messages)
    after = replace(
        before,
        history=concat(before.history, (Piece(segment, start, stop),)),
        tip=Tip(segment, stop),
        updated_at=codec.now(),
    )
    session.segments.setdefault(segment, []).extend(change.messages)
    session.snapshot = replace(old, branches={**old.branches, after.id: after})
    return Commit(branches={after.id: after}, before={before.id: before})


def _apply(session: _Session, session_id: str, change: Change) -> Commit:
    old = session.snapshot
    number = len(old.operations) + 1
    branches = dict(old.branches)
    changes: list[BranchChange] = []

    if change.after_operation is not None and change.after_operation != len(old.operations):
        raise BranchMovedError(session_id, change.head or old.head or "", "had another operation meanwhile")
    for put in change.puts:
        before = old.branches.get(put.record.id)
        if put.expected is None and before is not None:
            raise BranchExistsError(session_id, put.record.id)
        _check_version(session_id, put.record.id, before, put.expected)
        segment, stop = put.record.tip
        if len(session.segments.get(segment, [])) + len(put.messages) != stop:
            raise InvalidRequestError(f"segment {segment} of branch {put.record.id!r} does not go on at {stop}")
        after = replace(put.record, operation=number)
        branches[after.id] = after
        changes.append(BranchChange(id=after.id, before=before, after=after))
    for drop in change.drops:
        before = old.branches.get(drop.branch_id)
        _check_version(session_id, drop.branch_id, before, drop.expected)
        del branches[drop.branch_id]
        changes.append(BranchChange(id=drop.branch_id, before=before, after=None))

    head = old.head if change.head is None else change.head
    operation = Operation(
        number=number,
        id=change.id,
        kind=change.kind,
        at=codec.now(),
        pid=os.getpid(),
        hostname=socket.gethostname(),
        head_before=old.head,
        head_after=head,
        branches=tuple(changes),
        detail=change.detail,
    )
    for put in change.puts:
        session.segments.setdefault(put.record.tip.segment, []).extend(put.messages)
    session.snapshot = _Snapshot(head=head, branches=branches, operations=(*old.operations, operation))
    return Commit(
        branches={entry.id: entry.after for entry in changes if entry.after},
        before={entry.id: entry.before for entry in changes if entry.before},
        operation=operation,
    )


def _check_version(session_id: str, branch_id: str, present: BranchRecord | None, expected: Version | None) -> None:
    if (present.version if present else None) != expected:
        raise BranchMovedError(session_id, branch_id, "changed meanwhile" if present else "is gone")
