"""Who is next inside this process: a first-come, first-served line before one lock.

``flock`` knows processes, not threads: two threads of one process must not both reach the files. The owner is a thread
or, inside a running event loop, its current task; the same owner may come again, which the caller sees by ``owner``.

Guarantees: one owner at a time; those who wait get it in the order in which they came; one who gives up does not keep
the others waiting; a line that was shut lets in nobody who was not waiting before. It touches no file.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol


class ThreadOwner:
    """Stands for one thread. Thread numbers are used again after a thread's end, and would let a stranger in."""


class _Life:
    """Goes with its thread: the thread's own variables are cleared as the last thing that it does."""

    def __init__(self, owner: ThreadOwner) -> None:
        self.owner = owner

    def __del__(self) -> None:
        # While the interpreter ends it clears the variables of daemon threads too, which may be in the middle of a
        # system call inside their hold: those are the kernel's to release.
        if not sys.is_finalizing():
            on_thread_end(self.owner)


def _nothing(owner: ThreadOwner) -> None:
    pass


on_thread_start: Callable[[], None] = lambda: None  # noqa: E731
"""Called by each thread, the main one included, when it comes here for the first time."""
on_thread_end: Callable[[ThreadOwner], None] = _nothing
"""Called by each such thread when it ends."""


class _ThisThread(threading.local):
    owner: ThreadOwner | None = None
    life: _Life


_this_thread = _ThisThread()


def _first_time() -> ThreadOwner:
    owner = _this_thread.owner = ThreadOwner()
    _this_thread.life = _Life(owner)
    on_thread_start()
    return owner


def caller() -> object:
    """Whoever runs this: the current task where an event loop runs, else the thread."""
    asyncio = sys.modules.get("asyncio")  # not imported for the sake of a program that has no event loop
    if asyncio is not None and (loop := asyncio._get_running_loop()) is not None:
        task: object = asyncio.current_task(loop)
        if task is not None:
            return task
    return _this_thread.owner or _first_time()


def is_at_rest(owner: object) -> bool:
    """Whether it is this thread, or a task of the event loop that runs in it: then its code does not go on now."""
    if isinstance(owner, ThreadOwner):
        return owner is _this_thread.owner
    asyncio = sys.modules.get("asyncio")
    get_loop = getattr(owner, "get_loop", None)
    return asyncio is not None and get_loop is not None and get_loop() is asyncio._get_running_loop()


class Turn(Protocol):
    def release(self) -> None:
        """Wake the one who waits. Called under the line's mutex. RuntimeError: nobody is there any more."""


class Waiter:
    __slots__ = ("turn", "who")

    def __init__(self, who: object, turn: Turn) -> None:
        self.who = who
        self.turn = turn


class Queue:
    """The line before one lock. ``owner`` is None while nobody has it."""

    __slots__ = ("_line", "_mutex", "is_shut", "owner")

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._line: deque[Waiter] = deque()
        self.owner: object | None = None
        self.is_shut = False

    def enter(self, who: object, deadline: float) -> bool:
        """Become the owner, waiting for it until ``deadline`` (by ``time.monotonic``); False when it did not come, or
        the line is shut."""
        with self._mutex:
            if self.owner is None and not self.is_shut:
                self.owner = who
                return True
        turn = threading.Lock()
        turn.acquire()
        waiter = self.join(who, turn, deadline)
        if isinstance(waiter, bool):
            return waiter
        try:
            if deadline == math.inf:
                return turn.acquire()
            if turn.acquire(timeout=min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)):
                return True
        except BaseException:
            if not self.withdraw(waiter):
                self.leave()
            raise
        # The turn may have come between the end of the wait and this line: then it is taken, not lost.
        return not self.withdraw(waiter)

    def join(self, who: object, turn: Turn, deadline: float) -> Waiter | bool:
        """Stand in the line, to be woken by ``turn``. True: there was nobody; False: no time to wait, or it is shut."""
        with self._mutex:
            if self.is_shut:
                return False
            if self.owner is None:
                self.owner = who
                return True
            if deadline <= time.monotonic():
                return False
            waiter = Waiter(who, turn)
            self._line.append(waiter)
            return waiter

    def withdraw(self, waiter: Waiter) -> bool:
        """Give up waiting; False where the turn has come already, and is the waiter's to use or to pass on."""
        with self._mutex:
            if waiter not in self._line:
                return False
            self._line.remove(waiter)
            return True

    def leave(self) -> bool:
        """Hand over to the next in line. Only the owner calls it. True: the line was shut, and nobody is in now."""
        with self._mutex:
            while self._line:
                waiter = self._line.popleft()
                self.owner = waiter.who
                try:
                    waiter.turn.release()
                except RuntimeError:  # it waited in an event loop that is closed by now
                    continue
                return False
            self.owner = None
            return self.is_shut

    def shut(self) -> bool:
        """Let in nobody but those who wait already. True: nobody is in now; else the last :meth:`leave` says so."""
        with self._mutex:
            self.is_shut = True
            return self.owner is None
