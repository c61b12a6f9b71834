"""A process that is ended by SIGTERM or SIGINT takes its lock files with it.

It need not: the kernel lock ends with the process, and what stays at ``<path>.lock`` is known as dead. But a program in
another container, or one that goes by age, waits for nothing.

1. Only a signal whose action is the default one (the process dies) is caught. A handler of the program's own, whether
   it was there before or comes later, is not touched: it may want to finish its work under the lock, and if it ends the
   process by an exception or ``sys.exit``, that releases. SIGINT commonly is Python's own ``KeyboardInterrupt``.
2. The default action follows: the process dies by that signal, and its parent sees so. A program that puts a handler
   over ours and calls ours from it, as one does with what was there before, dies by it too, as by the default.
3. Only records of holds that cannot be at work are removed: those of the main thread, which runs this handler, and of
   tasks in its event loop that have nothing nested. Another thread may be writing until the very end; it keeps its
   record and the kernel lock up to there. No mutex is taken: the handler may have interrupted whoever has it.
4. Installed when the main thread first locks something, and left in place: to put it there and take it away with each
   hold would cost more than the hold's own system calls. Where only other threads lock, it is never installed. Not in
   process 1, which the default action does not end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from bough.lock import place, queue

_is_installed = False


def install() -> None:
    """Once, from the main thread; does nothing elsewhere."""
    global _is_installed
    if _is_installed or threading.current_thread() is not threading.main_thread() or sys.is_finalizing():
        return
    _is_installed = True
    if os.getpid() == 1:
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    place.withdraw_what_rests()
    signal.signal(number, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


queue.on_thread_start = install
