"""The guard ``<path>.lock.guard``: the kernel lock among our processes, and the counter of tokens.

It keeps invariant 1 (the lock is on the inode to which the name leads) and invariant 5 (tokens strictly increase) of
:mod:`bough.lock.session_lock`. The file is made once and never removed. One thread at a time uses a Guard.
"""

from __future__ import annotations

import math
import os
import time

from bough.errors import StoreUnavailableError
from bough.lock import system
from bough.lock.fetch import Fetch
from bough.lock.files import Ident, check_guard, gate, ident, open_plain
from bough.lock.system import pread, pwrite

TRANSIT = 0.02
"""Seconds that one who does not want to wait gives a guard that is locked while no record is published: its holder is
just coming, going, or letting go of a lock that nobody waits for any more."""
TURNS = 8
GIVE_WAY = 0.0004
"""After so many holds in a row a process whose guard another waits for stands back for so many seconds. The kernel
wakes those who wait, but whoever lets go and comes again at once is there before them, again and again. (To queue for
the place at the head would be fairer, and let one that is stopped while it queues keep everybody out.)"""
_RESTARTS = 100
TOKEN_LIMIT = 10**18
"""No token is that great: they are a clock's microseconds."""


class FolderMovedError(Exception):
    """The path leads to another folder than it did: whoever asked has to find the Place of that one."""


class Guard:
    __slots__ = (
        "_counted",
        "_fd",
        "_fetch",
        "_folder",
        "_folder_ident",
        "_ident",
        "_lock",
        "_path",
        "_turns",
        "is_called_off",
    )

    def __init__(self, path: str, lock: str, folder: str, folder_ident: Ident) -> None:
        self._path = path
        self._lock = lock
        self._folder = folder
        self._folder_ident = folder_ident
        self._fd = -1
        self._ident: Ident = (0, 0)
        self._fetch: Fetch | None = None
        self._counted = -1
        self.is_called_off = False
        self._turns = 0

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def is_in_its_folder(self) -> bool:
        try:
            return ident(os.stat(self._folder)) == self._folder_ident
        except OSError:
            return False

    def lock(self, deadline: float) -> bool:
        """Get the kernel lock; False when it did not come by ``deadline``.

        Raises OSError, StoreUnavailableError, FolderMovedError.
        """
        if self._turns >= TURNS:
            self._turns = 0
            if self._fd >= 0 and system.is_waited_for(self._fd):
                time.sleep(GIVE_WAY)
        for _ in range(_RESTARTS):
            if self._fd < 0:
                self._open()
            if not system.try_lock(self._fd) and not self._wait(deadline):
                return False
            # Invariant 1: the lock counts only on the inode that the name leads to; somebody may have removed it.
            try:
                status = os.lstat(self._path)
                if ident(status) == self._ident and status.st_nlink == 1:
                    return True
            except FileNotFoundError:
                pass
            self.close()
            if not self.is_in_its_folder():
                raise FolderMovedError
        raise StoreUnavailableError(f"{self._path} is replaced again and again", hint="find out by whom")

    def _open(self) -> None:
        with gate:
            fd = self._fd = open_plain(self._path, os.O_RDWR | os.O_CREAT)
        try:
            self._ident = check_guard(fd, self._path)
        except BaseException:
            self.close()
            raise

    def _wait(self, deadline: float) -> bool:
        """Wait for the lock on a guard that is locked by another; afterwards ``_fd`` has it."""
        if deadline == math.inf:
            system.mark(self._fd)
            try:
                system.lock(self._fd)
            finally:
                system.unmark(self._fd)
            return True
        now = time.monotonic()
        if deadline <= now:
            if os.path.lexists(self._lock):
                return False
            deadline = now + TRANSIT
        fetch = self._fetch
        if fetch is None or not fetch.want():
            with gate:
                fetch = self._fetch = Fetch(open_plain(self._path, os.O_RDWR | os.O_CREAT))
            fetch.start()
        # Whoever calls it off sets the flag first and then looks for the fetch.
        if not fetch.take(0.0 if self.is_called_off else deadline):
            return False
        with gate:
            os.close(self._fd)
            self._fd = fetch.detach()
            self._fetch = None
        self._ident = ident(os.fstat(self._fd))
        return True

    def call_off(self) -> None:
        """From any thread: the wait under way ends."""
        self.is_called_off = True
        fetch = self._fetch
        if fetch is not None:
            fetch.wake()

    def visit(self) -> bool:
        """After locking: True when nobody had the guard since this process counted a token. Else a token is passed
        over, so that he who had it before sees by the counter that somebody has been here, whatever comes of it."""
        stored = pread(self._fd, 20, 0)
        counted = int(stored) if len(stored) == 20 and stored.isdigit() else 0
        if counted == self._counted:
            self._turns += 1
            return True
        self._turns = 0
        self._counted = max(self._counted, counted if counted < TOKEN_LIMIT else 0)
        self.count()
        return False

    def count(self) -> int:
        """The next token, stored before it is used (invariant 5). Call it after :meth:`visit`, inside the hold.

        It is the clock in microseconds, or one more than the last where that is not ahead of the clock. So it also
        grows where the counter was lost with its file, or by a power cut (it is not synced).
        """
        token = max(self._counted + 1, time.time_ns() // 1000)
        pwrite(self._fd, b"%020d\n" % token, 0)
        self._counted = token
        return token

    def surpass(self, token: int) -> int:
        """A token greater than ``token``, which comes from elsewhere. Inside the hold."""
        self._counted = max(self._counted, token)
        return self.count()

    def is_ours(self) -> bool:
        """Whether the name still leads to the file that is locked."""
        try:
            return ident(os.lstat(self._path)) == self._ident
        except OSError:
            return False

    def unlock(self) -> None:
        system.unlock(self._fd)

    def close(self) -> None:
        with gate:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)

    def forget(self) -> None:
        """In a forked child: close the copies, and unlock nothing for the parent, who shares the open file."""
        self.close()
        if self._fetch is not None:
            self._fetch.close()
            self._fetch = None
        self._counted = -1
        self.is_called_off = False
