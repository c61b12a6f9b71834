"""Connections to one SQLite file: opened when needed, kept, and lent to one thread at a time.

1. A connection is lent to one thread until it is given back; never more are open than threads were at work at once.
2. SQLite must not be carried over a fork: its locks do not go with it, and it would not notice. Before a fork the
   store waits until what is lent is given back, and closes everything; parent and child open anew.
3. Who finds the file busy tries again, with pauses that grow and differ, until the store's timeout; then
   ``SessionLockedError``. A reader has hardly ever to wait (WAL), and a commit never fails for a reader.
4. Nothing is created for a reader. A connection is of the file that the path leads to now: one that was removed or
   replaced is not written to any more.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

from bough.errors import (
    BoughError,
    CorruptBranchError,
    SessionLockedError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from bough.stores.base import Durability
from bough.stores.sqlite import schema

_LONGEST_LOAN = 20.0
"""Seconds that a fork waits for others."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.01
_RIGHTS = "ask for the right to write the file and its folder, where SQLite keeps its log"
_KEPT_WAL = 64 << 20
"""Bytes of the write-ahead log that stay allocated; a large import leaves more."""


class _Patience:
    """Waits for a while before another go; False once the time is over."""

    __slots__ = ("deadline",)

    def __init__(self) -> None:
        self.deadline = 0.0

    def __call__(self, tried: int) -> bool:
        left = self.deadline - time.monotonic()
        if left <= 0:
            return False
        pause = min(_FIRST_PAUSE * 2 ** min(tried, 8), _LONGEST_PAUSE)
        time.sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311  (so that rivals do not meet again)
        return True


class Connection(apsw.Connection):
    """One connection. ``known`` is what its owner remembers of the file's content, true as long as nobody else has
    written (``forget_if_changed``)."""

    def __init__(self, path: str, flags: int) -> None:
        # With SQLITE_OPEN_URI for one look at a file that this user may not write and nobody has open. SQLite would
        # make a write-ahead log: in a read-only folder it cannot, elsewhere that would be in the owner's way. So it is
        # told that the file does not change (and does not see it if it does).
        immutable = f"{Path(path).as_uri()}?immutable=1" if flags & apsw.SQLITE_OPEN_URI else path
        super().__init__(immutable, flags)
        self._path = path
        self.patience = _Patience()
        self.is_writable = bool(flags & apsw.SQLITE_OPEN_READWRITE)
        self.is_passing = bool(flags & apsw.SQLITE_OPEN_URI)
        self.inode = (0, 0)
        self.known: dict[tuple[str, str], Any] = {}
        self._known_at = -1
        self.set_busy_handler(self.patience)  # not a method: a connection that is dropped is closed at once

    def rows(self, sql: str, bindings: Sequence[int | str | bytes | None] = ()) -> list[Any]:
        """All rows of one statement."""
        return self.execute(sql, bindings).fetchall()

    def row(self, sql: str, bindings: Sequence[int | str | bytes | None] = ()) -> Any:
        """The first row of one statement, None where there is none."""
        return self.execute(sql, bindings).fetchone()

    def forget_if_changed(self) -> None:
        """Within a write transaction: drops what is ``known`` if any other connection has committed since."""
        if self.data_version() != self._known_at:
            self.known.clear()

    def remember(self) -> None:
        """After a commit: what is ``known`` is as of now."""
        self._known_at = self.data_version()

    def is_in_place(self) -> bool:
        """Whether the path still leads to this connection's file."""
        try:
            status = os.stat(self._path)
        except OSError:
            return False
        return self.inode == (status.st_dev, status.st_ino)

    def is_good(self) -> bool:
        """Whether it is of the file that the path leads to, and can do what the file's rights allow."""
        return self.is_in_place() and (self.is_writable or not _may_write(self._path))


class Connections:
    """See the module's docstring."""

    def __init__(self, path: str, *, durability: Durability) -> None:
        self.path = path
        self._synchronous = "FULL" if durability == "full" else "NORMAL"
        self.turn = threading.RLock()
        """For who writes: the threads of this store take turns before SQLite's own lock, which has no queue."""
        self._idle: list[Connection] = []
        self._borrowers: set[int] = set()  # threads; one that a signal left in here is out with its next loan
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._forking = False
        self._closed = False
        with _gate:
            _idles[id(self._idle)] = self._idle
            weakref.finalize(self, _drop, id(self._idle))
            _everywhere.add(self)

    def take(self, *, create: bool, patience: float) -> Connection | None:
        """A connection for this thread, to be given back; others are waited for up to ``patience`` seconds.

        None where there is no file yet and ``create`` is not asked for. ``StoreUnavailableError``,
        ``UnsupportedFormatError``, ``SessionLockedError``, ``CorruptBranchError``.
        """
        connection = None
        try:
            with self._mutex:
                while self._forking:
                    self._changed.wait()
                self._borrowers.add(threading.get_ident())
                connection = self._idle.pop() if self._idle else None
            if connection is not None and not connection.is_good():
                connection.close()
                connection = None
            if connection is None:
                connection = self._open(create=create, patience=patience)
        except BaseException:
            self.give(None)
            raise
        if connection is None:
            self.give(None)
        else:
            connection.patience.deadline = time.monotonic() + patience
        return connection

    def give(self, connection: Connection | None) -> None:
        """What was taken is not needed any more."""
        try:
            self._give(connection)
        except BaseException:  # a signal's: what is lent for ever would keep a fork waiting for ever
            self._give(connection)
            raise

    def _give(self, connection: Connection | None) -> None:
        with self._mutex:
            if connection is not None and connection not in self._idle:
                if self._closed or connection.is_passing or connection.in_transaction:
                    connection.close()  # in a transaction it is where a signal came in the way of its ROLLBACK
                else:
                    self._idle.append(connection)
            self._borrowers.discard(threading.get_ident())
            if self._forking:
                self._changed.notify_all()

    def close(self) -> None:
        """Closes what is idle now, and what is lent when it is given back."""
        with self._mutex:
            self._closed = True
            while self._idle:
                self._idle.pop().close()

    def _open(self, *, create: bool, patience: float) -> Connection | None:
        if not create and not _holds_something(self.path):
            return None
        if create:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        is_writable = _may_write(self.path)
        if create and not is_writable:
            raise StoreUnavailableError(f"{self.path} is read-only, or its folder is", hint=_RIGHTS)
        flags = apsw.SQLITE_OPEN_READWRITE if is_writable else apsw.SQLITE_OPEN_READONLY
        with _making:
            if create:
                _make_private(self.path)
            connection = Connection(self.path, flags | (apsw.SQLITE_OPEN_CREATE if create else 0))
        if not is_writable and not _has_log(self.path):
            connection.close()
            connection = Connection(self.path, flags | apsw.SQLITE_OPEN_URI)
        try:
            connection.patience.deadline = time.monotonic() + patience
            connection.pragma("synchronous", self._synchronous)
            connection.pragma("cell_size_check", True)
            if not schema.is_current(connection, self.path):
                if not is_writable:
                    raise StoreUnavailableError(
                        f"{self.path} has an older schema and is read-only", hint="open it once with the right to write"
                    )
                schema.bring_forward(connection, self.path)
            if is_writable:
                _use_log(connection, self.path)
                connection.pragma("journal_size_limit", _KEPT_WAL)
            connection.inode = _inode(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    # -- fork (guarantee 2) ----------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        with self._mutex:
            self._forking = True
            me = threading.get_ident()
            until = time.monotonic() + _LONGEST_LOAN
            while any(borrower != me for borrower in self._borrowers):
                if not self._changed.wait(until - time.monotonic()):
                    self._borrowers.clear()  # a signal came between the end of a work and its noting

    def after_fork(self) -> None:
        with self._mutex:
            self._forking = False
            self._changed.notify_all()

    def after_fork_in_child(self) -> None:
        self.turn = threading.RLock()  # whoever had the old one is not here
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._forking = False
        self._borrowers.clear()


_everywhere: weakref.WeakSet[Connections] = weakref.WeakSet()
_gate = threading.Lock()
"""Held while a process forks, by who makes a store, and while connections are closed that nobody lends any more."""
_making = threading.Lock()
"""Held while a file is opened: see :func:`_make_private`."""
_idles: dict[int, list[Connection]] = {}
"""The idle connections of every store, also of those that are gone: none must be open while the process forks."""
_dropped: list[int] = []


def _drop(key: int) -> None:
    """Closes the connections of a store that was dropped without a close. The garbage collector calls it, in any
    thread: so it never waits. Nor must SQLite's own locks be held by such a thread when another one forks."""
    _dropped.append(key)
    if _gate.acquire(blocking=False):
        try:
            while _dropped:
                _close_all(_idles.pop(_dropped.pop(), []))
        finally:
            _gate.release()


def _close_all(idle: list[Connection]) -> None:
    while idle:
        idle.pop().close()


def _before_fork() -> None:
    _gate.acquire()
    for connections in list(_everywhere):
        connections.before_fork()
    for idle in list(_idles.values()):
        _close_all(idle)


def _after_fork() -> None:
    for connections in list(_everywhere):
        connections.after_fork()
    _gate.release()


def _after_fork_in_child() -> None:
    for connections in list(_everywhere):
        connections.after_fork_in_child()
    _gate.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def _make_private(path: str) -> None:
    """Makes an empty file that only its owner can read, if there is none; what SQLite puts beside it gets that mode.

    Closing a file drops all locks that the process has on it. Nobody here has any on one that is new, and who opens it
    waits (``_making``).
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _inode(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _use_log(connection: Connection, path: str) -> None:
    tried = 0
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
            break
        except apsw.BusyError:  # here SQLite does not ask its busy handler: two might wait for one another
            if not connection.patience(tried):
                raise
            tried += 1
    if mode != "wal":
        raise StoreUnavailableError(
            f"{path}: SQLite can have no write-ahead log there", hint="put the file on a local disk"
        )


def _may_write(path: str) -> bool:
    """Whether this user may write the file, and its log, which SQLite makes beside it where there is none."""
    if os.path.exists(path) and not os.access(path, os.W_OK):
        return False
    return _has_log(path) or os.access(os.path.dirname(os.path.realpath(path)), os.W_OK)


def _has_log(path: str) -> bool:
    return os.path.exists(f"{os.path.realpath(path)}-wal")


def _holds_something(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


class refusing:  # noqa: N801  (reads as a clause, like contextlib's)
    """Says what SQLite and the operating system refuse as the errors that callers know."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (
            error is None
            or isinstance(error, BoughError)
            or not isinstance(error, apsw.Error | OSError | UnicodeDecodeError)
        ):
            return
        raise _meaning(error, self._path) from error


def _meaning(error: Exception, path: str) -> BoughError:
    said = str(error)
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return SessionLockedError(path, None, detail=f"{path} was kept locked by another process")
    if isinstance(error, apsw.NotADBError):
        return UnsupportedFormatError(f"{path} is not a SQLite database", hint="it was left as it is")
    if isinstance(error, apsw.CorruptError | apsw.FormatError | UnicodeDecodeError):
        damaged = CorruptBranchError(path, f"the database is damaged: {said}")
        damaged.hint = "the file was left as it is; `bough copy` takes what can be read of it to another store"
        return damaged
    if isinstance(error, apsw.ConstraintError) and said.startswith("UNIQUE"):  # positions come from segment.next
        misled = CorruptBranchError(path, f"rows stand where new ones should go: {said}")
        misled.hint = "nothing was written; `bough fsck` tells what is wrong, with --repair it saves what is there"
        return misled
    if isinstance(error, apsw.FullError):
        return StoreUnavailableError(f"{path}: no room is left", hint="nothing was written; make room and try again")
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError):
        return StoreUnavailableError(f"{path} cannot be written", hint=_RIGHTS)
    if isinstance(error, apsw.CantOpenError):
        return StoreUnavailableError(
            f"{path} cannot be opened", hint="look whether you may read it, and enter its folder"
        )
    if isinstance(error, apsw.IOError):
        return StoreUnavailableError(
            f"{path} could not be read or written: {said}",
            hint="look at the disk: is it full, or a file too large for it?",
        )
    if isinstance(error, OSError):
        return StoreUnavailableError(f"{path}: {error.strerror or error}")
    return StoreUnavailableError(f"{path}: {said}")


@contextlib.contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """Several reads of one state."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        roll_back(connection)


def roll_back(connection: apsw.Connection) -> None:
    """Ends a transaction that did not work out. SQLite may have ended it already."""
    if connection.in_transaction:
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")
