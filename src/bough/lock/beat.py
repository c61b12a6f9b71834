"""The heartbeat: long holds have their timestamp renewed, so that programs which judge by age leave them alone.

One daemon thread a process serves all holds. It starts with the first hold whose heartbeat is finite, sleeps until the
earliest is due, and ends when nothing is held by then: a short hold costs a set's ``add`` and ``discard``.
The thread stands still during a fork, which would otherwise copy its locks in the middle of its work.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bough.lock.place import Hold


holds: set[Hold] = set()
"""Every hold of this process. Who adds one calls :func:`watch` after it."""

_next_due = math.inf
_thread: threading.Thread | None = None
_is_ending = False
_mutex = threading.Lock()
_wake = threading.Event()


def watch(due: float) -> None:
    """See to it that the thread looks at ``holds`` no later than ``due``."""
    global _next_due, _thread
    if due >= _next_due:
        return
    with _mutex:
        _next_due = due
        if _thread is None:
            _thread = threading.Thread(target=_run, name="bough-lock-heartbeat", daemon=True)
            _thread.start()
        else:
            _wake.set()


def _run() -> None:
    global _next_due, _thread
    while True:
        with _mutex:
            _wake.clear()
            if _is_ending:
                _next_due, _thread = math.inf, None
                return
            due = _next_due
        _wake.wait(min(max(0.0, due - time.monotonic()), threading.TIMEOUT_MAX))
        now = time.monotonic()
        for hold in tuple(holds):
            if hold.due <= now:
                hold.beat()
        with _mutex:
            last = _next_due
            # Infinite first: a hold that comes after the look below then sees that it has to call.
            _next_due = math.inf
            earliest = min((hold.due for hold in tuple(holds)), default=math.inf)
            if earliest == math.inf and last > now:
                earliest = last  # woken early and nothing held: it stays, or each short hold would start a thread
            if earliest == math.inf:
                _thread = None
                return
            _next_due = earliest


def pause() -> None:
    """Before a fork: end the thread, or give up after a second (it may sit in a file system that hangs)."""
    global _is_ending
    _is_ending = True
    thread = _thread
    if thread is not None:
        _wake.set()
        thread.join(1.0)


def resume() -> None:
    """After the fork, in the parent: go on where there is something to do."""
    global _is_ending
    _is_ending = False
    due = min((hold.due for hold in tuple(holds)), default=math.inf)
    watch(due)


def forget() -> None:
    """After the fork, in the child, which holds nothing and has no such thread."""
    global _is_ending, _next_due, _thread, _mutex, _wake
    holds.clear()
    _is_ending, _next_due, _thread = False, math.inf, None
    _mutex, _wake = threading.Lock(), threading.Event()
