"""All sessions in one SQLite file, for conversations of any length.

A fork, a merge or an undo writes a few rows, whatever the number of messages: a branch is a row with its pieces
(:mod:`.schema` has the tables). The parts: this module (the Protocol, transactions, the session's lock) →
:mod:`.reading`, :mod:`.writing` and :mod:`.grafts` (what a change does to the tables), :mod:`.verify` →
:mod:`.erasing` (what is given up), :mod:`.gaps` (what is not there), :mod:`.rows` (records ↔ rows), :mod:`.search` (the
index), :mod:`.connections` (opening, waiting, fork, errors), :mod:`.schema`.

1. A commit is one ``BEGIN IMMEDIATE`` transaction: no other writer comes between what it looks at and what it writes.
2. A reader's answer comes from one snapshot. It takes no lock that a writer would wait for.
3. Who holds ``lock(session)`` holds a :class:`~bough.lock.SessionLock` beside the file. A commit looks for it from
   inside its transaction, and the holder, once it has it, waits for the transaction that is under way: so none slips
   through, and a session that nobody locks costs one look.

The file must be on a local disk: SQLite's write-ahead log needs memory that all its processes share.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

import apsw

from bough.errors import (
    BoughError,
    BranchNotFoundError,
    CorruptBranchError,
    SessionLockedError,
    SessionNotFoundError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from bough.lock import SessionLock
from bough.model import (
    Append,
    Change,
    Commit,
    Finding,
    Graft,
    History,
    Message,
    Operation,
    Piece,
    SessionState,
)
from bough.search import Found, Query
from bough.stores.base import Durability, check_id
from bough.stores.sqlite import erasing, grafts, reading, search, verify, writing
from bough.stores.sqlite.connections import Connection, Connections, refusing, roll_back, snapshot
from bough.stores.sqlite.rows import DAMAGED, OPERATION, to_operation

T = TypeVar("T")

_FIRST_PAGE, _PAGE = 4, 256
"""How many operations are fetched at first, and at most at a time: an undo needs one or two."""

_OPERATIONS = (
    f"SELECT {OPERATION} FROM session s"  # noqa: S608  (a constant)
    " CROSS JOIN operation o ON o.session = s.key AND o.number < ?"
    " WHERE s.id = ? AND s.deleted_at IS NULL ORDER BY o.number DESC LIMIT ?"
)
_REMEMBERED = 1000
_SESSIONS = (
    "SELECT id FROM session s WHERE deleted_at IS NOT NULL = ? AND EXISTS (SELECT 1 FROM branch WHERE session = s.key)"
)


def _is_utf8(text: str) -> bool:
    """SQLite takes no other names."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


class _LockedError(Exception):
    """Somebody holds the session's lock; nothing was done."""


class SqliteStore:
    """One file. Nothing is created before the first commit."""

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Durability = "full", lock_timeout: float = 10.0
    ) -> None:
        text = os.fspath(path)
        if text.startswith("//") or not text or text == ":memory:" or not _is_utf8(text):
            raise UnsupportedFormatError(
                f"{text!r} is no place for a SQLite store", hint="a store is sqlite:PATH, or memory:"
            )
        self._path = os.path.abspath(text)
        self._locks = f"{os.path.realpath(self._path)}-locks"  # one file may have several names
        self._refusing = refusing(self._path)
        self._lock_timeout = lock_timeout
        self._connections = Connections(self._path, durability=durability)
        self._wires: dict[str, str] = {}
        self._closed = False
        if os.path.isdir(self._path):
            raise StoreUnavailableError(f"{self._path}: a folder is where the store's file should be")

    @property
    def url(self) -> str:
        return f"sqlite:{self._path}"

    # -- reading ---------------------------------------------------------------------------------------------------

    def sessions(self, *, deleted: bool = False) -> list[str]:
        return sorted(id_ for (id_,) in self._rows(_SESSIONS, (deleted,)))

    def load(self, session_id: str, *, only: Collection[str] | None = None) -> SessionState:
        nothing = SessionState(session_id=session_id, head=None, branches={})
        return self._reading(lambda connection: reading.load(connection, self._path, session_id, only), nothing)

    def read(self, session_id: str, history: History) -> list[Message]:
        def look(connection: Connection) -> list[Message]:
            messages: list[Message] = []
            for piece in history:
                for start in range(piece.start, piece.stop, reading.BLOCK):
                    stop = min(start + reading.BLOCK, piece.stop)
                    messages += reading.read(connection, self._path, session_id, Piece(piece.segment, start, stop))
            return messages

        if not history:
            return self._reading(lambda _: [], [])
        messages = self._reading(look, None)
        if messages is None:
            raise CorruptBranchError(f"segment {history[0].segment}", "no such file", session_id=session_id)
        return messages

    def operations(self, session_id: str) -> Iterator[Operation]:
        below, count = 1 << 62, _FIRST_PAGE
        while True:
            page = self._rows(_OPERATIONS, (below, session_id, count))
            for row in page:
                try:
                    yield to_operation(row)
                except DAMAGED as error:
                    place = f"{self._path}: operation {row[0]}"
                    raise CorruptBranchError(place, f"its row is damaged: {error}", session_id=session_id) from None
            if len(page) < count:
                return
            below, count = page[-1][0], min(4 * count, _PAGE)

    def search(
        self, query: Query, *, session_id: str | None = None, branch_id: str | None = None
    ) -> Iterator[Found | Finding]:
        self._check_open()
        return self._search(query, session_id, branch_id)

    def _search(self, query: Query, session_id: str | None, branch_id: str | None) -> Iterator[Found | Finding]:
        def look(connection: Connection) -> tuple[SessionState, search.Snapshot | apsw.CorruptError]:
            with snapshot(connection):
                state = reading.load(connection, self._path, name, None if branch_id is None else [branch_id])
                try:
                    return state, search.look(connection, query, name)
                except apsw.CorruptError as error:
                    return state, error

        for name in [id_ for (id_,) in self._rows(search.SESSIONS)] if session_id is None else [session_id]:
            self._catch_up(name)
            try:
                seen = self._reading(look, None)
            except CorruptBranchError as error:
                yield Finding(place=error.place, problem=error.reason, branch_id=error.branch_id or None)
                continue
            if seen is None:
                continue
            state, known = seen
            yield from state.findings
            if isinstance(known, apsw.CorruptError):
                yield Finding(place=f"{self._path}: the search index", problem=f"it is damaged: {known}")
                self._maintain(search.discard)
                known = search.NOTHING
            yield from search.walk(self, query, name, state.branches.values(), known)

    def verify(self, session_id: str) -> Iterator[Finding]:
        self._check_open()
        return verify.verify(self._reading, self._path, session_id)

    def _catch_up(self, session_id: str) -> None:
        """Brings the index up to date, as far as that goes without waiting for anybody."""
        while self._reading(lambda connection: search.is_behind(connection, session_id), False):
            if not self._maintain(lambda connection: search.catch_up(connection, session_id)):
                return

    def _maintain(self, work: Callable[[Connection], bool]) -> bool:
        """Does something for the index; False where that cannot be now."""
        try:
            with self._refusing:
                return self._transaction(work, patience=0)
        except (SessionLockedError, StoreUnavailableError, CorruptBranchError):
            return False  # somebody writes, nobody may, or it is damaged: what is not in the index is read

    def _rows(self, sql: str, bindings: tuple[int | str, ...] = ()) -> list[Any]:
        """The rows of one statement; none where there is no file yet."""
        return self._reading(lambda connection: connection.rows(sql, bindings), list[Any]())

    def _reading(self, look: Callable[[Connection], T], nothing: T) -> T:
        """What ``look`` finds; ``nothing`` where there is no file yet."""
        self._check_open()
        with self._refusing:
            connection = self._connections.take(create=False, patience=self._lock_timeout)
            if connection is None:
                return nothing
            try:
                return look(connection)
            finally:
                self._connections.give(connection)

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
        if session_id not in self._wires:  # else it was looked at before
            check_id(session_id)
        if isinstance(change, Append):
            return self._write(
                session_id,
                lambda connection: writing.append(connection, session_id, change),
                absent=lambda: BranchNotFoundError(session_id, change.branch_id),
            )
        act = grafts.graft if isinstance(change, Graft) else writing.change
        commit, is_unfinished = self._write(
            session_id,
            lambda connection: (act(connection, session_id, change), erasing.is_unfinished(connection)),  # type: ignore[arg-type]
        )
        if is_unfinished:
            is_ours = commit.operation is not None and commit.operation.erased
            self._finish_erasing(self._lock_timeout if is_ours else 0)
        return commit

    def _finish_erasing(self, patience: float) -> None:
        """See :func:`bough.stores.sqlite.erasing.finish`. What it cannot do now is done later: nothing is raised."""
        turn = self._connections.turn
        if not turn.acquire(timeout=min(patience, threading.TIMEOUT_MAX)):
            return
        try:
            connection = self._connections.take(create=False, patience=patience)
            if connection is not None:
                try:
                    erasing.finish(connection, self._path, patience)
                finally:
                    self._connections.give(connection)
        except (BoughError, apsw.Error, OSError):
            return
        finally:
            turn.release()

    def move(self, session_id: str, new_id: str | None) -> str:
        check_id(session_id if new_id is None else new_id)
        return self._write(
            session_id,
            lambda connection: writing.move(connection, session_id, new_id),
            absent=lambda: SessionNotFoundError(session_id),
        )

    def _write(
        self, session_id: str, work: Callable[[Connection], T], *, absent: Callable[[], BoughError] | None = None
    ) -> T:
        """What ``work`` returns, committed. ``absent`` says what to raise where there is no file; else one is made."""
        self._check_open()

        def unless_locked(connection: Connection) -> T:
            if held is None and os.access(self._wire(session_id), os.F_OK):  # guarantee 3
                raise _LockedError
            return work(connection)

        held: SessionLock | None = None
        try:
            while True:
                try:
                    with self._refusing:
                        return self._transaction(unless_locked, patience=self._lock_timeout, absent=absent)
                except _LockedError:
                    held = self._acquire(session_id)
        finally:
            if held is not None:
                held.release()

    def _transaction(
        self,
        work: Callable[[Connection], T],
        *,
        patience: float,
        absent: Callable[[], BoughError] | None = None,
    ) -> T:
        """What ``work`` returns, committed. Others are waited for up to ``patience`` seconds."""
        turn = self._connections.turn
        try:
            if not turn.acquire(timeout=min(patience, threading.TIMEOUT_MAX)):
                raise SessionLockedError(self._path, None, detail=f"{self._path} is being written by another thread")
            connection = self._connections.take(create=absent is None, patience=patience)
            if connection is None:
                raise absent() if absent else StoreUnavailableError(f"{self._path} is gone")
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.forget_if_changed()
                result = work(connection)
                connection.execute("COMMIT")
                connection.remember()
                if not connection.is_in_place():
                    raise StoreUnavailableError(
                        f"{self._path} was removed or replaced while it was written",
                        hint="what was just written went to the old file",
                    )
            except BaseException:
                connection.known.clear()
                roll_back(connection)
                raise
            finally:
                self._connections.give(connection)
            return result
        finally:
            try:  # noqa: SIM105  (every append comes here)
                turn.release()
            except RuntimeError:  # it never was ours; or it was, and a signal came before anybody knew
                pass

    @contextmanager
    def lock(self, session_id: str) -> Iterator[SessionLock]:
        if not self.load(session_id).branches:
            raise SessionNotFoundError(session_id)
        with self._refusing:
            lock = self._acquire(session_id)
        try:
            self._write(session_id, lambda _: True)  # waits for the commit that is under way
            yield lock
        finally:
            lock.release()

    def _acquire(self, session_id: str) -> SessionLock:
        lock = SessionLock(self.lock_path(session_id))
        if not lock.acquire(self._lock_timeout):
            raise SessionLockedError(self._path, lock.get_lock_holder())
        return lock

    def lock_path(self, session_id: str) -> str:
        """The path of the session's :class:`~bough.lock.SessionLock`, in a folder that is made for it."""
        with self._refusing:
            os.makedirs(self._locks, mode=0o700, exist_ok=True)
        return self._lock_path(session_id)

    def _lock_path(self, session_id: str) -> str:
        return f"{self._locks}/{blake2b(session_id.encode(), digest_size=16).hexdigest()}"

    def _wire(self, session_id: str) -> str:
        """The file that is there while somebody holds the session's lock."""
        wire = self._wires.get(session_id)
        if wire is None:
            if len(self._wires) > _REMEMBERED:
                self._wires.clear()
            wire = self._wires[session_id] = self._lock_path(session_id) + ".lock"
        return wire

    def close(self) -> None:
        self._closed = True
        self._connections.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError(f"{self.url} is closed")
