"""Waiting for a kernel lock with a time limit.

``flock`` either returns at once or blocks until it has the lock; a blocked one cannot be called off. So a thread blocks
in it, the caller waits for the thread, and may give up. The kernel wakes the thread the moment the lock is free, also
when its holder was killed: nothing is polled.

Guarantees: a lock that comes after its waiter gave up is taken over by the next who wants it, or let go at once; it is
never kept without an owner. The thread works on an open file of its own, so letting go never unlocks somebody's hold.
"""

from __future__ import annotations

import os
import threading
import time

from bough.lock import system
from bough.lock.files import gate


class Fetch:
    """One wait for the lock on ``fd``, which it owns until :meth:`detach`."""

    __slots__ = ("_done", "_error", "_mutex", "_over", "_wanted", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._mutex = threading.Lock()
        self._done = threading.Event()
        self._wanted = True
        self._over = False
        self._error: OSError | None = None

    def start(self) -> None:
        try:
            threading.Thread(target=self._run, name="bough-lock-wait", daemon=True).start()
        except BaseException:
            self.close()
            raise

    def _run(self) -> None:
        try:
            system.mark(self.fd)
            system.lock(self.fd)
            system.unmark(self.fd)
        except OSError as error:
            self._error = error
        with self._mutex:
            self._over = True
            if not self._wanted:
                self.close()
            self._done.set()

    def want(self) -> bool:
        """Ask for the lock again after a wait that was given up; False where the thread has let it go by now."""
        with self._mutex:
            if self._over:
                return False
            self._done.clear()  # woken for nothing, perhaps
            self._wanted = True
            return True

    def take(self, deadline: float) -> bool:
        """Wait for the lock until ``deadline`` (``time.monotonic``). True: :attr:`fd` has it, to be detached."""
        try:
            self._done.wait(min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX))
        except BaseException:
            if self._give_up():
                self.close()
            raise
        if not self._give_up():
            return False
        if self._error is not None:
            self.close()
            raise self._error
        return True

    def wake(self) -> None:
        """End the wait of whoever is in :meth:`take`."""
        self._done.set()

    def detach(self) -> int:
        """The locked descriptor, from now on the caller's."""
        fd, self.fd = self.fd, -1
        return fd

    def _give_up(self) -> bool:
        """Stop wanting it; True when it had come already and is the caller's to use or close."""
        with self._mutex:
            self._wanted = False
            return self._over

    def close(self) -> None:
        with gate:
            fd, self.fd = self.fd, -1
            if fd >= 0:
                os.close(fd)
