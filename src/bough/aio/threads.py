"""The threads that do for a task what would keep its event loop waiting.

1. A thread that has nothing to do takes the next job; one that stays without for some seconds ends. They are daemons:
   one that waits in the kernel must not keep the program from ending. The loop's default executor is not used: who
   waits in it could keep out the work of whom he waits for.
2. A job runs in a copy of its task's context: a lock that the task holds lets it in (:mod:`bough.lock.sections`).
3. A :class:`Gate` lets so many jobs run at a time, the others in the order in which they came.
4. An error is the task's. Where its loop was closed it goes to ``threading.excepthook``.

What it deliberately does not do: stop a job that runs.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
Job: TypeAlias = Callable[[], None]
_IDLE = 5.0
"""Seconds after which a thread that has nothing to do ends."""

_idle: deque[SimpleQueue[Job]] = deque()


def start(job: Job) -> None:
    """Run it in a thread that has nothing to do, or in a new one: they are as many as jobs that were started and are
    not done."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        threading.Thread(target=_work, args=(inbox,), name="bough-aio", daemon=True).start()
    inbox.put(job)


def _work(inbox: SimpleQueue[Job]) -> None:
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


class Gate:
    """Passes jobs on to ``onward``, no more at a time than ``limit``, first come, first served. For any thread."""

    def __init__(self, limit: int, onward: Callable[[Job], None] = start) -> None:
        self._limit = limit
        self._onward = onward
        self.reset()

    def reset(self) -> None:
        """As if nothing had ever come: in a forked child, to whom the threads do not belong."""
        self._mutex = threading.Lock()
        self._running = 0
        self._waiting: deque[Job] = deque()

    def __call__(self, job: Job) -> None:
        with self._mutex:
            if self._running == self._limit:
                self._waiting.append(job)
                return
            self._running += 1
        try:
            self._onward(lambda: self._run(job))
        except RuntimeError:  # the machine has no more threads
            self._next()
            raise

    def _run(self, job: Job) -> None:
        try:
            job()
        finally:
            self._next()

    def _next(self) -> None:
        with self._mutex:
            if not self._waiting:
                self._running -= 1
                return
            job = self._waiting.popleft()
        try:
            self._onward(lambda: self._run(job))
        except RuntimeError:  # no more threads, and whose job it is would wait for ever: this thread is free
            self._run(job)


READERS = Gate(32)
"""Calls that wait for no lock. Nobody who has a lock waits for anybody else by coming here."""
WRITERS = Gate(32)
"""Calls that may wait for a lock. Who has one must not come here: all the others may be waiting for him."""


class Errand(Generic[T]):
    """A call in a thread, and who gets its result: the task, or ``give_back`` where the task was cancelled."""

    def __init__(
        self, fn: Callable[[], T], *, give_back: Callable[[T], None] | None = None, context: Context | None = None
    ) -> None:
        self._fn = fn
        self._give_back = give_back
        self._context = copy_context() if context is None else context
        self._loop = asyncio.get_running_loop()
        self._decided = threading.Lock()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self.future: asyncio.Future[None] = self._loop.create_future()

    def __call__(self) -> None:
        try:
            self._result.append(self._context.run(self._fn))
        except BaseException as error:  # noqa: BLE001 - it is the task's
            self._error = error
        if not self._decided.acquire(blocking=False):
            self.undo()
            return
        try:
            self._loop.call_soon_threadsafe(self._arrive)
        except RuntimeError:  # the loop is closed
            self.undo()
            if isinstance(self._error, Exception):
                _complain(self._error)
                self._error = None

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

    async def settled(self) -> T:
        """The result, waited for to the end."""
        if await to_the_end(self.future):
            self.result()
            raise asyncio.CancelledError
        return self.result()

    def is_abandoned_in_time(self) -> bool:
        """The task does not want it any more. True: the thread will see to it; False: it has come already."""
        return self._decided.acquire(blocking=False)

    def undo(self) -> None:
        if self._give_back is not None and self._result:
            try:
                self._context.run(self._give_back, self._result[0])
            except Exception as error:  # noqa: BLE001 - there is nobody left to raise it to
                _complain(error)


def _complain(error: Exception) -> None:
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    )


async def in_thread(
    fn: Callable[[], T],
    *,
    give_back: Callable[[T], None] | None = None,
    call_off: Callable[[], None] | None = None,
) -> T:
    """What ``fn`` returns in a thread. A cancelled caller is free at once: the thread is told by ``call_off``, and
    what it returns all the same goes to ``give_back``, in a thread too."""
    errand = Errand(fn, give_back=give_back)
    start(errand)
    try:
        await errand.future
    except BaseException:
        if not errand.is_abandoned_in_time():
            start(errand.undo)
        elif call_off is not None:
            call_off()
        raise
    return errand.result()


async def to_the_end(*futures: asyncio.Future[Any]) -> bool:
    """Waits until all are done, also when the task is cancelled. True: it was."""
    is_cancelled = False
    while not all(future.done() for future in futures):
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            is_cancelled = True
    return is_cancelled


_apart: set[asyncio.Task[Any]] = set()


def set_apart(work: Coroutine[Any, Any, T], tasks: set[asyncio.Task[Any]] | None = None) -> asyncio.Task[T]:
    """A task of its own, in ``tasks`` until it is done: the event loop alone would keep it weakly."""
    task = asyncio.create_task(work)
    kept = _apart if tasks is None else tasks
    kept.add(task)
    task.add_done_callback(kept.discard)
    return task


async def see_through(
    work: Coroutine[Any, Any, T],
    tasks: set[asyncio.Task[Any]] | None = None,
    *,
    call_off: Callable[[], None] | None = None,
    give_back: Callable[[T], None] | None = None,
) -> T:
    """What ``work`` returns, in a task of its own, which goes on when the awaiter is cancelled. Then ``call_off`` is
    called, what it returns goes to ``give_back``, and an error to the event loop (``asyncio.shield`` loses it)."""

    def leave_behind(task: asyncio.Task[T]) -> None:
        if not report(task) and give_back is not None:
            give_back(task.result())

    task = set_apart(work, tasks)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        if call_off is not None:
            call_off()
        task.add_done_callback(leave_behind)
        raise
    return task.result()


def report(task: asyncio.Task[Any]) -> bool:
    """Tells the event loop of the error of a task that nobody awaits. False: it has a result."""
    if task.cancelled():
        return True
    error = task.exception()
    if error is None:
        return False
    text = "a call failed whose task had been cancelled"
    task.get_loop().call_exception_handler({"message": text, "exception": error, "task": task})
    return True


def _forget() -> None:
    """In a forked child: the threads stay with the parent."""
    _idle.clear()
    READERS.reset()
    WRITERS.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
