"""The wire record at ``<path>.lock``: publishing ours, taking it away, taking the place of one left behind.

``<path>.lock.new`` is the spare: a record that is written and locked once and linked to ``<path>.lock`` for each hold,
so that a hold creates no file. Invariants 3 and 4 of :mod:`bough.lock.session_lock` are kept here; invariant 2 is the
caller's, who has the guard whenever he calls anything but :meth:`Wire.is_ours`, :meth:`Wire.renew`, :meth:`Wire.close`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time

from bough.errors import StoreUnavailableError
from bough.lock import linux, record
from bough.lock.files import Ident, gate, ident, open_plain, refusal
from bough.lock.record import Found, Standing

_RESTARTS = 100


class Wire:
    __slots__ = ("_fd", "_ident", "_is_at_rest", "_lock", "_spare", "_stamp_at")

    def __init__(self, lock: str) -> None:
        self._lock = lock
        self._spare = lock + ".new"
        self._fd = -1
        self._ident: Ident = (0, 0)
        self._stamp_at = 0
        self._is_at_rest = False

    def publish(self, undisturbed: bool, deadline: float, stale_after: float) -> bool:
        """Make it our record; False when a live one is there and stays there until ``deadline``.

        ``undisturbed``: none of us had the guard since this process had it last. Then the spare is where it was.
        """
        self._is_at_rest = self._is_at_rest and undisturbed
        unsettled: tuple[Ident, bytes, float] | None = None
        while not self._link():
            found = record.find(self._lock, stale_after=stale_after)
            if found is None:
                continue
            try:
                if found.ident == self._ident:
                    os.unlink(self._lock)  # ours, left by a release that failed
                    continue
                if found.links > 1 and not _leads_to(self._spare, found.ident):
                    raise refusal(self._lock, "a file with a second name (hard link)")
                standing, now = found.standing, time.monotonic()
                if standing is Standing.LIVE:
                    if now >= deadline:
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

    def _link(self) -> bool:
        """Give our spare record the name ``<path>.lock``; False when that name is taken."""
        for _ in range(_RESTARTS):
            try:
                self._prepare_spare()
            except FileExistsError:  # only where the guard was removed by hand, and so two of us have one
                continue
            try:
                os.link(self._spare, self._lock)  # invariant 3: exclusive, and with its content
            except FileExistsError:
                return False
            except FileNotFoundError:  # somebody removed the spare
                self._is_at_rest = False
                continue
            # A second name proves that it was our inode that got it. Otherwise somebody replaced the spare just now;
            # with a new one, what is published is judged like any other.
            if os.fstat(self._fd).st_nlink == 2:
                return True
            self._is_at_rest = False
        raise StoreUnavailableError(f"{self._spare} is removed again and again", hint="find out by whom")

    def _prepare_spare(self) -> None:
        if self._fd >= 0 and (self._is_at_rest or _leads_to(self._spare, self._ident)):
            os.pwrite(self._fd, record.stamp(record.now_ms()), self._stamp_at)
            return
        self._close_spare()
        data, self._stamp_at = record.compose(record.now_ms())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._spare)  # a dead process's, another's that rests, or what a takeover put there
        with gate:
            fd = self._fd = open_plain(self._spare, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            # Locked for as long as it exists: whoever finds it unlocked knows that its process is gone.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._spare)
            self._ident = ident(os.fstat(fd))
            self._is_at_rest = True
        except BaseException:
            self._close_spare()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._spare)
            raise

    def _displace(self, found: Found) -> bool:
        """Take the place of a record that was judged stale, of exactly that one (invariant 4)."""
        self._is_at_rest = False
        try:
            if not linux.exchange(self._spare, self._lock):
                self._rename_aside(found)
                return False
        except FileNotFoundError:
            return False
        if _leads_to(self._spare, found.ident) and found.is_unchanged():
            os.unlink(self._spare)
            return self.is_ours()
        try:
            linux.exchange(self._spare, self._lock)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.link(self._spare, self._lock)
        return False

    def _rename_aside(self, found: Found) -> None:
        """Without an exchange: free the name if it led to the judged record; another's is put back.

        For a moment nothing is at ``<path>.lock``. Another program may create its own there: our link then fails, and
        what is there is judged anew.
        """
        aside = self._lock + ".old"
        os.rename(self._lock, aside)
        if not (_leads_to(aside, found.ident) and found.is_unchanged()):
            with contextlib.suppress(FileExistsError):
                os.link(aside, self._lock)
        os.unlink(aside)

    def withdraw(self) -> None:
        """Take our record away, if it is there. Never raises OSError."""
        try:
            if ident(os.lstat(self._lock)) == self._ident:  # invariant 4: what is there may be another's by now
                os.unlink(self._lock)
        except FileNotFoundError:
            pass
        except BaseException as error:
            # It stays, for lack of rights or by an interrupt. Unlocked, it is known as dead to whoever comes next.
            self._close_spare()
            if not isinstance(error, OSError):
                raise

    def is_ours(self) -> bool:
        try:
            return ident(os.lstat(self._lock)) == self._ident
        except OSError:
            return False

    def renew(self) -> None:
        """The clock's time into our record, on our own inode only, wherever its name leads by now."""
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, record.stamp(record.now_ms()), self._stamp_at)

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
        self._close_spare()

    def _close_spare(self) -> None:
        self._is_at_rest = False
        self._ident = (0, 0)
        with gate:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def _leads_to(path: str, wanted: Ident) -> bool:
    try:
        return ident(os.lstat(path)) == wanted
    except FileNotFoundError:
        return False
