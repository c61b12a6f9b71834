"""The session lock for asyncio programs.

Same lock, same files, same rules as :mod:`bough.lock`: threads, tasks and other processes exclude one another. What
waits here is the task alone; whatever touches a file or waits in the kernel does so in a thread of its own.

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
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

from bough import lock as sync
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
_IDLE = 5.0
"""Seconds after which a thread that has nothing to do ends."""


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
                place = lock._place = await _in_thread(lambda: places.find(lock._path))
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
            await _in_thread(lambda: sections.close(section))

    async def close(self) -> None:
        """Close the files that this process keeps open for the path between holds, unless somebody here uses them."""
        await _in_thread(self._lock.close)

    async def check(self) -> bool:
        """Whether this object holds the lock and no other program has taken it away. Ask before a commit."""
        return await _in_thread(self._lock.check)

    @property
    def token(self) -> int | None:
        """The fencing token of the present hold; None when not held."""
        return self._lock.token

    async def is_locked(self) -> bool:
        """Whether anybody holds the lock, this process included."""
        return await _in_thread(self._lock.is_locked)

    async def get_lock_holder(self) -> LockInfo | None:
        """Who holds the lock; None when nobody does, or a holder's record cannot be read."""
        return await _in_thread(self._lock.get_lock_holder)

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
            _start(lambda: sections.leave(outer, place))
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

    return await _in_thread(take, give_back=give_back, call_off=place.call_off)


# -- threads -----------------------------------------------------------------------------------------------------------


class _Errand(Generic[T]):
    """A call in a thread, and who gets its result: the task, or ``give_back`` where the task was cancelled."""

    def __init__(self, fn: Callable[[], T], give_back: Callable[[T], None] | None) -> None:
        self._fn = fn
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._decided = threading.Lock()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self.future: asyncio.Future[None] = self._loop.create_future()

    def __call__(self) -> None:
        try:
            self._result.append(self._fn())
        except BaseException as error:  # noqa: BLE001 - it is the task's
            self._error = error
        if not self._decided.acquire(blocking=False):
            self.undo()
            return
        try:
            self._loop.call_soon_threadsafe(self._arrive)
        except RuntimeError:  # the loop is closed
            self.undo()

    def _arrive(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def result(self) -> T:
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback leads back here
        return self._result[0]

    def is_abandoned_in_time(self) -> bool:
        """The task does not want it any more. True: the thread will see to it; False: it has come already."""
        return self._decided.acquire(blocking=False)

    def undo(self) -> None:
        if self._give_back is not None and self._result:
            self._give_back(self._result[0])


async def _in_thread(
    fn: Callable[[], T],
    *,
    give_back: Callable[[T], None] | None = None,
    call_off: Callable[[], None] | None = None,
) -> T:
    """What ``fn`` returns in a thread. A cancelled caller is free at once: the thread is told by ``call_off``, and
    what it returns all the same goes to ``give_back``, in a thread too."""
    errand = _Errand(fn, give_back)
    _start(errand)
    try:
        await errand.future
    except BaseException:
        if not errand.is_abandoned_in_time():
            _start(errand.undo)
        elif call_off is not None:
            call_off()
        raise
    return errand.result()


_idle: deque[SimpleQueue[Callable[[], None]]] = deque()


def _start(job: Callable[[], None]) -> None:
    """Run it in a thread that has nothing to do, or in a new one: they are as many as wait at one time. Daemons: one
    that waits in the kernel must not keep the program from ending."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        threading.Thread(target=_work, args=(inbox,), name="bough-aio", daemon=True).start()
    inbox.put(job)


def _work(inbox: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        try:
            job = inbox.get(timeout=_IDLE)
        except Empty:
            try:
                _idle.remove(inbox)
            except ValueError:  # somebody has just taken it, and puts something in
                continue
            return
        job()
        del job  # or it would keep what it was for
        _idle.append(inbox)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # the threads stay with the parent
