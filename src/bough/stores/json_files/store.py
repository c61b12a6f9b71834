"""Sessions as folders of plain JSON files: the default store.

The parts, from the outside in: this module (sessions, locks, errors) → :mod:`.writer` (commits, repair) →
:mod:`.folder` (reading a whole state) → :mod:`.document`, :mod:`.lines`, :mod:`.digest` (one branch's file),
:mod:`.log` (operations), :mod:`.reconcile` (what other programs wrote), :mod:`.names`, :mod:`.disk`. Beside them:
:mod:`.erase` (what gc and purge take away) and :mod:`.verify` (what is damaged).

Programs that follow the same lock protocol exclude each other. One that writes without the lock at the same moment can
lose its own or our last message: the promise is for programs that take turns.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bough.errors import (
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    SessionLockedError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from bough.lock import SessionLock
from bough.model import Append, Change, Commit, Finding, Graft, History, Message, Operation, SessionState
from bough.search import Found, Query
from bough.stores.base import Durability, check_id, session_exists
from bough.stores.json_files.content import messages
from bough.stores.json_files.deleted import FOLDER as DELETED
from bough.stores.json_files.deleted import Kept, find_deleted, id_of, note_id, place_for
from bough.stores.json_files.disk import Disk, refusing
from bough.stores.json_files.document_writer import robbed
from bough.stores.json_files.folder import Folder, StaleError
from bough.stores.json_files.graft_writer import GraftWriter
from bough.stores.json_files.log import NAME as LOG
from bough.stores.json_files.names import plain_name, to_id, to_name
from bough.stores.json_files.verify import verify
from bough.stores.json_files.view import state_of, view_of
from bough.stores.scan import scan

_TRIES = 100


class _Session:
    """What is kept open for one session."""

    def __init__(self, path: str, session_id: str, disk: Disk) -> None:
        self.folder = Folder(path, session_id, disk)
        self.lock = SessionLock(os.path.join(path, "session"))
        self.writer = GraftWriter(self.folder, disk, self.lock)

    def take_lock(self, timeout: float) -> None:
        """``SessionLockedError``, naming the holder, where it does not come in time."""
        if not self.lock.acquire(timeout):
            raise SessionLockedError(self.folder.path, self.lock.get_lock_holder())


class JsonFilesStore:
    """A folder of session folders. Nothing is created before the first commit."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        lock_timeout: float = 10.0,
        disk: Disk | None = None,
    ) -> None:
        self._root = os.path.abspath(os.fspath(path))
        self._disk = disk or Disk(durable=durability == "full")
        self._lock_timeout = lock_timeout
        self._sessions: dict[str, _Session] = {}
        self._mutex = threading.Lock()
        self._closed = False
        if os.path.lexists(self._root) and not os.path.isdir(self._root):
            raise StoreUnavailableError(
                f"{self._root}: a file is where the store's folder should be", hint="name a folder, or move the file"
            )

    @property
    def url(self) -> str:
        return f"json:{self._root}"

    def sessions(self, *, deleted: bool = False) -> list[str]:
        self._check_open()
        with refusing(self._root):
            if deleted:
                return sorted(find_deleted(self._root, self._disk))
            try:
                names = os.listdir(self._root)
            except FileNotFoundError:
                return []
            found = [self._session_id(name) for name in names if not name.startswith(".")]
            return sorted(id_ for id_ in found if id_ is not None)

    def move(self, session_id: str, new_id: str | None) -> str:
        self._check_open()
        if new_id is not None:
            check_id(new_id)
        with refusing(self._root):
            session, kept = self._origin(session_id, can_be_deleted=new_id is not None)
            with self._held(session):
                if not session.folder.exists():
                    raise SessionNotFoundError(session_id)
                for _ in range(_TRIES):
                    if new_id is None:
                        taken = [*self.sessions(), *self.sessions(deleted=True)]
                        moved, path = place_for(self._root, session.folder.path, session_id, taken)
                        if self._disk.make_folder(os.path.dirname(path)):
                            self._disk.sync_folder(self._root)
                    else:
                        moved, path = new_id, self._free_place(new_id, kept)
                        name = kept.name if kept is not None else os.path.basename(session.folder.path)
                        note_id(session.folder.path, new_id, self._disk, name=name, new_name=os.path.basename(path))
                    if self._rename(session, path):
                        break  # else somebody made a folder there just now
                else:
                    raise session_exists(moved)
                with self._mutex:
                    for id_ in (session.folder.session_id, moved):
                        self._sessions.pop(id_, None)
            session.lock.close()
        return moved

    def _origin(self, session_id: str, *, can_be_deleted: bool) -> tuple[_Session, Kept | None]:
        """A session, or one that was set aside."""
        session = self._session(session_id)
        if session.folder.exists():
            return session, None
        kept = find_deleted(self._root, self._disk).get(session_id) if can_be_deleted else None
        if kept is None:
            raise SessionNotFoundError(session_id)
        return _Session(kept.path, kept.session_id, self._disk), kept

    def _free_place(self, session_id: str, kept: Kept | None) -> str:
        """Where the folder of a session goes that comes to have this id: one that comes back, to where it was."""
        name = self._folder_name(session_id)
        path = os.path.join(self._root, name)
        if not os.path.lexists(path):
            is_back = kept is not None and kept.session_id == session_id
            return os.path.join(self._root, kept.name) if kept is not None and is_back else path
        if os.path.islink(path) or not os.path.isdir(path) or Folder(path, session_id, self._disk).exists():
            raise session_exists(session_id)
        empty = _Session(path, session_id, self._disk)
        with self._held(empty):  # whoever is about to make a session there has the lock
            if empty.folder.exists():
                raise session_exists(session_id)
            self._disk.make_folder(os.path.join(self._root, DELETED))
            self._disk.rename(path, os.path.join(self._root, DELETED, f"empty.{os.urandom(8).hex()}"))
        empty.lock.close()
        return path

    def _rename(self, session: _Session, path: str) -> bool:
        """The moment of a move; False where something is there. The lock's record, which came along, goes then: nobody
        holds that lock."""
        old = session.folder.path
        record = os.lstat(os.path.join(old, "session.lock")).st_ino
        if not session.lock.check():
            raise robbed(session.folder, session.lock)
        session.writer.close()
        try:
            self._disk.rename(old, path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        for folder in {os.path.dirname(old), os.path.dirname(path)}:
            self._disk.sync_folder(folder)
        moved = os.path.join(path, "session.lock")
        if os.path.lexists(moved) and os.lstat(moved).st_ino == record:
            self._disk.unlink(moved)
        return True

    def load(self, session_id: str, *, only: Collection[str] | None = None) -> SessionState:
        folder = self._session(session_id).folder
        with refusing(folder.path):
            folder.refresh()
            if only is None and not folder.exists():
                return SessionState(session_id=session_id, head=None, branches={})
            return state_of(folder, view_of(folder, only))

    def read(self, session_id: str, history: History) -> list[Message]:
        folder = self._session(session_id).folder
        with refusing(folder.path):
            return messages(folder, history)

    def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
        session = self._session(session_id)
        with refusing(session.folder.path):
            if isinstance(change, Append):
                return self._append(session, change)
            self._make_folder(session.folder.path)
            with self._held(session):
                name = os.path.basename(session.folder.path)
                note_id(session.folder.path, session_id, self._disk, name=name, new_name=name)
                if isinstance(change, Graft):
                    return session.writer.graft(change)
                return session.writer.change(change)

    def _append(self, session: _Session, change: Append) -> Commit:
        try:
            session.take_lock(self._lock_timeout)
        except StoreUnavailableError:
            if os.path.lexists(session.folder.path):
                raise
            raise BranchNotFoundError(session.folder.session_id, change.branch_id) from None
        try:
            return session.writer.append(change)
        except StaleError:
            raise _changed_without_lock(session) from None
        finally:
            session.lock.release()

    def operations(self, session_id: str) -> Iterator[Operation]:
        folder = self._session(session_id).folder
        with refusing(folder.path):
            for entry in folder.log.backwards():
                yield entry.operation

    def search(
        self, query: Query, *, session_id: str | None = None, branch_id: str | None = None
    ) -> Iterator[Found | Finding]:
        self._check_open()
        return scan(self, query, session_id, branch_id)

    def verify(self, session_id: str) -> Iterator[Finding]:
        folder = self._session(session_id).folder
        with refusing(folder.path):
            yield from verify(folder.path, session_id, self._disk)

    @contextmanager
    def lock(self, session_id: str) -> Iterator[SessionLock]:
        session = self._session(session_id)
        if not session.folder.exists():
            raise SessionNotFoundError(session_id)
        with self._held(session) as held:
            yield held

    def path(self, session_id: str, branch_id: str | None = None) -> str:
        """The folder of a session, or the file of a branch. ``BranchNotFoundError`` where there is no such file."""
        folder = self._session(session_id).folder
        if branch_id is None:
            return folder.path
        document = view_of(folder, (branch_id,)).documents.get(branch_id)
        if document is None:
            raise BranchNotFoundError(session_id, branch_id)
        return folder.file(document.name)

    def lock_path(self, session_id: str) -> str:
        """The path of the session's :class:`~bough.lock.SessionLock`."""
        return os.path.join(self._session(session_id).folder.path, "session")

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():  # a thread that is in the middle of a commit keeps what it needs until then
            session.lock.close()

    # ----------------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError(f"{self.url} is closed")

    def _session(self, session_id: str) -> _Session:
        self._check_open()
        session = self._sessions.get(session_id) or self._find(session_id)
        try:
            status = os.lstat(session.folder.path)
        except OSError:
            return self._find(session_id)
        if stat.S_ISLNK(status.st_mode):
            reason = "the session's folder is a symbolic link; it is not followed"
            raise CorruptBranchError(session.folder.path, reason, session_id=session_id)
        return session

    def _find(self, session_id: str) -> _Session:
        """What is kept of a session, anew where it has another folder than before: another program may have made it."""
        check_id(session_id)
        with self._mutex:
            path = os.path.join(self._root, self._folder_name(session_id))
            session = self._sessions.get(session_id)
            if session is None or session.folder.path != path:
                session = self._sessions[session_id] = _Session(path, session_id, self._disk)
        return session

    def _folder_name(self, session_id: str) -> str:
        """Ours, or the id itself where another program made the folder and it is not our name for another id."""
        name, plain = to_name(session_id), plain_name(session_id)
        if plain is None or plain == name or to_id(plain) != plain or os.path.lexists(os.path.join(self._root, name)):
            return name
        try:
            return plain if plain in os.listdir(self._root) else name
        except OSError:
            return name

    def _session_id(self, name: str) -> str | None:
        """The session that a folder is, or None."""
        id_ = id_of(os.path.join(self._root, name), name, self._disk)
        return id_ if id_ is not None and self._folder_name(id_) == name else None

    def _make_folder(self, path: str) -> None:
        """Makes the session's folder. Until its first operation nobody is sure that its name is on the disk: who made
        it may have died before that."""
        if os.path.exists(os.path.join(path, LOG)):
            return
        with self._mutex:
            missing: list[str] = []
            above = path
            while not os.path.isdir(above):
                missing.append(above)
                above = os.path.dirname(above)
            for folder in reversed(missing):
                self._disk.make_folder(folder)
            for _ in range(max(3, len(missing))):  # the default store is three folders below the home folder
                path = os.path.dirname(path)
                if os.access(path, os.W_OK):
                    self._disk.sync_folder(path)

    @contextmanager
    def _held(self, session: _Session) -> Iterator[SessionLock]:
        try:
            session.take_lock(self._lock_timeout)
        except StoreUnavailableError:
            if os.path.lexists(session.folder.path):
                raise
            raise SessionNotFoundError(session.folder.session_id) from None  # it was moved while we waited
        try:
            yield session.lock
        except StaleError:
            raise _changed_without_lock(session) from None
        finally:
            session.lock.release()


def _changed_without_lock(session: _Session) -> BranchMovedError:
    return BranchMovedError(
        session.folder.session_id, session.folder.path, "was changed by a program that does not take the lock"
    )
