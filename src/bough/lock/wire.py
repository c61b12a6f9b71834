"""The wire record at ``<path>.lock``: publishing ours, taking it away, taking the place of one left behind.

``<path>.lock.new`` is the spare: a record that is written and locked once, renamed to ``<path>.lock`` for each hold and
back after it, so that a hold creates no file. Neither replaces anything. To link and unlink would take a quarter less
time, but a name cannot be unlinked on condition: who is stopped between his look and his unlink, and robbed just then
by a program that goes by age, would remove the robber's record. What was renamed can be looked at, and put back.

Invariants 3 and 4 of :mod:`bough.lock.session_lock` are kept here; invariant 2 is the caller's, who has the guard
whenever he calls anything but :meth:`Wire.is_ours`, :meth:`Wire.renew`, :meth:`Wire.close`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from bough.errors import StoreUnavailableError
from bough.lock import linux, record, system
from bough.lock.files import Ident, gate, ident, open_plain, refusal
from bough.lock.record import Found, Standing

_RESTARTS = 100
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
"""What ``link`` answers where the file system has none; a folder without write permission answers to the next call."""


class Wire:
    __slots__ = ("_creates", "_fd", "_ident", "_is_at_rest", "_lock", "_spare", "_stamp_at", "is_called_off")

    def __init__(self, lock: str) -> None:
        self._lock = lock
        self._spare = lock + ".new"
        self._fd = -1
        self._ident: Ident = (0, 0)
        self._stamp_at = 0
        self._is_at_rest = False
        self._creates = False  # a file system with neither such renames nor hard links: there is no spare
        self.is_called_off = False

    def publish(self, undisturbed: bool, deadline: float, stale_after: float) -> bool:
        """Make it our record; False when a live one is there and stays there until ``deadline``.

        ``undisturbed``: none of us had the guard since this process had it last. Then the spare is where it was.
        """
        self._is_at_rest = self._is_at_rest and undisturbed
        unsettled: tuple[Ident, bytes, float] | None = None
        while not self._put_up():
            found = record.find(self._lock, stale_after=stale_after)
            if found is None:
                continue
            try:
                if found.ident == self._ident:
                    with contextlib.suppress(FileNotFoundError):
                        self._rename_aside(self._ident)  # ours, left by a release that failed
                    continue
                if found.links > 1 and not _leads_to(self._spare, found.ident):
                    raise refusal(self._lock, "a file with a second name (hard link)")
                standing, now = found.standing, time.monotonic()
                if standing is Standing.LIVE:
                    if now >= deadline or self.is_called_off:
                        return False
                    found.wait(deadline - now)
                    continue
                if standing is Standing.UNSETTLED:
                    if unsettled is None or unsettled[:2] != (found.ident, found.data):
                        unsettled = (found.ident, found.data, now)
                    left = unsettled[2] + record.SETTLE - now
                    if left > 0:
                        found.wait(left)
                        continue
                if self._displace(found):
                    return True
            finally:
                found.close()
        return True

    def _put_up(self) -> bool:
        """Give our spare record the name ``<path>.lock``; False when that name is taken."""
        if self._creates or not system.has.moves_open_files:
            return self._create()
        for _ in range(_RESTARTS):
            try:
                self._prepare_spare()
            except FileExistsError:  # only where the guard was removed by hand, and so two of us have one
                continue
            try:
                # Invariant 3: exclusive, and with its content.
                if not (linux.rename_exclusive(self._spare, self._lock) or self._link()):
                    return self._create()
            except FileExistsError:
                return False
            except FileNotFoundError:  # somebody removed the spare
                self._is_at_rest = False
                continue
            self._is_at_rest = False
            if self.is_ours():
                return True
            # Somebody replaced the spare just now. With a new one, what was published is judged like any other.
        raise StoreUnavailableError(f"{self._spare} is removed again and again", hint="find out by whom")

    def _link(self) -> bool:
        """Without exclusive renames: publish by a second name of the spare. False where that cannot be done either."""
        try:
            if system.has.hard_links:
                os.link(self._spare, self._lock)
                return True
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        self._creates = True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._spare)
        return False

    def _create(self) -> bool:
        """The last resort: for some microseconds the record is empty, and who is killed in them leaves it so. Among us
        that is harmless (:data:`bough.lock.record.SETTLE`); a hasty program may take it for garbage."""
        self._close_spare()
        try:
            self._write_new(self._lock)
        except FileExistsError:
            return False
        return self.is_ours()

    def _prepare_spare(self) -> None:
        if self._fd >= 0 and (self._is_at_rest or _leads_to(self._spare, self._ident)):
            system.pwrite(self._fd, record.stamp(record.now_ms()), self._stamp_at)
            return
        self._close_spare()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._spare)  # a dead process's, another's that rests, or what a takeover put there
        self._write_new(self._spare)
        self._is_at_rest = True

    def _write_new(self, path: str) -> None:
        data, self._stamp_at = record.compose(record.now_ms())
        with gate:
            fd = self._fd = open_plain(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # Locked for as long as it exists: whoever finds it unlocked knows that its process is gone.
            if not system.try_lock(fd):
                raise FileExistsError(errno.EEXIST, "somebody else locked it", path)
            if system.pwrite(fd, data, 0) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            self._ident = ident(os.fstat(fd))
        except BaseException:
            self._close_spare()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def _displace(self, found: Found) -> bool:
        """Take the place of a record that was judged stale, of exactly that one (invariant 4)."""
        self._is_at_rest = False
        try:
            if self._fd < 0 or not linux.exchange(self._spare, self._lock):  # no spare: it is made at its place
                self._rename_aside(found.ident, found)
                return False
        except FileNotFoundError:
            return False
        if _leads_to(self._spare, found.ident) and found.is_unchanged(self._spare):
            os.unlink(self._spare)
            return self.is_ours()
        try:
            linux.exchange(self._spare, self._lock)
        except FileNotFoundError:
            _put_back(self._spare, self._lock)
        return False

    def _rename_aside(self, wanted: Ident, judged: Found | None = None) -> None:
        """Without an exchange, or an exclusive rename: free the name if it led to ``wanted`` and that is still as it
        was judged; another's is put back.

        For a moment nothing is at ``<path>.lock``. Another program may create its own there: to publish ours then
        fails, and what is there is judged anew.
        """
        aside = self._lock + ".old"
        if judged is not None and not system.has.moves_open_files:
            judged.close()
        os.replace(self._lock, aside)
        if not (_leads_to(aside, wanted) and (judged is None or judged.is_unchanged(aside))):
            _put_back(aside, self._lock)
        if judged is not None:
            judged.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)

    def withdraw(self) -> None:
        """Take our record away, if it is there. Never raises OSError."""
        try:
            if ident(os.lstat(self._lock)) == self._ident:  # a robber's is best not moved at all
                self._take_down()
        except FileNotFoundError:
            pass
        except BaseException as error:
            # It stays, for lack of rights or by an interrupt. Unlocked, it is known as dead to whoever comes next.
            self._close_spare()
            if not isinstance(error, OSError):
                raise

    def _take_down(self) -> None:
        """Free the name that led to our record just now. If it is a robber's by the time that it is moved (invariant
        4), it is away for some microseconds; we have the guard all the while, so none of us comes in for that."""
        mine = self._ident
        if not system.has.moves_open_files:
            self._close_spare()  # with it goes the inode; NTFS, unlike others, does not give its number again
        elif not self._creates:
            try:
                if linux.rename_exclusive(self._lock, self._spare):
                    self._is_at_rest = _leads_to(self._spare, mine)
                    if not self._is_at_rest:
                        _put_back(self._spare, self._lock)
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(self._spare)
                    return
            except FileExistsError:  # the spare's name is taken: perhaps by one who has another guard
                pass
        self._rename_aside(mine)

    def is_ours(self) -> bool:
        try:
            status = os.lstat(self._lock)
            return status.st_ino == self._ident[1] and status.st_dev == self._ident[0]
        except OSError:
            return False

    def renew(self) -> None:
        """The clock's time into our record, on our own inode only, wherever its name leads by now."""
        with contextlib.suppress(OSError):
            system.pwrite(self._fd, record.stamp(record.now_ms()), self._stamp_at)

    def close(self) -> None:
        """Remove the resting spare. Without the guard: should another's come to its name just now, that one finds it
        missing and makes a new one."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                if _leads_to(self._spare, self._ident):
                    os.unlink(self._spare)
        self._close_spare()

    def forget(self) -> None:
        """In a forked child: close the copy. The files are the parent's."""
        self.is_called_off = False
        self._close_spare()

    def _close_spare(self) -> None:
        self._is_at_rest = False
        self._ident = (0, 0)
        with gate:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def _put_back(aside: str, path: str) -> None:
    """Give another program's record its name again, unless that program, or a third, has made a new one meanwhile."""
    try:
        if linux.rename_exclusive(aside, path):
            return
    except (FileExistsError, FileNotFoundError):
        return
    try:
        if system.has.hard_links:
            os.link(aside, path)
            return
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    with open(aside, "rb") as file, contextlib.suppress(FileExistsError), open(path, "xb") as copy:
        copy.write(file.read())


def _leads_to(path: str, wanted: Ident) -> bool:
    try:
        return ident(os.lstat(path)) == wanted
    except FileNotFoundError:
        return False
