"""Who is next inside this process: a first-come, first-served line before one lock.

``flock`` knows processes, not threads: two threads of one process must not both reach the files. The owner is a thread
or, inside a running event loop, its current task; the same owner may come again, which the caller sees by ``owner``.

Guarantees: one owner at a time; those who wait get it in the order in which they came; one who gives up does not keep
the others waiting. It touches no file.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque


class ThreadOwner:
    """Stands for one thread. Thread numbers are used again after a thread's end, and would let a stranger in."""


class _ThisThread(threading.local):
    def __init__(self) -> None:
        self.owner = ThreadOwner()


_this_thread = _ThisThread()


def caller() -> object:
    """Whoever runs this: the current task where an event loop runs, else the thread."""
    asyncio = sys.modules.get("asyncio")  # not imported for the sake of a program that has no event loop
    if asyncio is not None and (loop := asyncio._get_running_loop()) is not None:
        task: object = asyncio.current_task(loop)
        if task is not None:
            return task
    return _this_thread.owner


class _Waiter:
    __slots__ = ("turn", "who")

    def __init__(self, who: object) -> None:
        self.who = who
        self.turn = threading.Lock()
        self.turn.acquire()


class Queue:
    """The line before one lock. ``owner`` is None while nobody has it."""

    __slots__ = ("_line", "_mutex", "owner")

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._line: deque[_Waiter] = deque()
        self.owner: object | None = None

    def enter(self, who: object, deadline: float) -> bool:
        """Become the owner, waiting for it until ``deadline`` (by ``time.monotonic``); False when it did not come."""
        with self._mutex:
            if self.owner is None:
                self.owner = who
                return True
            if deadline <= time.monotonic():
                return False
            waiter = _Waiter(who)
            self._line.append(waiter)
        try:
            if deadline == math.inf:
                return waiter.turn.acquire()
            if waiter.turn.acquire(timeout=min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)):
                return True
        except BaseException:
            if not self._withdraw(waiter):
                self.leave()
            raise
        # The turn may have come between the end of the wait and this line: then it is taken, not lost.
        return not self._withdraw(waiter)

    def _withdraw(self, waiter: _Waiter) -> bool:
        with self._mutex:
            if waiter not in self._line:
                return False
            self._line.remove(waiter)
            return True

    def leave(self) -> None:
        """Hand over to the next in line. Only the owner calls it."""
        with self._mutex:
            if self._line:
                waiter = self._line.popleft()
                self.owner = waiter.who
                waiter.turn.release()
            else:
                self.owner = None
