"""``async with manager.lock()``, and how each call finds its thread.

A store's lock belongs to the thread that took it (:meth:`bough.stores.base.Store.lock`: commits of the same thread go
through). A task has no thread, so its section is given one:

1. What is called inside a section, by whatever was started in it, runs in the section's thread, one after another. A
   section inside it, of any manager, shares the thread.
2. A section that was left takes no calls any more: what outlives it finds its way like others.
3. Who holds a lock does not stand in line for a thread.

What it deliberately does not do: lock (stores do).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context, ContextVar, copy_context
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar, cast

from bough.aio.threads import READERS, Errand, Gate, Job, report, see_through, set_apart, start
from bough.errors import InvalidRequestError
from bough.lock import sections

T = TypeVar("T")


def way_for(gate: Gate) -> tuple[Callable[[Job], None], Context | None]:
    """How a call gets its thread, and what context it runs in, None for a copy of this one."""
    own = own_thread.get()
    if own is not None and own.is_open:
        return own.put, own.context
    return (gate if gate is READERS or not _holds_a_lock() else start), None


def _holds_a_lock() -> bool:
    section = sections._inside.get()
    while section is not None and section.depth == 0:
        section = section.around
    return section is not None


class Section(AbstractAsyncContextManager[None]):
    """Store.lock for tasks. A store lets the thread in that holds the lock: so a section has a thread, and what belongs
    to the section runs in it."""

    def __init__(self, check: Callable[[], None], lock: Callable[[], AbstractContextManager[object]]) -> None:
        self._check = check
        self._lock = lock
        self._before: OwnThread | None = None
        self._thread: OwnThread | None = None
        self._held: AbstractContextManager[object] | None = None
        self._is_wanted = True

    async def __aenter__(self) -> None:
        self._check()
        if self._thread is not None:
            raise InvalidRequestError("the section was entered before", hint="call lock() for each `async with`")
        self._before = own_thread.get()
        if self._before is not None and self._before.enter():
            self._thread = self._before
        else:
            self._thread = OwnThread()
        try:
            await see_through(self._put(self._enter).settled())
        except BaseException:
            self._is_wanted = False
            leaving = self._put(lambda: self._leave(None, None, None))  # cancelled, it may have come
            self._thread.leave()
            set_apart(leaving.settled()).add_done_callback(report)
            raise
        own_thread.set(self._thread)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if own_thread.get() is self._thread:  # else this is not the context in which it was entered
            own_thread.set(self._before)
        leaving = self._put(lambda: self._leave(kind, error, trace))
        cast("OwnThread", self._thread).leave()
        return await see_through(leaving.settled())

    def _put(self, step: Callable[[], T]) -> Errand[T]:
        thread = cast("OwnThread", self._thread)
        errand = Errand(step, context=thread.context)
        thread.put(errand)
        return errand

    def _enter(self) -> None:
        if not self._is_wanted:
            raise asyncio.CancelledError
        held = self._lock()
        held.__enter__()
        self._held = held

    def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return None if self._held is None else self._held.__exit__(kind, error, trace)


class OwnThread:
    """One thread for all that happens inside some sections of code. It ends with the last of them."""

    def __init__(self) -> None:
        self.context = copy_context()
        """Of all jobs: a section of a lock that one of them opens is what the next ones are in."""
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._mutex = threading.Lock()
        self._depth = 1
        start(self._serve)

    @property
    def is_open(self) -> bool:
        return self._depth > 0

    def enter(self) -> bool:
        """One more section. False: it has ended."""
        with self._mutex:
            if self._depth:
                self._depth += 1
            return self._depth > 0

    def put(self, job: Job) -> None:
        """Run it behind what was put in before; in any thread if this one has just ended."""
        with self._mutex:
            if self._depth:
                self._inbox.put(job)
                return
        start(job)

    def leave(self) -> None:
        """One section less. What was put in before is still done."""
        with self._mutex:
            self._depth -= 1
            if not self._depth:
                self._inbox.put(None)

    def _serve(self) -> None:
        while (job := self._inbox.get()) is not None:
            job()


own_thread: ContextVar[OwnThread | None] = ContextVar("bough_own_thread", default=None)
"""What this code, and whatever it starts, is to run in. It may have ended."""
