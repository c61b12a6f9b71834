"""bough.aio: the manager for tasks. Numbers are those of bough.aio.manager's docstring."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import re
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from bough import aio
from bough.aio import AsyncConversationBranchManager, calls, section, threads, verbs
from bough.errors import (
    BranchExistsError,
    BranchNotFoundError,
    InvalidMessageError,
    InvalidRequestError,
    MergeConflictError,
    SessionLockedError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from bough.imports import IncomingBranch, entry
from bough.manager import ConversationBranchManager
from bough.merge import Part, Sides, append, three_way
from bough.model import Append, Change, Commit, Message
from bough.stores import open_store
from bough.stores.base import Store

T = TypeVar("T")
WAIT = 20.0
"""Seconds after which something that should have come about has not."""
API = Path(__file__).parent.parent.parent / "docs" / "api.md"
SYNCHRONOUS = {"on", "once", "off", "get_current_branch_id", "lock", "operations"}
"""What only looks at the manager itself. ``lock()`` is awaited by ``async with``, ``operations()`` by ``async for``."""


def public(cls: type) -> dict[str, Any]:
    """What a class and those it is made of define, by name."""
    return {
        name: value
        for each in reversed(cls.__mro__[:-1])
        for name, value in vars(each).items()
        if not name.startswith("_")
    }


PUBLIC = public(ConversationBranchManager)
MINE = public(AsyncConversationBranchManager)


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs it, and fails if the event loop is told of an error that nobody awaited."""
    told: list[dict[str, Any]] = []

    async def bounded() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with asyncio.timeout(WAIT * 3):
            return await main()

    result = asyncio.run(bounded())
    assert told == []
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def opened(folder: Path | Store, session_id: str = "talk") -> calls.Opening[AsyncConversationBranchManager]:
    return AsyncConversationBranchManager.open(session_id, store=folder)


def numbers(folder: Path, branch_id: str = "main") -> list[int]:
    """What a fresh manager finds on the disk."""
    with ConversationBranchManager("talk", store=folder) as found:
        return [message["n"] for message in found.get_messages(branch_id)]


class Watched:
    """A store that notes the thread of every call, and stops commits at a gate."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.threads: set[threading.Thread] = set()
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self.fail: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.store, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self.threads.add(threading.current_thread())
            self.calls.append(name)
            return value(*args, **kwargs)

        return call

    def commit(self, session_id: str, change: Append | Change) -> Commit:
        self.threads.add(threading.current_thread())
        self.calls.append("commit")
        self.arrived.release()
        assert self.gate.wait(WAIT)
        if self.fail is not None:
            raise self.fail
        return self.store.commit(session_id, change)

    async def come(self, count: int = 1) -> None:
        """Until so many more commits stand at the gate."""
        for _ in range(count):
            assert await asyncio.to_thread(self.arrived.acquire, timeout=WAIT)


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[AsyncConversationBranchManager, Watched]]:
    store = Watched(open_store(folder))
    async with opened(cast("Store", store)) as talk:
        store.arrived.acquire()  # of the init
        yield talk, store
        store.gate.set()
    store.store.close()


# -- the same names ----------------------------------------------------------------------------------------------------


def test_the_public_names() -> None:
    assert aio.__all__ == ["AsyncConversationBranchManager", "LockInfo", "SessionLock", "with_session_lock"]
    assert all(hasattr(aio, name) for name in aio.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there_with_the_same_signature_and_documented(name: str) -> None:
    mine = MINE.get(name)
    assert mine is not None, f"add {name} to AsyncConversationBranchManager"
    assert mine.__doc__
    if isinstance(PUBLIC[name], property):
        assert isinstance(mine, property)
        assert mine.fget is not None
        assert returns(mine.fget) == returns(PUBLIC[name].fget)
    else:
        assert inspect.iscoroutinefunction(mine) == (name not in SYNCHRONOUS)
        theirs = inspect.signature(PUBLIC[name], eval_str=True)
        ours = inspect.signature(mine, eval_str=True)
        assert parameters(ours) == parameters(theirs)
        if name in ("lock", "operations"):
            assert str(ours).replace("Async", "") == str(theirs)
        else:
            assert ours.return_annotation == theirs.return_annotation
    assert re.search(rf"`{name}\b", chapter("Methods") + chapter("asyncio")), f"add {name} to docs/api.md"


def parameters(signature: inspect.Signature) -> list[inspect.Parameter]:
    """Those of a signature; a function that does nothing, by default, is as good as any other."""
    found = signature.parameters.values()
    return [each.replace(default=callable) if inspect.isfunction(each.default) else each for each in found]


def chapter(title: str) -> str:
    return API.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def returns(function: Any) -> object:
    return inspect.signature(function, eval_str=True).return_annotation


def test_there_is_nothing_else() -> None:
    assert MINE.keys() - PUBLIC.keys() == {"open"}
    theirs = inspect.signature(ConversationBranchManager, eval_str=True).parameters
    assert inspect.signature(AsyncConversationBranchManager.open, eval_str=True).parameters == theirs
    for name in (*SYNCHRONOUS, "session_id", "store", "open", *aio.__all__):
        assert re.search(rf"[`.]{name}\b", chapter("asyncio")), f"add {name} to docs/api.md"


# -- what it does ------------------------------------------------------------------------------------------------------


async def every_verb(talk: AsyncConversationBranchManager) -> set[str]:
    """Calls each coroutine method but ``close`` once at least; gives their names."""
    one: list[Message] = [{"n": 1}]
    seen = await talk.add_message({"n": 0})
    assert await talk.add_messages(message for message in one) != seen
    version = await talk.set_messages([{"n": 0}, {"n": 2}])
    await talk.set_messages([{"n": 0}, {"n": 3}], expected=version)
    made = await talk.create_branch("side", "Side", "main", 1)
    assert (made.id, len(made.messages)) == ("side", 1)
    assert (await talk.fork("Try")).id == talk.get_current_branch_id() == "try"
    assert (await talk.fork_from_message("Less", 1)).parent_message_index == 1
    assert (await talk.checkout("side")).id == (await talk.get_current_branch()).id
    assert (await talk.merge("main")).added == 1
    assert (await talk.rename_branch("side", "Other")).name == "Other"
    assert (await talk.undo()).kind == "rename"
    await talk.delete_branch("less")
    incoming = [IncomingBranch(id="in", name="In", entries=[entry({"n": 9})])]
    assert (await talk.import_branches(branch for branch in incoming)).messages == 1
    assert {branch.id for branch in await talk.get_all_branches()} == {"main", "side", "try", "in"}
    assert {tree.branch.id for tree in await talk.get_branch_tree()} == {"main", "in"}
    assert [branch.id for branch in await talk.get_branch_history("try")] == ["main", "try"]
    assert await talk.get_messages() == [{"n": 0}, {"n": 3}]
    assert await talk.get_messages("main", start=-1) == [{"n": 3}]
    assert "side" in await talk.format_branches()
    assert "try" in await talk.format_branch_tree()
    assert await talk.search("nothing such") == []
    await every_new_verb(talk)
    called = {*every_verb.__code__.co_names, *every_new_verb.__code__.co_names}
    return called & set(PUBLIC) - SYNCHRONOUS


async def every_new_verb(talk: AsyncConversationBranchManager) -> None:
    await talk.checkout("main")
    await talk.add_messages([{"n": 5}, {"n": 6}])
    assert (await talk.fork_from("From", "main:1")).record.length == 1
    await talk.checkout("main")
    await talk.edit_message(1, {"n": 7})
    await talk.remove_messages(2)
    assert await talk.read_messages((await talk.resolve("main~1")).history) == [{"n": 0}, {"n": 7}]
    before, after = await talk.resolve_range("from..")
    assert (before.branch_id, after.branch_id) == ("from", "main")
    assert await talk.twins(await talk.diff("from")) == ()
    assert await talk.check() == []
    assert (await talk.origin("main:2")).written_on == "main"
    assert (await talk.stats()).messages > 3
    await talk.reset(2)
    assert [operation.kind async for operation in talk.operations("main")][:3] == ["reset", "remove", "edit"]
    assert (await talk.undo()).kind == (await talk.redo()).kind == "reset"
    assert (await talk.repair()).problems == []
    assert await talk.revert(await anext(number async for number in numbers_of(talk, "edit"))) is not None
    assert (await talk.cherry_pick("from..try", "side:-1")).length >= 2
    assert (await talk.merge("from", "three-way", preview=True)).operation is None
    await talk.delete_branch("in")
    assert list(await talk.deleted_branches()) == ["in", "less"]
    assert (await talk.restore_branch("in", "back")).id == "back"
    assert (await talk.set_branch_metadata({"x": 1})).metadata == {"x": 1}
    assert (await talk.tag("v1")).branch_id == "main"
    assert list(await talk.tags()) == ["v1"]
    await talk.untag("v1")
    assert await talk.set_session_metadata({"title": "T"}) == await talk.session_metadata() == {"title": "T"}
    assert (await talk.fsck()).findings == ()
    assert (await talk.gc(keep=timedelta(0), dry_run=True)).operation is None
    assert (await talk.purge("main:1", dry_run=True)).messages == 1


async def numbers_of(talk: AsyncConversationBranchManager, kind: str) -> AsyncIterator[int]:
    async for operation in talk.operations():
        if operation.kind == kind:
            yield operation.number


def test_what_a_verb_is_given_to_call_runs_in_its_thread(folder: Path) -> None:
    """Invariant 7."""

    async def main() -> None:
        threads: list[str] = []

        def note(*_: object) -> Any:
            threads.append(threading.current_thread().name)
            assert asyncio._get_running_loop() is None
            return "ours"

        def strategy(sides: Sides) -> list[Part]:
            note()
            assert sides.read(sides.source.history)
            return [*append(sides), {"n": 9}]

        async with opened(folder) as talk:
            await talk.add_messages([{"n": 0}, {"n": 1}])
            await talk.fork("side")
            await talk.edit_message(0, {"n": 2})
            await talk.checkout("main")
            await talk.edit_message(0, {"n": 3})
            with pytest.raises(MergeConflictError):
                await talk.merge("side", "three-way")
            await talk.merge("side", three_way(note))
            assert await talk.get_messages() == [{"n": 3}, {"n": 1}]
            await talk.merge("side", strategy)
            assert (await talk.get_messages())[-1] == {"n": 9}
            await talk.stats(note)
        assert len(threads) > 2
        assert set(threads) == {"bough-aio"}

    run(main)


@pytest.mark.parametrize("kind", ["memory", "json", "sqlite"])
def test_operations_are_read_as_far_as_they_are_asked_for(tmp_path: Path, kind: str) -> None:
    """Invariant 7. In blocks, each in a thread; what is done meanwhile may come in between."""

    async def main() -> None:
        store = Watched(open_store("memory:" if kind == "memory" else f"{kind}:{tmp_path / 'store'}"))
        many = verbs._BLOCK * 2 + 3
        async with opened(cast("Store", store)) as talk:
            for number in range(many):
                await talk.rename_branch("main", f"Name {number}")
            seen: list[int] = []
            async for operation in talk.operations():
                if not seen:
                    await talk.rename_branch("main", "Another")
                seen.append(operation.number)
            assert seen == list(range(many + 1, 0, -1))
            async for operation in talk.operations("main"):
                assert operation.number == many + 2
                break
            assert [operation async for operation in talk.operations("none")] == []
            log = talk.operations()
            await anext(log)
        with pytest.raises(StoreUnavailableError):
            async for _ in talk.operations():
                pass
        assert threading.current_thread() not in store.threads
        store.store.close()

    run(main)


def test_every_verb_and_none_touches_the_store_on_the_loops_thread(folder: Path) -> None:
    """Invariant 1, and the loop's default executor is left alone."""

    async def main() -> None:
        store = Watched(open_store(folder))
        with files_opened_here(folder) as files:
            talk = await opened(cast("Store", store))
            called = await every_verb(talk)
            assert called == {name for name in PUBLIC if inspect.iscoroutinefunction(getattr(talk, name))} - {"close"}
            async with talk.lock():
                await talk.add_message({"n": 4})
            assert talk.store is cast("Store", store)
            assert talk.session_id == "talk"
            await talk.close()
            async with opened(folder) as own:
                await own.get_messages()
        assert {"commit", "load", "read", "operations", "search", "lock"} <= set(store.calls)
        assert threading.current_thread() not in store.threads
        assert {thread.name for thread in store.threads} == {"bough-aio"}
        assert files == []
        store.store.close()

    run(main)


_here: list[tuple[threading.Thread, Path, list[object]]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" or event.startswith(("os.", "fcntl.")):
        for thread, folder, found in _here:
            if threading.current_thread() is thread and str(folder) in str(args):
                found.append((event, args))


sys.addaudithook(_audit)


class files_opened_here:  # noqa: N801 - it reads as a function
    """Whatever this thread does to files below a folder, as the interpreter's audit hooks tell of it."""

    def __init__(self, folder: Path) -> None:
        self.entry = (threading.current_thread(), folder, list[object]())

    def __enter__(self) -> list[object]:
        _here.append(self.entry)
        return self.entry[2]

    def __exit__(self, *_: object) -> None:
        _here.remove(self.entry)


def test_the_audit_sees_what_the_sync_manager_does(folder: Path) -> None:
    with files_opened_here(folder) as files, ConversationBranchManager("talk", store=folder):
        assert files


def test_messages_of_a_branch_are_not_read_on_the_loops_thread(folder: Path) -> None:
    """Invariant 1."""

    async def main() -> None:
        async with watched(folder) as (talk, store):
            await talk.add_messages([{"n": 0}, {"n": 1}])
            branch = await talk.get_current_branch()
            [tree] = await talk.get_branch_tree()
            [line] = await talk.get_branch_history("main")
            [listed] = await talk.get_all_branches()
            before = len(store.calls)
            for each in (branch, tree.branch, line, listed, await talk.fork("New"), await talk.checkout("main")):
                assert len(each.messages) == 2
                for touch in (list, lambda found: found[0], lambda found: found[:1], lambda found: found == [1, 2]):
                    with pytest.raises(InvalidRequestError, match="event loop") as caught:
                        touch(each.messages)
                    assert "get_messages" in caught.value.hint
            assert branch == listed
            assert "read" not in store.calls[before:]
            await talk.add_message({"n": 2})
            assert await asyncio.to_thread(list, branch.messages) == [{"n": 0}, {"n": 1}]
            assert await talk.get_messages(branch.id) == [{"n": 0}, {"n": 1}, {"n": 2}]
            # Given back they are read in the thread.
            await talk.set_messages(branch.messages)
            await talk.add_messages(branch.messages)
            assert await talk.get_messages() == [{"n": 0}, {"n": 1}] * 2
            # A manager that is not for tasks, on the same store: the same branch.
            with_sync = ConversationBranchManager("talk", store=talk.store).get_current_branch()
            assert with_sync == await talk.get_current_branch()

    run(main)


def test_an_iterable_is_gone_through_on_the_loops_thread(folder: Path) -> None:
    async def main() -> None:
        def generate() -> Iterator[Message]:
            asyncio.get_running_loop()
            yield {"n": 0}

        async with opened(folder) as talk:
            await talk.add_messages(generate())
            assert await talk.get_messages() == [{"n": 0}]

    run(main)


def test_errors_are_those_of_the_sync_manager(folder: Path) -> None:
    async def main() -> None:
        async with opened(folder) as talk:
            for call, error in (
                (talk.add_message({"n": object()}), InvalidMessageError),
                (talk.checkout("none"), BranchNotFoundError),
                (talk.create_branch("main", "Again"), BranchExistsError),
                (talk.merge("main"), InvalidRequestError),
            ):
                with pytest.raises(error):
                    await cast("Awaitable[object]", call)
            with pytest.raises(InvalidRequestError):
                talk.on("branch:create", print)  # type: ignore[arg-type]

    run(main)


# -- opening and closing -----------------------------------------------------------------------------------------------


def test_opening_both_ways(folder: Path) -> None:
    async def main() -> None:
        talk = await AsyncConversationBranchManager.open("talk", store=folder)
        async with talk as same:
            assert same is talk
            assert talk.get_current_branch_id() == "main"
            store = talk.store
        with pytest.raises(StoreUnavailableError):
            store.sessions()  # its own, so it is closed
        given = open_store(folder)
        async with AsyncConversationBranchManager.open(store=given) as second:
            assert second.session_id == "default"
        assert given.sessions() == ["default", "talk"]
        given.close()
        with pytest.raises(SessionNotFoundError):
            await AsyncConversationBranchManager.open("none", store=folder, create=False)
        with pytest.raises(SessionNotFoundError):
            async with AsyncConversationBranchManager.open("none", store=folder, create=False):
                pass

        class Mine(AsyncConversationBranchManager):
            pass

        async with Mine.open(store=folder) as mine:
            assert type(mine) is Mine

    run(main)


def test_a_closed_manager_refuses_and_closing_twice_is_harmless(folder: Path) -> None:
    async def main() -> None:
        talk = await opened(folder)
        await asyncio.gather(talk.close(), talk.close())
        await talk.close()
        for call in (talk.get_messages(), talk.add_message({"n": 0})):
            with pytest.raises(StoreUnavailableError, match="the manager is closed"):
                await cast("Awaitable[object]", call)
        with pytest.raises(StoreUnavailableError):
            async with talk.lock():
                pass
        with pytest.raises(StoreUnavailableError):
            _ = talk.store

    run(main)


def test_close_waits_for_what_is_under_way(folder: Path) -> None:
    """Invariant 5, also for calls whose tasks were cancelled, and when it is cancelled itself."""

    async def main() -> None:
        store = Watched(open_store(folder))
        talk = await opened(cast("Store", store))
        await store.come()
        store.gate.clear()
        adding = [asyncio.create_task(talk.add_message({"n": n})) for n in range(3)]
        await store.come(3)
        adding[0].cancel()
        closing = asyncio.create_task(talk.close())
        await asyncio.wait(adding[:1])
        assert adding[0].cancelled()
        with pytest.raises(StoreUnavailableError):
            await talk.add_message({"n": 9})
        again = asyncio.create_task(talk.close())
        await asyncio.sleep(0)
        again.cancel()
        await asyncio.wait([again])
        assert again.cancelled()
        assert not closing.done()
        assert not any(task.done() for task in adding[1:])
        assert talk.store is cast("Store", store), "not closed yet"
        store.gate.set()
        await closing
        assert all(task.done() for task in adding)
        await asyncio.gather(*adding[1:])
        assert sorted(numbers(folder)) == [0, 1, 2]
        store.store.close()

    run(main)


def test_close_in_the_middle_of_much_work(folder: Path) -> None:
    async def main() -> None:
        talk = await opened(folder)
        acknowledged: list[int] = []
        refused = 0

        async def add(number: int) -> None:
            nonlocal refused
            try:
                await talk.add_message({"n": number})
                acknowledged.append(number)
            except StoreUnavailableError:
                refused += 1

        async def work(start: int) -> None:
            for number in range(start, start + 10):
                await add(number)

        tasks = [asyncio.create_task(work(start)) for start in range(0, 200, 10)]
        while len(acknowledged) < 30:
            await asyncio.sleep(0)
        await talk.close()
        await asyncio.gather(*tasks)
        assert refused
        assert sorted(numbers(folder)) == sorted(acknowledged)

    run(main)


def test_a_cancelled_open_leaves_nothing_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Owned(Watched):
        def close(self) -> None:
            self.store.close()
            closed.release()

    closed = threading.Semaphore(0)
    store = Owned(open_store(folder))
    monkeypatch.setattr(calls, "open_store", lambda _: store)

    async def main() -> None:
        async def enter() -> None:
            async with opened(folder):
                raise AssertionError("it was cancelled before")

        store.gate.clear()
        entering = asyncio.create_task(enter())
        await store.come()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        store.gate.set()
        assert await asyncio.to_thread(closed.acquire, timeout=WAIT)

    run(main)


def test_it_belongs_to_one_event_loop(folder: Path) -> None:
    async def main() -> None:
        async with opened(folder) as talk:

            async def elsewhere() -> None:
                for call in (talk.get_messages(), talk.close()):
                    with pytest.raises(InvalidRequestError, match="another event loop"):
                        await cast("Awaitable[object]", call)

            await asyncio.to_thread(asyncio.run, elsewhere())

    run(main)


# -- many at once ------------------------------------------------------------------------------------------------------


def test_many_tasks_lose_nothing(folder: Path) -> None:
    async def main() -> None:
        async with opened(folder) as talk:

            async def work(task: int) -> None:
                for number in range(20):
                    await talk.add_message({"n": 100 * task + number})

            before = threading.active_count()
            await asyncio.gather(*(work(task) for task in range(50)))
            assert threading.active_count() <= before + calls._WRITING + 2
        found = numbers(folder)
        assert sorted(found) == [100 * task + number for task in range(50) for number in range(20)]
        for task in range(50):
            assert [number for number in found if number // 100 == task] == sorted(
                number for number in found if number // 100 == task
            ), "what a task awaited is in order"

    run(main)


def test_several_loops_and_threads_on_one_store(folder: Path) -> None:
    store = open_store(folder)

    async def main(base: int) -> None:
        async with opened(store) as talk:

            async def work(start: int) -> None:
                for number in range(start, start + 10):
                    await talk.add_message({"n": number})

            await asyncio.gather(*(work(base + start) for start in range(0, 50, 10)))

    def sync(base: int) -> None:
        with ConversationBranchManager("talk", store=store) as talk:
            for number in range(base, base + 50):
                talk.add_message({"n": number})

    workers = [threading.Thread(target=run, args=(lambda base=base: main(base),)) for base in (0, 50, 100)]
    workers += [threading.Thread(target=sync, args=(base,)) for base in (150, 200)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(WAIT)
        assert not worker.is_alive()
    store.close()
    assert sorted(numbers(folder)) == list(range(250))


def test_a_reader_does_not_wait_for_writers(folder: Path) -> None:
    async def main() -> None:
        async with watched(folder) as (talk, store):
            store.gate.clear()
            adding = [asyncio.create_task(talk.add_message({"n": n})) for n in range(100)]
            await store.come(calls._WRITING)
            assert not store.arrived.acquire(blocking=False), "no more of them have a thread"
            assert await talk.get_messages() == []
            store.gate.set()
            await asyncio.gather(*adding)
            assert len(await talk.get_messages()) == 100

    run(main)


def test_threads_are_used_again_and_end_when_idle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_IDLE", 0.05)

    async def main() -> None:
        async with watched(folder) as (talk, store):
            for number in range(30):
                await talk.add_message({"n": number})
            assert len(store.threads) <= 3
            for thread in store.threads:
                await asyncio.to_thread(thread.join, WAIT)
                assert not thread.is_alive()

    run(main)


# -- cancellation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_cancelled_at_random_nothing_is_torn_and_what_was_acknowledged_is_there(folder: Path, seed: int) -> None:
    """Invariant 2."""
    chance = random.Random(seed)

    async def main() -> None:
        acknowledged: set[tuple[int, int]] = set()
        cancelled = 0
        async with opened(folder) as talk:

            async def add(number: int) -> None:
                await talk.add_messages([{"n": number, "part": part} for part in range(3)])
                acknowledged.update((number, part) for part in range(3))

            for start in range(0, 200, 20):
                tasks = [asyncio.create_task(add(number)) for number in range(start, start + 20)]
                order = chance.sample(tasks, 10)
                for task in order:
                    for _ in range(chance.randrange(30)):
                        await asyncio.sleep(0)
                    task.cancel()
                await asyncio.wait(tasks)
                cancelled += sum(task.cancelled() for task in tasks)
                assert not any(task.exception() for task in tasks if not task.cancelled())
        assert cancelled
        assert acknowledged
        with ConversationBranchManager("talk", store=folder) as found:
            present = [(message["n"], message["part"]) for message in found.get_messages()]
        assert len(set(present)) == len(present)
        assert acknowledged <= set(present)
        assert [part for _, part in present] == [0, 1, 2] * (len(present) // 3), "all three or none"
        assert all(present[at][0] == present[at + 2][0] for at in range(0, len(present), 3))

    run(main)


def test_what_has_begun_goes_on_and_what_has_not_is_not_done(folder: Path) -> None:
    """Invariant 2."""

    async def main() -> None:
        heard: list[str] = []
        async with watched(folder) as (talk, store):
            talk.on("branch:created", lambda payload: heard.append(payload["id"]))
            store.gate.clear()
            begun = [asyncio.create_task(talk.create_branch(str(n), "Name")) for n in range(calls._WRITING)]
            await store.come(calls._WRITING)
            waiting = [asyncio.create_task(talk.create_branch(f"w{n}", "Name")) for n in range(10)]
            await asyncio.sleep(0)
            for task in begun + waiting:
                task.cancel()
            await asyncio.wait(begun + waiting)
            assert all(task.cancelled() for task in begun + waiting)
            store.gate.set()
            await talk.close()
            assert sorted(heard) == [str(n) for n in range(calls._WRITING)]
        with ConversationBranchManager("talk", store=folder) as found:
            assert {branch.id for branch in found.get_all_branches()} == {"main", *heard}

    run(main)


def test_an_error_that_nobody_awaits_goes_to_the_event_loop(folder: Path) -> None:
    """Invariant 3."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told: list[dict[str, Any]] = []
        usual = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: told.append(context))
        async with watched(folder) as (talk, store):
            store.gate.clear()
            adding = asyncio.create_task(talk.add_message({"n": 0}))
            await store.come()
            adding.cancel()
            await asyncio.wait([adding])
            assert adding.cancelled()
            store.fail = StoreUnavailableError("a full disk")
            store.gate.set()
            await talk.close()
            await asyncio.sleep(0)
            assert [context["exception"] for context in told] == [store.fail]
        loop.set_exception_handler(usual)

    run(main)


def test_an_error_whose_loop_is_closed_goes_to_the_threads_hook(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    store = Watched(open_store(folder))
    told: list[BaseException | None] = []
    done = threading.Event()

    def hook(args: threading.ExceptHookArgs) -> None:
        told.append(args.exc_value)
        done.set()

    monkeypatch.setattr(threading, "excepthook", hook)

    async def main() -> list[asyncio.Task[Any]]:
        talk = await opened(cast("Store", store))
        await store.come()
        store.gate.clear()
        adding = asyncio.create_task(talk.add_message({"n": 0}))
        await store.come()
        return [adding, *talk._calls]

    tasks = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    store.fail = StoreUnavailableError("a full disk")
    store.gate.set()
    assert done.wait(WAIT)
    assert told == [store.fail]
    store.store.close()


def test_the_end_of_the_program_waits_for_what_has_begun(folder: Path) -> None:
    """asyncio.run cancels every task there is, those that carry out the calls too."""
    store = Watched(open_store(folder))
    waited: list[bool] = []

    async def main() -> asyncio.Task[None]:
        talk = await opened(cast("Store", store))
        await store.come()
        store.gate.clear()
        adding = asyncio.create_task(talk.add_message({"n": 0}))
        await store.come()

        async def open_the_gate() -> None:
            calls = list(talk._calls)
            try:
                await adding
            finally:
                for _ in range(20):
                    await asyncio.sleep(0)
                waited.extend(not call.done() for call in calls)
                store.gate.set()

        task = asyncio.create_task(open_the_gate())
        await asyncio.sleep(0)
        return task

    asyncio.run(main())
    assert waited == [True]
    assert numbers(folder) == [0]
    store.store.close()


# -- events ------------------------------------------------------------------------------------------------------------


def test_handlers_run_on_the_loops_thread_in_order_after_the_change(folder: Path) -> None:
    """Invariant 4."""

    async def main() -> None:
        here = threading.current_thread()
        heard: list[tuple[str, object]] = []
        async with opened(folder) as talk:

            def plain(payload: dict[str, Any]) -> None:
                assert threading.current_thread() is here
                asyncio.get_running_loop()
                assert payload["id"] in json.loads((folder / "talk" / f"{payload['id']}.json").read_text())["id"]
                heard.append(("plain", payload["id"]))

            async def awaited(payload: dict[str, Any]) -> None:
                assert threading.current_thread() is here
                heard.append(("begun", payload["id"]))
                assert payload["id"] in {branch.id for branch in await talk.get_all_branches()}
                heard.append(("awaited", payload["id"]))

            talk.on("branch:created", plain)
            talk.on("branch:created", awaited)
            talk.once("branch:checkout", lambda payload: heard.append(("checkout", payload["to"])))
            talk.on("branch:forked", lambda payload: heard.append(("forked", payload["to"])))
            await talk.fork("New")
            assert heard == [
                ("plain", "new"),
                ("begun", "new"),
                ("awaited", "new"),
                ("checkout", "new"),
                ("forked", "new"),
            ]
            talk.off("branch:created", plain)
            talk.off("branch:created", awaited)
            heard.clear()
            await talk.fork("Newer")
            assert heard == [("forked", "newer")]

    run(main)


def test_failing_handlers_stop_nothing_and_are_reported_together(folder: Path) -> None:
    async def main() -> None:
        first, second = RuntimeError("first"), RuntimeError("second")
        heard: list[str] = []

        async def fail(_: dict[str, Any]) -> None:
            await asyncio.sleep(0)
            raise first

        def fail_too(payload: dict[str, Any]) -> None:
            payload.clear()
            raise second

        async with opened(folder) as talk:
            talk.on("branch:created", fail)
            talk.on("branch:created", fail_too)
            talk.on("branch:created", lambda payload: heard.append(payload["id"]))
            with pytest.raises(ExceptionGroup) as caught:
                await talk.create_branch("new", "New")
            assert caught.value.exceptions == (first, second)
            assert heard == ["new"]
            assert (await talk.checkout("new")).id == "new"

    run(main)


def test_a_handler_that_is_cancelled_by_itself_cancels_nothing_else(folder: Path) -> None:
    async def main() -> None:
        heard: list[str] = []

        def give_up(_: dict[str, Any]) -> None:
            raise asyncio.CancelledError

        async with opened(folder) as talk:
            talk.on("branch:created", give_up)
            talk.on("branch:created", lambda payload: heard.append(payload["id"]))
            with pytest.raises(ExceptionGroup) as caught:
                await talk.create_branch("new", "New")
            [error] = caught.value.exceptions
            assert isinstance(error.__cause__, asyncio.CancelledError)
            assert heard == ["new"]

    run(main)


def test_handlers_of_a_cancelled_call_are_told_and_their_errors_are_the_loops(folder: Path) -> None:
    """Invariants 2 and 3: cancelled while one of them waits."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        waits, go_on = asyncio.Event(), asyncio.Event()
        heard: list[str] = []

        async def slow(payload: dict[str, Any]) -> None:
            waits.set()
            await go_on.wait()
            heard.append("slow")
            raise KeyError("mine")

        async with opened(folder) as talk:
            talk.on("branch:created", slow)
            talk.on("branch:created", lambda _: heard.append("next"))
            task = asyncio.create_task(talk.create_branch("new", "New"))
            await waits.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            closing = asyncio.create_task(talk.close())
            await asyncio.sleep(0)
            go_on.set()
            await closing
            assert heard == ["slow", "next"]
            await asyncio.sleep(0)
            [context] = told
            assert [type(error) for error in context["exception"].exceptions] == [KeyError]

    asyncio.run(main())


def test_a_handler_may_use_the_manager_and_close_it(folder: Path) -> None:
    """Invariant 4. More of them at a time than there are threads for a manager."""

    async def main() -> None:
        many = 3 * calls._WRITING
        async with opened(folder) as talk:

            async def use(payload: dict[str, Any]) -> None:
                await talk.add_message({"n": int(payload["id"])})

            talk.on("branch:created", use)
            await asyncio.gather(*(talk.create_branch(str(n), "Name", "main", 0) for n in range(many)))
            assert sorted(numbers(folder)) == list(range(many))

        async with opened(folder) as talk:

            async def close(_: dict[str, Any]) -> None:
                await talk.close()

            async def use_late(payload: dict[str, Any]) -> None:
                with pytest.raises(StoreUnavailableError):
                    await talk.get_messages()

            talk.on("branch:renamed", close)
            talk.on("branch:renamed", close)
            talk.on("branch:renamed", use_late)
            # Whichever is the first ends it for the other; neither waits for the other's handlers.
            done = await asyncio.gather(
                talk.rename_branch("1", "One"), talk.rename_branch("2", "Two"), return_exceptions=True
            )
            assert not all(isinstance(each, BaseException) for each in done)

    run(main)


def test_a_handler_of_a_call_under_way_may_still_call_while_the_manager_closes(folder: Path) -> None:
    async def main() -> None:
        waits, go_on = asyncio.Event(), asyncio.Event()
        talk = await opened(folder)

        async def use(_: dict[str, Any]) -> None:
            waits.set()
            await go_on.wait()
            await talk.add_message({"n": 7})

        talk.on("branch:created", use)
        making = asyncio.create_task(talk.create_branch("new", "New"))
        await waits.wait()
        closing = asyncio.create_task(talk.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailableError):
            await talk.get_messages()
        go_on.set()
        await making
        await closing
        assert numbers(folder) == [7]

    run(main)


def test_a_close_that_begins_as_a_call_ends(folder: Path) -> None:
    """The call is done, and the event loop has not told of it yet."""

    async def main() -> None:
        closing: list[asyncio.Task[None]] = []

        async def close(_: dict[str, Any]) -> None:
            closing.append(asyncio.create_task(talk.close()))
            await asyncio.sleep(0)

        talk = await opened(folder)
        talk.on("branch:created", close)
        await talk.create_branch("new", "New")
        await closing[0]

    thread = threading.Thread(target=run, args=(main,), daemon=True)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()


# -- locks -------------------------------------------------------------------------------------------------------------


def test_inside_a_session_lock(folder: Path) -> None:
    """Invariant 6: more writers than there are threads wait for the lock, and its holder's own calls come through."""

    async def main() -> None:
        async with opened(folder) as talk, opened(folder) as other:
            lock = aio.SessionLock(folder / "talk" / "session")
            seen: list[int] = []

            async def add(number: int) -> None:
                await talk.add_message({"n": number})
                seen.append(number)

            release = asyncio.Event()
            waiting = asyncio.gather(*(after(release, add, number) for number in range(100, 100 + 3 * calls._WRITING)))
            async with asyncio.timeout(8), lock:  # less than a store waits for a lock
                release.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await asyncio.to_thread(lambda: None)
                for number in range(5):
                    await add(number)
                await asyncio.gather(*(add(number) for number in range(5, 10)))
                await other.fork("Nested")
                async with talk.lock():
                    await add(10)
                assert await lock.check()
                assert sorted(seen) == list(range(11))
            await waiting
            assert len(numbers(folder)) == 11 + 3 * calls._WRITING

    run(main)


async def after(event: asyncio.Event, work: Callable[[int], Awaitable[None]], number: int) -> None:
    await event.wait()
    await work(number)


@pytest.mark.parametrize("kind", ["json", "memory"])
def test_a_section_keeps_others_out_and_lets_in_what_belongs_to_it(folder: Path, kind: str) -> None:
    async def main() -> None:
        store = open_store(folder if kind == "json" else "memory:")
        async with opened(store) as talk, opened(store) as other:
            order: list[str] = []
            release = asyncio.Event()

            async def outside(name: str) -> None:
                await release.wait()
                await talk.add_message({"by": name})
                order.append(name)

            tasks = [asyncio.create_task(outside(f"outside {n}")) for n in range(3 * calls._WRITING)]
            async with asyncio.timeout(8), talk.lock():
                release.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await talk.add_message({"by": "task"})
                await other.add_message({"by": "another manager"})
                await asyncio.gather(*(talk.add_message({"by": "child"}) for _ in range(3)))
                async with other.lock():
                    await talk.add_message({"by": "inner"})
                with pytest.raises(BranchNotFoundError):
                    await talk.checkout("none")
                assert len(await talk.get_messages()) == 6
                order.append("end")
            await asyncio.gather(*tasks)
            assert order[0] == "end"
            assert len(await talk.get_messages()) == 6 + len(tasks)
            # What outlives the section finds its way like others.
            late = asyncio.Event()

            async def add_late() -> None:
                await late.wait()
                await talk.add_message({"by": "late"})

            async with talk.lock():
                outlive = [asyncio.create_task(add_late()) for _ in range(10)]
            late.set()
            await asyncio.gather(*outlive)
            assert (await talk.get_messages(start=-10)) == [{"by": "late"}] * 10
            with pytest.raises(KeyError):
                async with talk.lock():
                    raise KeyError("mine")
            again = talk.lock()
            async with again:
                pass
            with pytest.raises(InvalidRequestError):
                async with again:
                    pass
        store.close()

    run(main)


def test_a_cancelled_wait_for_a_section_lets_go_of_what_comes(folder: Path) -> None:
    async def main() -> None:
        async with watched(folder) as (other, store), opened(folder) as talk:

            async def enter(release: asyncio.Event) -> None:
                await release.wait()
                async with other.lock():
                    raise AssertionError("it was cancelled before")

            for step in range(20):
                store.calls.clear()
                release = asyncio.Event()
                waiting = asyncio.create_task(enter(release))
                async with talk.lock():
                    release.set()
                    while step % 2 and "lock" not in store.calls:  # else it may be cancelled before it has begun
                        await asyncio.sleep(0.001)
                    for _ in range(step):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    with suppress(asyncio.CancelledError):
                        await waiting
                async with asyncio.timeout(8):
                    await talk.add_message({"n": step})
                    await other.add_message({"n": step})

    run(main)


def test_a_section_where_the_session_is_locked(folder: Path) -> None:
    async def main() -> None:
        store = open_store(folder, lock_timeout=0.05)
        async with opened(store) as talk:
            lock = aio.SessionLock(folder / "talk" / "session")
            locked, done = asyncio.Event(), asyncio.Event()

            async def hold() -> None:
                async with lock:
                    locked.set()
                    await done.wait()

            holding = asyncio.create_task(hold())
            await locked.wait()
            with pytest.raises(SessionLockedError):
                async with talk.lock():
                    pass
            with pytest.raises(SessionLockedError):
                await talk.add_message({"n": 0})
            done.set()
            await holding
            async with talk.lock():
                await talk.add_message({"n": 0})
            assert section.own_thread.get() is None
        store.close()

    run(main)
