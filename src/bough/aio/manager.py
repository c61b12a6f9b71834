"""AsyncConversationBranchManager: the manager's verbs, awaited.

The verbs are those of :mod:`bough.manager`, done by a ConversationBranchManager in threads (:mod:`bough.aio.threads`).
What is decided here is only when a task waits, and who is told of what.

1. No method touches the store on the event loop's thread, nor do the branches that are handed out: reading their
   messages there is refused.
2. A call that has begun goes on to its end when its task is cancelled, and so do the handlers of its events. One that
   still waited for a thread is not done. Whoever cancels does not know which it was.
3. An error that nobody awaits any more goes to the exception handler of the event loop.
4. Handlers run on the event loop's thread, after the change is durable: those of one call in order, one at a time. The
   call ends after them and holds no thread meanwhile, so a handler may call the manager, and may close it.
5. ``close`` waits for the calls under way.
6. Who is inside ``lock()``, or holds a session's lock otherwise, gets a thread at once: those who wait for him never
   keep him waiting.

What it deliberately does not do: serve two event loops (each opens one of its own); keep the order of calls that are
not awaited.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, get_args

from bough import imports
from bough.aio.section import Section, way_for
from bough.aio.threads import READERS, WRITERS, Errand, Gate, see_through, start, to_the_end
from bough.branch import BranchTree, ConversationBranch, MergeResult, Messages, Undone
from bough.errors import InvalidRequestError, StoreUnavailableError
from bough.events import Event, EventName, Events, Handler
from bough.hits import SearchHits
from bough.manager import ConversationBranchManager
from bough.model import History, Message, Version
from bough.stores import open_store
from bough.stores.base import Store

P = ParamSpec("P")
T = TypeVar("T")

_WRITING = 8
"""How many writing calls of one manager have a thread at a time: so many may wait in it for the session's lock."""


class AsyncConversationBranchManager:
    """One session and its branches, for the tasks of one event loop. Made by :meth:`open`.

    Each method does what that of :class:`~bough.manager.ConversationBranchManager` does, takes what it takes and raises
    what it raises. What only looks at the manager itself is not awaited: ``session_id``, ``store``,
    ``get_current_branch_id``, ``on``, ``once``, ``off``. Nor is ``lock()``, which is for ``async with``.

    An iterable is gone through before the call first waits; what is in it must not change until the call is done.
    """

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

    # -- looking ---------------------------------------------------------------------------------------------------

    def get_current_branch_id(self) -> str:
        """The branch that messages are added to."""
        return self._sync.get_current_branch_id()

    async def get_current_branch(self) -> ConversationBranch:
        return await self._look(self._sync.get_current_branch)

    async def get_messages(
        self, branch_id: str | None = None, *, start: int = 0, stop: int | None = None
    ) -> list[Message]:
        return await self._look(self._sync.get_messages, branch_id, start=start, stop=stop)

    async def get_all_branches(self) -> list[ConversationBranch]:
        return await self._look(self._sync.get_all_branches)

    async def get_branch_tree(self) -> list[BranchTree]:
        return await self._look(self._sync.get_branch_tree)

    async def get_branch_history(self, branch_id: str) -> list[ConversationBranch]:
        return await self._look(self._sync.get_branch_history, branch_id)

    async def format_branches(self) -> str:
        return await self._look(self._sync.format_branches)

    async def format_branch_tree(self) -> str:
        return await self._look(self._sync.format_branch_tree)

    async def search(
        self,
        query: str,
        *,
        session: str | None = None,
        branch: str | None = None,
        everywhere: bool = False,
        limit: int | None = 20,
    ) -> SearchHits:
        return await self._look(
            self._sync.search, query, session=session, branch=branch, everywhere=everywhere, limit=limit
        )

    # -- messages --------------------------------------------------------------------------------------------------

    async def add_message(self, message: Mapping[str, Any]) -> Version:
        return await self._write(self._sync.add_message, message)

    async def add_messages(self, messages: Iterable[Mapping[str, Any]]) -> Version:
        return await self._write(self._sync.add_messages, _gone_through(messages))

    async def set_messages(self, messages: Iterable[Mapping[str, Any]], *, expected: Version | None = None) -> Version:
        return await self._write(self._sync.set_messages, _gone_through(messages), expected=expected)

    # -- branches --------------------------------------------------------------------------------------------------

    async def create_branch(
        self, branch_id: str, name: str, parent_id: str | None = None, parent_message_index: int | None = None
    ) -> ConversationBranch:
        return await self._write(self._sync.create_branch, branch_id, name, parent_id, parent_message_index)

    async def fork(self, name: str) -> ConversationBranch:
        return await self._write(self._sync.fork, name)

    async def fork_from_message(self, name: str, message_index: int) -> ConversationBranch:
        return await self._write(self._sync.fork_from_message, name, message_index)

    async def checkout(self, branch_id: str) -> ConversationBranch:
        return await self._write(self._sync.checkout, branch_id)

    async def merge(self, source_branch_id: str, strategy: str = "append") -> MergeResult:
        return await self._write(self._sync.merge, source_branch_id, strategy)

    async def delete_branch(self, branch_id: str) -> None:
        await self._write(self._sync.delete_branch, branch_id)

    async def rename_branch(self, branch_id: str, new_name: str) -> ConversationBranch:
        return await self._write(self._sync.rename_branch, branch_id, new_name)

    async def undo(self) -> Undone:
        return await self._write(self._sync.undo)

    async def import_branches(self, branches: Iterable[imports.IncomingBranch]) -> imports.ImportResult:
        return await self._write(self._sync.import_branches, _gone_through(branches))

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


for _name, _method in vars(AsyncConversationBranchManager).items():
    if inspect.iscoroutinefunction(_method) and not _method.__doc__:
        _method.__doc__ = getattr(ConversationBranchManager, _name, _method).__doc__


M = TypeVar("M", bound=AsyncConversationBranchManager, covariant=True)


class Opening(Generic[M]):
    """What :meth:`AsyncConversationBranchManager.open` gives: to be awaited, or for ``async with``."""

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


def _gone_through(given: Iterable[T]) -> Iterable[T]:
    """A list of what the program's own code yields, on the program's own thread. A branch's messages are read in the
    other thread instead."""
    return cast("Iterable[T]", given) if isinstance(given, Messages) else list(given)
