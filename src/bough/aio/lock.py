"""The session lock for asyncio programs.

Same lock, same files, same rules as :mod:`bough.lock`: threads, tasks and other processes exclude one another. What
waits here is the task alone; whatever touches a file or waits in the kernel does so in a thread
(:mod:`bough.aio.threads`).

1. The event loop is never blocked, and the loop's default executor is not used: waiters in it could keep the holder's
   own work out.
2. In the process, tasks and threads get the lock in the order in which they came.
3. A cancelled waiter leaves the line at once; a lock that arrives at that moment is released. A release goes on when
   the task that awaits it is cancelled.
4. What a task starts inside its section nests in it, one at a time: child tasks, ``asyncio.to_thread``, the stores'
   own locking (:mod:`bough.lock.sections`). Once the section is closed, a task that outlives it waits like others.

A task that ends without releasing keeps the lock until its process ends: whether it meant to hand it on cannot be
known. Not for event loops other than asyncio's.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from bough import lock as sync
from bough.aio.threads import in_thread, start
from bough.errors import SessionLockedError
from bough.lock import place as places
from bough.lock import sections
from bough.lock.guard import FolderMovedError
from bough.lock.place import Hold, Place
from bough.lock.queue import Queue, caller
from bough.lock.sections import Section
from bough.model import LockInfo

__all__ = ["LockInfo", "SessionLock", "with_session_lock"]

T = TypeVar("T")


class SessionLock:
    """:class:`bough.lock.SessionLock` for tasks; ``async with`` waits for nobody and raises SessionLockedError.

    One object may serve several tasks. A task releases what it acquired itself. To limit a wait give ``acquire`` its
    ``timeout``, or use ``asyncio.timeout``: under Python 3.11 ``asyncio.wait_for`` acquires in a task of its own, and
    what follows in the caller then does not nest.
    """

    __slots__ = ("_lock",)

    def __init__(self, path: str | os.PathLike[str], *, stale_after: float = 60.0, heartbeat: float = 10.0) -> None:
        self._lock = sync.SessionLock(path, stale_after=stale_after, heartbeat=heartbeat)

    async def acquire(self, timeout: float | None = 0) -> bool:
        """Take the lock; False when it did not come within ``timeout`` seconds (None: wait for ever).

        Raises StoreUnavailableError where nothing can be locked.
        """
        lock, me = self._lock, caller()
        deadline = math.inf if timeout is None else time.monotonic() + timeout if timeout > 0 else 0.0
        while True:
            place = lock._place
            if place is None:
                place = lock._place = await in_thread(lambda: places.find(lock._path))
            if place.hold is not None and place.queue.owner is me:
                return lock._again(place)
            outer = sections.find(place) if place.hold is not None else None
            if outer is not None:
                entered = outer.owner is me or await _enter(outer, place, me, deadline)
                if not entered and outer.depth == 0:
                    continue
                return entered and lock._inside(outer, me)
            # Not as this task: cancelled, it may come again while a thread still gives back what it had asked for.
            if not await _enter(None, place, object(), deadline):
                return False
            try:
                hold = await _take(lock, place, deadline)
            except FolderMovedError:
                lock._place = None
                continue
            if hold is None:
                return False
            place.queue.owner = me
            lock._begin(hold, me)
            return True

    async def release(self) -> None:
        """Undo one acquire of this object; harmless when this task does not hold the lock by it."""
        section = self._lock._undo(caller())
        if section is not None:
            await in_thread(lambda: sections.close(section))

    async def close(self) -> None:
        """Close the files that this process keeps open for the path between holds, unless somebody here uses them."""
        await in_thread(self._lock.close)

    async def check(self) -> bool:
        """Whether this object holds the lock and no other program has taken it away. Ask before a commit."""
        return await in_thread(self._lock.check)

    @property
    def token(self) -> int | None:
        """The fencing token of the present hold; None when not held."""
        return self._lock.token

    async def is_locked(self) -> bool:
        """Whether anybody holds the lock, this process included."""
        return await in_thread(self._lock.is_locked)

    async def get_lock_holder(self) -> LockInfo | None:
        """Who holds the lock; None when nobody does, or a holder's record cannot be read."""
        return await in_thread(self._lock.get_lock_holder)

    async def __aenter__(self) -> Self:
        if not await self.acquire():
            raise SessionLockedError(self._lock._path, await self.get_lock_holder())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()

    def __repr__(self) -> str:
        return f"bough.aio.{type(self).__name__}({self._lock._path!r})"


async def with_session_lock(
    path: str | os.PathLike[str], fn: Callable[[], Awaitable[T]], *, timeout: float | None = 0
) -> T:
    """Await ``fn()`` while holding the lock of ``path``, and return what it returns. The lock is let go if it raises.

    Raises SessionLockedError, naming the holder, when the lock did not come within ``timeout`` seconds.
    """
    lock = SessionLock(path)
    if not await lock.acquire(timeout):
        raise SessionLockedError(lock._lock._path, await lock.get_lock_holder())
    try:
        return await fn()
    finally:
        await lock.release()


# -- waiting -----------------------------------------------------------------------------------------------------------


class _Turn:
    """Wakes a task that stands in a line, from whatever thread."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
        self._loop = loop
        self._future = future

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._come)

    def _come(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


async def _enter(outer: Section | None, place: Place, who: object, deadline: float) -> bool:
    """Queue.enter for a task: into the line of ``outer``, or of the place."""
    line: Queue = sections.line(outer, place)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    waiter = line.join(who, _Turn(loop, future), deadline)
    if isinstance(waiter, bool):
        return waiter
    try:
        left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        await asyncio.wait((future,), timeout=left)
    except BaseException:
        if not line.withdraw(waiter):
            start(lambda: sections.leave(outer, place))
        raise
    return not line.withdraw(waiter)


async def _take(lock: sync.SessionLock, place: Place, deadline: float) -> Hold | None:
    """Place.take for who owns the place's queue. Where no hold comes of it, the queue is left."""
    place.listen()

    def take() -> Hold | None:
        hold = None
        try:
            # Never the wait without end: it could not be called off.
            hold = place.take(min(deadline, time.monotonic() + 1e9), lock._stale_after, lock._heartbeat)
        finally:
            if hold is None:
                place.queue.leave()
        return hold

    def give_back(hold: Hold | None) -> None:
        if hold is not None:
            hold.depth = 0
            sections.close(hold)

    return await in_thread(take, give_back=give_back, call_off=place.call_off)
