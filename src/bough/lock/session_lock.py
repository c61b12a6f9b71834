"""SessionLock: one holder of a session file at a time, among processes, threads and asyncio tasks of one machine.

Other programs lock the same sessions by the wire file ``<path>.lock`` alone (a JSON object with ``pid``, ``timestamp``
in ms and ``hostname``, created exclusively). They understand what we write, and what they write is honoured. Among us
it is not enough: two who judge one lock stale, a process number used again, a holder that works longer than the stale
time, a kill between create and write each let two in. So the lock among us is the kernel's, on a file of its own.

Invariants:

1. A holder has the kernel lock on the inode of ``<path>.lock.guard``, and has checked after locking that the name still
   leads to that inode. The guard is never removed.
2. Among us, only who has the guard touches ``<path>.lock``.
3. ``<path>.lock`` is never empty or partial, and stays kernel-locked during a hold.
4. Only the record that was judged is ever removed, or our own: by its inode, looked at after it left its name.
5. Tokens strictly increase from hold to hold.

What follows: a process that is killed at any point holds nothing from that moment on, for the kernel lets go with it.

What it does not do: it does not hold back a program that ignores the lock files, nor one that judges a live lock stale
by its age; :meth:`SessionLock.check` then says that the lock is lost. It does not wait for an event loop: in a task,
``acquire`` with a timeout blocks the loop. It does not end with its object: a lock that is never released is held until
the process ends. A child forked by C code that skips Python's fork hooks, and never executes another program, keeps a
dead parent's lock alive.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from bough.errors import SessionLockedError
from bough.lock import place as places
from bough.lock import record, sections, signals
from bough.lock.files import unavailable
from bough.lock.guard import TOKEN_LIMIT, FolderMovedError
from bough.lock.place import Hold, Place
from bough.lock.queue import ThreadOwner, caller
from bough.lock.record import Standing
from bough.lock.sections import Section
from bough.model import LockInfo

T = TypeVar("T")


class SessionLock:
    """The lock of the session file ``path``; its folder must exist, the file itself need not.

    ``stale_after`` (seconds): age from which a lock of another program counts as left behind where nothing better is
    known: of another host, or of a live process that does not hold its file locked. ``heartbeat`` (seconds): how often
    a hold renews its timestamp for programs that judge by age; ``math.inf`` for holds that are sure to be short.

    The same thread (or task) may acquire again, by any SessionLock of the path; the lock is let go when each acquire
    has had its release. So may tasks and threads that a task starts inside its hold (:mod:`bough.lock.sections`).
    Others of the process wait in the order in which they came.
    """

    __slots__ = ("_depth", "_heartbeat", "_hold", "_inner", "_path", "_place", "_stale_after")

    def __init__(self, path: str | os.PathLike[str], *, stale_after: float = 60.0, heartbeat: float = 10.0) -> None:
        # Not normalised: ".." after a symbolic link does not lead to where its text says.
        self._path = os.path.join(os.getcwd(), os.fspath(path))
        self._stale_after = stale_after
        self._heartbeat = heartbeat
        self._place: Place | None = None
        self._hold: Hold | None = None
        self._depth = 0  # of this object's acquires, those by the owner of the hold
        self._inner: list[Section] | None = None  # and those by what he started, one entry each

    def acquire(self, timeout: float | None = 0) -> bool:
        """Take the lock; False when it did not come within ``timeout`` seconds (None: wait for ever).

        With 0 it does not wait for a holder. It may take a quarter of a second where an empty lock file is found,
        which may be one that another program is just writing.

        Raises StoreUnavailableError where nothing can be locked: no such folder, no permission, a full disk, a link
        or a folder where a lock file should be, a file system without locks.
        """
        me = caller()
        place = self._place
        if place is not None and place.queue.owner is me:
            return self._again(place)
        deadline = math.inf if timeout is None else time.monotonic() + timeout if timeout > 0 else 0.0
        while True:
            place = self._place
            if place is None:
                place = self._place = places.find(self._path)
                if place.queue.owner is me:
                    return self._again(place)
            if place.hold is not None and (outer := sections.find(place)) is not None:
                entered = outer.owner is me or (outer.line is not None and outer.line.enter(me, deadline))
                if not entered and outer.depth == 0:
                    continue  # it was closed meanwhile: what outlives it comes in as everybody does
                return entered and self._inside(outer, me)
            if not place.queue.enter(me, deadline):
                return False
            try:
                hold = place.take(deadline, self._stale_after, self._heartbeat)
            except FolderMovedError:
                place.queue.leave()
                self._place = None
                continue
            except BaseException:
                place.queue.leave()
                raise
            if hold is None:
                place.queue.leave()
                return False
            self._begin(hold, me)
            return True

    def _begin(self, hold: Hold, me: object) -> None:
        self._hold = hold
        self._depth = 1
        self._inner = None
        if type(me) is not ThreadOwner:
            sections.begin(hold, me)
            signals.install()

    def _again(self, place: Place) -> bool:
        """The owner of the hold itself acquires again."""
        hold = place.hold
        if hold is None or hold.depth == 0:  # a signal handler, in the middle of what it interrupted
            return False
        hold.depth += 1
        if self._hold is hold:
            self._depth += 1
        else:
            self._hold, self._depth, self._inner = hold, 1, None
        return True

    def _inside(self, outer: Section, me: object) -> bool:
        """Something that a task started inside its hold acquires, or acquires again. Its turn in the line has come."""
        hold = outer.place.hold
        if outer.owner is me:
            section = outer
            section.depth += 1
        else:
            section = sections.nest(outer, me)
        if self._hold is not hold:
            self._hold, self._depth, self._inner = hold, 0, None
        if self._inner is None:
            self._inner = []
        self._inner.append(section)
        return True

    def release(self) -> None:
        """Undo one acquire of this object; harmless when this thread (or task) does not hold the lock by it.

        The lock file is removed if it is still ours, never when it is another's.
        """
        section = self._undo(caller())
        if section is not None:
            sections.close(section)

    def _undo(self, me: object) -> Section | None:
        """Count one acquire less; the section that has to be closed for it."""
        hold = self._hold
        if hold is None:
            return None
        place = hold.place
        if place.hold is not hold:
            return None
        section: Section
        if self._depth and _acts_for(me, place.queue.owner):
            self._depth -= 1
            section = hold
        else:
            mine = [each for each in self._inner or () if _acts_for(me, each.owner)]
            if not mine or self._inner is None:
                return None
            section = mine[-1]
            self._inner.remove(section)
        if not self._depth and not self._inner:
            self._hold = None
        section.depth -= 1
        if section.depth:
            return None
        if section.line is not None:
            sections.step_out(section)
        return section

    def check(self) -> bool:
        """Whether this object holds the lock and no other program has taken it away. Ask before a commit."""
        hold = self._hold
        return hold is not None and hold.place.hold is hold and hold.place.wire.is_ours()

    def close(self) -> None:
        """Close the files that this process keeps open for the path between holds, unless somebody here uses them. The
        object can be used again."""
        if self._place is not None:
            self._place.close_if_idle()

    def surpass(self, token: int) -> None:
        """Make the token of the present hold greater than ``token``, which was given out elsewhere: in a folder that
        was copied, by a clock that was ahead. It does nothing where the lock is lost by now: then somebody else's
        token is rightly greater."""
        hold = self._hold
        if hold is not None and hold.token <= token < TOKEN_LIMIT and self.check() and hold.place.guard.is_ours():
            hold.token = hold.place.guard.surpass(token)

    @property
    def token(self) -> int | None:
        """The fencing token of the present hold, greater than that of every hold before; None when not held."""
        hold = self._hold
        return hold.token if hold is not None and hold.place.hold is hold else None

    def is_locked(self) -> bool:
        """Whether anybody holds the lock, this process included. It only looks, and may be outdated at once."""
        standing, _ = self._look()
        return standing in (Standing.LIVE, Standing.UNSETTLED)

    def get_lock_holder(self) -> LockInfo | None:
        """Who holds the lock; None when nobody does, or a holder's record cannot be read."""
        standing, info = self._look()
        return info if standing is Standing.LIVE else None

    def _look(self) -> tuple[Standing, LockInfo | None]:
        try:
            found = record.find(self._path + ".lock", stale_after=self._stale_after)
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError as error:
            raise unavailable(self._path, error) from error
        if found is None:
            return Standing.STALE, None
        found.close()
        return found.standing, found.info

    def __enter__(self) -> Self:
        if not self.acquire():
            raise SessionLockedError(self._path, self.get_lock_holder())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r})"


def _acts_for(me: object, owner: object) -> bool:
    """Whether it is for ``me`` to release what ``owner`` acquired: a task that has ended cannot do it any more. Under
    Python 3.11 ``wait_for`` acquires in a task of its own."""
    return owner is me or (type(owner) is not ThreadOwner and getattr(owner, "done", _never)())


def _never() -> bool:
    return False


def with_session_lock(path: str | os.PathLike[str], fn: Callable[[], T], *, timeout: float | None = 0) -> T:
    """Call ``fn`` while holding the lock of ``path``, and return what it returns. The lock is let go if it raises.

    Raises SessionLockedError, naming the holder, when the lock did not come within ``timeout`` seconds.
    """
    lock = SessionLock(path)
    if not lock.acquire(timeout):
        raise SessionLockedError(str(lock._path), lock.get_lock_holder())
    try:
        return fn()
    finally:
        lock.release()
