"""SessionLock: one holder at a time among processes, threads and tasks, on the files other programs lock with.

Where things are: :mod:`~bough.lock.session_lock` the class, its promises and the numbered invariants,
:mod:`~bough.lock.place` what a process keeps for a path, its exit and its forks, :mod:`~bough.lock.guard` the kernel
lock and the tokens, :mod:`~bough.lock.wire` the record that others see and the takeover, :mod:`~bough.lock.record` its
layout and the judging of what somebody left, :mod:`~bough.lock.queue` who is next inside the process,
:mod:`~bough.lock.sections` who nests in whose hold, :mod:`~bough.lock.signals` ends by a signal,
:mod:`~bough.lock.fetch` the wait for a kernel lock, :mod:`~bough.lock.beat` the heartbeat, :mod:`~bough.lock.files`
safe opening, :mod:`~bough.lock.system` what this system has, :mod:`~bough.lock.linux` calls that Python does not wrap.
"""

from bough.lock.guard import TOKEN_LIMIT
from bough.lock.session_lock import SessionLock, with_session_lock
from bough.model import LockInfo

__all__ = ["TOKEN_LIMIT", "LockInfo", "SessionLock", "with_session_lock"]
