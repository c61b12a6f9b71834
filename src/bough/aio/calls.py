"""How a call of the asynchronous manager is made: opening and closing, a thread for each call, the handlers of events.

The numbers are those of :mod:`bough.aio.manager`, which promises them; what the verbs take and give stands in
:mod:`bough.aio.verbs`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, ExitStack
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, get_args

from bough.aio.section import Section, way_for
from bough.aio.threads import READERS, WRITERS, Errand, Gate, see_through, start, to_the_end
from bough.errors import InvalidRequestError, StoreUnavailableError
from bough.events import Event, EventName, Events, Handler
from bough.manager import ConversationBranchManager
from bough.model import History, Message
from bough.stores import open_store
from bough.stores.base import Store

P = ParamSpec("P")
T = TypeVar("T")

_WRITING = 8
"""How many writing calls of one manager have a thread at a time: so many may wait in it for the session's lock."""


class Calls:
    """See :class:`bough.aio.manager.AsyncConversationBranchManager`."""

    def __init__(self, manager: ConversationBranchManager, close: Callable[[], None]) -> None:
        """For :meth:`open`."""
        self.session_id = manager.session_id
        self._sync = manager
        self._end = close
        self._loop = asyncio.get_running_loop()
        self._writers = Gate(_WRITING, WRITERS)
        self._events = Events()
        self._calls: set[asyncio.Task[Any]] = set()
        self._in_threads: set[asyncio.Future[None]] = set()
        self._is_closing = False
        for name in get_args(EventName):
            manager.on(name, partial(_note, name))

    @classmethod
    def open(
        cls, session_id: str | None = None, *, store: Store | str | os.PathLike[str] | None = None, create: bool = True
    ) -> Opening[Self]:
        """``manager = await open(…)``, to be closed, or ``async with open(…) as manager``, which closes it.

        Takes what ConversationBranchManager takes, and raises what it raises.
        """

        def connect() -> tuple[ConversationBranchManager, ExitStack]:
            with ExitStack() as stack:
                opened = store
                if opened is None or isinstance(opened, str | os.PathLike):
                    opened = open_store(opened)
                    stack.callback(opened.close)
                manager = ConversationBranchManager(session_id, store=_OffLoop.guard(opened), create=create)
                stack.callback(manager.close)
                return manager, stack.pop_all()

        async def opening() -> Self:
            wanted = _Wanted()

            def work() -> tuple[ConversationBranchManager, ExitStack]:
                wanted.check()
                return connect()

            errand = _start(WRITERS, work)

            async def settled() -> Self:
                manager, stack = await errand.settled()
                return cls(manager, stack.close)

            return await see_through(settled(), call_off=wanted.clear, give_back=lambda manager: start(manager._end))

        return Opening(opening)

    async def close(self) -> None:
        """Ends the work: new calls are refused, those under way are waited for, the handlers of their events too;
        closes the store if the manager opened it. Twice is harmless.

        In a handler it does not wait for handlers. Cancelled, it goes on. Sections of :meth:`lock` are not waited for.
        """
        self._check_loop()
        self._is_closing = True
        await see_through(self._close())

    async def _close(self) -> None:
        if _is_in_handler():  # which may be one of those that would be waited for
            await to_the_end(*self._in_threads)
        while not _is_in_handler() and (under_way := [call for call in self._calls if not call.done()]):
            await to_the_end(*under_way)  # their handlers may have called since
        errand = Errand(self._end)
        start(errand)
        await errand.settled()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def store(self) -> Store:
        """Where the session lives: the store itself, whose methods keep the event loop waiting.
        ``StoreUnavailableError`` once the manager is closed."""
        return cast("_OffLoop", self._sync.store).store

    def lock(self) -> AbstractAsyncContextManager[object]:
        """``async with manager.lock():`` holds the session: other writers wait until the section ends, readers never
        do.

        Calls that are made inside it, on any manager, by this task and those that it starts there, go through: one
        after another, in the one thread that the section has.
        """
        return Section(self._check_open, self._sync.lock)

    # -- events ----------------------------------------------------------------------------------------------------

    def on(self, event: EventName, handler: Handler) -> None:
        """Calls ``handler`` with a dict after each such event, on the event loop's thread; what it returns is awaited
        if it can be. ``InvalidRequestError`` for an unknown event."""
        self._events.add(event, handler, once=False)

    def once(self, event: EventName, handler: Handler) -> None:
        """Like :meth:`on`, for the next such event only."""
        self._events.add(event, handler, once=True)

    def off(self, event: EventName, handler: Handler) -> None:
        """Takes the handler back. Harmless where it was not registered."""
        self._events.remove(event, handler)

    # -- how a call is made ----------------------------------------------------------------------------------------

    async def _look(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For verbs that wait for no lock."""
        return await self._call(READERS, lambda: verb(*args, **kwargs))

    async def _write(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(self._writers, lambda: verb(*args, **kwargs))

    async def _call(self, gate: Gate, verb: Callable[[], T]) -> T:
        self._check_open()
        wanted = _Wanted()
        return await see_through(self._carry_out(gate, verb, wanted), self._calls, call_off=wanted.clear)

    async def _carry_out(self, gate: Gate, verb: Callable[[], T], wanted: _Wanted) -> T:
        _call.set(asyncio.current_task())
        events: list[Event] = []

        def work() -> T:
            wanted.check()
            _this_thread.events = events
            return verb()

        errand = _start(gate, work)
        self._in_threads.add(errand.future)
        is_cancelled = await to_the_end(errand.future)
        self._in_threads.remove(errand.future)
        if is_cancelled and (task := asyncio.current_task()) is not None:
            task.cancel()  # by the end of the program: it reaches the first handler that waits
        try:
            return errand.result()
        finally:
            await self._tell(events)

    async def _tell(self, events: list[Event]) -> None:
        """Events.send, for handlers that may wait."""
        errors: list[Exception] = []
        for event in events:
            for handler in self._events._take(event.name):
                try:
                    answer = handler(dict(event.payload))
                    if inspect.isawaitable(answer):
                        await answer
                except asyncio.CancelledError as error:
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise
                    failure = RuntimeError(f"the handler {handler!r} was cancelled")
                    failure.__cause__ = error
                    errors.append(failure)
                except Exception as error:  # noqa: BLE001  (collected, and raised below)
                    errors.append(error)
        if errors:
            raise ExceptionGroup("the change was made, but handlers of its events failed", errors)

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise InvalidRequestError("the manager belongs to another event loop", hint="open one in each event loop")

    def _check_open(self) -> None:
        self._check_loop()
        if self._is_closing and _call.get() not in self._calls:  # else it belongs to what is under way
            raise StoreUnavailableError("the manager is closed")


M = TypeVar("M", bound=Calls, covariant=True)


class Opening(Generic[M]):
    """What :meth:`Calls.open` gives: to be awaited, or for ``async with``."""

    def __init__(self, opening: Callable[[], Coroutine[Any, Any, M]]) -> None:
        self._opening = opening

    def __await__(self) -> Generator[Any, Any, M]:
        return self._opening().__await__()

    async def __aenter__(self) -> M:
        self._manager = await self._opening()
        return self._manager

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._manager.close()


class _OffLoop:
    """A store for branches that go to tasks: it refuses to read messages on an event loop's thread."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def guard(cls, store: Store) -> Store:
        return cast("Store", cls(store))

    def read(self, session_id: str, history: History) -> list[Message]:
        if asyncio._get_running_loop() is not None:
            raise InvalidRequestError(
                "reading a branch's messages from the store would keep the event loop waiting",
                hint="`await manager.get_messages(branch.id)`, or `await asyncio.to_thread(list, branch.messages)` for"
                " the messages that it had when it was looked up",
            )
        return self.store.read(session_id, history)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def __eq__(self, other: object) -> bool:
        return self.store == (other.store if isinstance(other, _OffLoop) else other)

    def __hash__(self) -> int:
        return hash(self.store)


# -- calls -------------------------------------------------------------------------------------------------------------


class _ThisThread(threading.local):
    events: list[Event]
    """What the call that runs in this thread has caused."""


_this_thread = _ThisThread()
_call: ContextVar[asyncio.Task[Any] | None] = ContextVar("bough_aio_call", default=None)
"""The call whose handlers are running."""


class _Wanted:
    """Whether the call is still wanted by the time it has a thread."""

    def __init__(self) -> None:
        self._is_wanted = True

    def clear(self) -> None:
        self._is_wanted = False

    def check(self) -> None:
        if not self._is_wanted:
            raise asyncio.CancelledError


def _start(gate: Gate, work: Callable[[], T]) -> Errand[T]:
    onward, context = way_for(gate)
    errand = Errand(work, context=context)
    onward(errand)
    return errand


def _note(name: EventName, payload: dict[str, Any]) -> None:
    _this_thread.events.append(Event(name, payload))


def _is_in_handler() -> bool:
    call = _call.get()
    return call is not None and not call.done()
