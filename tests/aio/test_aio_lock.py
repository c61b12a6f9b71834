"""bough.aio: the session lock for tasks. Numbers are those of its docstring."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "lock"))
from lock_peer import HOLD, Peer

import bough.lock
from bough import aio
from bough.errors import SessionLockedError, StoreUnavailableError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session"


def is_free(path: Path) -> bool:
    """Whether somebody else could take it at once: nothing of it is left in this process either."""
    taken: list[bool] = []

    def take() -> None:
        lock = bough.lock.SessionLock(path)
        taken.append(lock.acquire(0))
        lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(10)
    return taken == [True]


async def become(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.001)


def in_line(path: Path) -> int:
    return len(bough.lock.place.find(str(path)).queue._line)


async def hear(peer: Peer) -> str:
    return await asyncio.to_thread(peer.hear)


@asynccontextmanager
async def is_responsive(limit: float = 0.25) -> AsyncIterator[None]:
    """Fails where the event loop stood still for longer than ``limit`` (a blocked one would for ever)."""
    gaps: list[float] = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.002)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    task = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    yield
    await asyncio.sleep(0.01)
    task.cancel()
    assert max(gaps) < limit


def test_signatures_agree_with_the_sync_lock() -> None:
    assert set(aio.lock.__all__) == set(bough.lock.__all__) - {"TOKEN_LIMIT"} <= set(aio.__all__)
    for name, method in vars(bough.lock.SessionLock).items():
        if name.startswith("_") or name == "surpass" or not callable(method):
            continue
        mine = getattr(aio.SessionLock, name)
        assert inspect.iscoroutinefunction(mine), name
        assert inspect.signature(mine) == inspect.signature(method), name
    assert inspect.signature(aio.SessionLock) == inspect.signature(bough.lock.SessionLock)
    assert isinstance(aio.SessionLock.token, property)
    ours, theirs = inspect.signature(aio.with_session_lock), inspect.signature(bough.lock.with_session_lock)
    assert list(ours.parameters) == list(theirs.parameters)
    assert ours.parameters["timeout"] == theirs.parameters["timeout"]


def test_a_hold_and_what_it_says(path: Path) -> None:
    async def main() -> None:
        lock = aio.SessionLock(path)
        assert not await lock.check()
        assert lock.token is None
        async with lock as same:
            assert same is lock
            assert await lock.check()
            assert await lock.is_locked()
            holder = await lock.get_lock_holder()
            assert holder is not None
            assert lock.token is not None
            (path.parent / "session.lock").unlink()
            assert not await lock.check()
        assert lock.token is None
        assert not await lock.is_locked()
        await lock.release()

        async def work() -> int | None:
            return bough.lock.SessionLock(path).token

        assert await aio.with_session_lock(path, work) is None

        async def fail() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await aio.with_session_lock(path, fail)
        with pytest.raises(StoreUnavailableError):
            await aio.SessionLock(path.parent / "none" / "session").acquire()

    asyncio.run(main())
    assert is_free(path)


def test_one_section_at_a_time_first_come_first_served(path: Path) -> None:
    inside = 0
    order: list[int] = []

    async def main() -> None:
        async def section(number: int) -> None:
            nonlocal inside

            async def work() -> None:
                nonlocal inside
                inside += 1
                assert inside == 1
                order.append(number)
                await asyncio.sleep(0)
                inside -= 1

            await aio.with_session_lock(path, work, timeout=30)

        lock = aio.SessionLock(path)
        assert await lock.acquire()
        tasks = []
        empty = contextvars.Context()
        for number in range(10):
            tasks.append(asyncio.get_running_loop().create_task(section(number), context=empty.copy()))
            await become(lambda: in_line(path) == number + 1)  # noqa: B023
        await lock.release()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert order == list(range(10))
    assert is_free(path)


def outside(work: Awaitable[object]) -> asyncio.Task[object]:
    """A task that was not started inside the section."""

    async def run() -> object:
        return await work

    context = contextvars.Context()
    return asyncio.get_running_loop().create_task(run(), context=context)


def test_who_is_nested(path: Path) -> None:
    async def main() -> None:
        lock = aio.SessionLock(path)

        async def token() -> int | None:
            return lock.token

        async def other() -> int | None:
            mine = aio.SessionLock(path)
            assert await mine.acquire(5)
            found = mine.token
            await mine.release()
            return found

        async with lock:
            assert await aio.with_session_lock(path, token) == lock.token
            assert await other() == lock.token
            assert await asyncio.wait_for(other(), 5) == lock.token, "a task of its own under Python 3.11"
            assert set(await asyncio.gather(other(), other())) == {lock.token}
            assert await asyncio.to_thread(bough.lock.with_session_lock, path, lambda: lock.token) == lock.token
            with bough.lock.SessionLock(path) as direct:
                assert direct.token == lock.token
            assert not await outside(aio.SessionLock(path).acquire())
            assert await lock.check()
        assert lock.token is None

    asyncio.run(main())
    assert is_free(path)


def test_what_nests_takes_turns(path: Path) -> None:
    """Tasks and threads started inside one section, and inside those."""
    inside = 0
    most = 0

    async def main() -> None:
        nonlocal inside, most

        async def work() -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

        def thread_work() -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(0)
            inside -= 1

        async def child() -> None:
            await aio.with_session_lock(path, work, timeout=20)

        async with aio.SessionLock(path):
            await asyncio.gather(
                *(child() for _ in range(10)),
                *(asyncio.to_thread(bough.lock.with_session_lock, path, thread_work, timeout=20) for _ in range(10)),
            )

    asyncio.run(main())
    assert most == 1
    assert is_free(path)


def test_a_task_that_outlives_its_section_is_not_nested(path: Path) -> None:
    async def main() -> None:
        closed, go = asyncio.Event(), asyncio.Event()
        results: list[bool] = []
        other = aio.SessionLock(path)

        async def survivor() -> None:
            await closed.wait()
            results.append(await aio.SessionLock(path).acquire())
            mine = aio.SessionLock(path)
            go.set()
            results.append(await mine.acquire(10))
            assert not other.token
            await mine.release()

        async with aio.SessionLock(path):
            task = asyncio.create_task(survivor())
        holder = outside(other.acquire())
        assert await holder
        closed.set()
        await go.wait()
        await become(lambda: in_line(path) == 1)
        await other.release()
        await task
        assert results == [False, True]

    asyncio.run(main())
    assert is_free(path)


def test_what_is_nested_when_the_section_ends_keeps_the_lock(path: Path) -> None:
    async def main() -> None:
        began, closed, end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        tokens: list[int | None] = []

        async def late() -> bool:
            await closed.wait()
            return await aio.SessionLock(path).acquire()

        async def child() -> None:
            mine = aio.SessionLock(path)
            async with mine:
                tokens.append(mine.token)
                began.set()
                await end.wait()
                assert await mine.check()
                tokens.append(mine.token)

        first = aio.SessionLock(path)
        async with first:
            task = asyncio.create_task(child())
            outliving = asyncio.create_task(late())
            await began.wait()
        assert not is_free(path)
        closed.set()
        assert not await outliving, "the section is closed, though the lock is still held"
        assert not await first.acquire(), "who closed it is outside now"
        end.set()
        await task
        assert tokens[0] == tokens[1]

    asyncio.run(main())
    assert is_free(path)


def test_threads_and_tasks_on_one_path(path: Path) -> None:
    inside = 0
    most = 0
    holds = 0
    mutex = threading.Lock()

    def enter() -> None:
        nonlocal inside, most, holds
        with mutex:
            inside += 1
            holds += 1
            most = max(most, inside)

    def leave() -> None:
        nonlocal inside
        with mutex:
            inside -= 1

    def thread() -> None:
        lock = bough.lock.SessionLock(path)
        for _ in range(40):
            assert lock.acquire(30)
            enter()
            time.sleep(0)
            leave()
            lock.release()

    async def main() -> None:
        async def task() -> None:
            lock = aio.SessionLock(path)
            for _ in range(20):
                assert await lock.acquire(30)
                enter()
                await asyncio.sleep(0)
                leave()
                await lock.release()

        await asyncio.gather(*(task() for _ in range(5)))

    threads = [threading.Thread(target=thread) for _ in range(3)]
    threads += [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]  # two event loops
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert holds == 3 * 40 + 2 * 5 * 20
    assert most == 1
    assert is_free(path)


def test_a_cancelled_waiter_leaves_the_line(path: Path) -> None:
    async def main() -> None:
        lock = aio.SessionLock(path)
        assert await lock.acquire()
        waiting = outside(aio.SessionLock(path).acquire(None))
        behind = aio.SessionLock(path)
        next_one = outside(behind.acquire(None))
        await become(lambda: in_line(path) == 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert in_line(path) == 1
        await lock.release()
        assert await next_one is True
        await behind.release()
        assert lock.token is None

    asyncio.run(main())
    assert is_free(path)


@pytest.mark.parametrize("foreign", [False, True])
def test_a_cancelled_wait_for_another_process(path: Path, foreign: bool) -> None:
    """The thread that waits is called off, so that the line goes on long before that process lets go."""
    record = 'import json; open(path + ".lock", "w").write(json.dumps(dict(pid=os.getpid(), timestamp=time.time()'
    record += '*1000, hostname=os.uname().nodename)))\nsay("held")\nhear()\nos.unlink(path + ".lock")\nhear()'

    async def main(peer: Peer) -> None:
        await hear(peer)
        place = bough.lock.place.find(str(path))
        for timeout in (None, 60.0):
            async with is_responsive():
                waiting = asyncio.create_task(aio.SessionLock(path).acquire(timeout))
                await become(lambda: place.queue.owner is not None)
                await asyncio.sleep(0.02)  # some way into it; any moment will do
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await become(lambda: place.queue.owner is None, 5)
        lock = aio.SessionLock(path)
        assert not await lock.acquire(0.02)
        taken = asyncio.create_task(lock.acquire(10))
        await become(lambda: place.queue.owner is not None)
        peer.say()
        assert await taken

    with Peer(record if foreign else HOLD, path) as peer:
        asyncio.run(main(peer))
        # The task that took it is over, as is its loop, and it was never released: another thread does not get it.
        assert not is_free(path)


def test_a_lock_that_arrives_as_its_waiter_is_cancelled_is_released(path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        lost = 0
        for step in range(150):
            holder = bough.lock.SessionLock(path)
            released = threading.Event()

            held = asyncio.Event()

            def hold(lock: bough.lock.SessionLock, held: asyncio.Event, end: threading.Event) -> None:
                with lock:
                    loop.call_soon_threadsafe(held.set)
                    end.wait(10)

            thread = threading.Thread(target=hold, args=(holder, held, released))
            thread.start()
            await held.wait()
            waiting = asyncio.create_task(aio.SessionLock(path).acquire(10))
            if step % 3:
                await become(lambda: in_line(path) == 1)
            released.set()
            for _ in range(step % 25):
                await asyncio.sleep(0)
            if step % 2:
                await asyncio.to_thread(thread.join)
            waiting.cancel()
            try:
                assert await waiting
                lost += 1
                break_free = bough.lock.place.find(str(path)).hold
                assert break_free is not None
                bough.lock.sections.close(break_free)  # it came before the cancellation: a task that ended holds it
            except asyncio.CancelledError:
                pass
            await asyncio.to_thread(thread.join)
            place = bough.lock.place.find(str(path))
            await become(lambda: place.queue.owner is None)  # noqa: B023
            assert is_free(path), step
        assert lost < 150, "no cancellation came in time"

    asyncio.run(main())


def test_a_cancelled_release_goes_on(path: Path) -> None:
    async def main() -> None:
        for step in range(30):
            lock = aio.SessionLock(path)
            assert await lock.acquire(10)
            task = asyncio.create_task(lock.release()) if step % 2 else None

            async def section(lock: aio.SessionLock = lock) -> None:
                async with lock:
                    await asyncio.sleep(60)

            if task is None:
                await lock.release()
                task = asyncio.create_task(section())
                await become(lambda: lock.token is not None)  # noqa: B023
                task.cancel()
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await lock.release()
            place = bough.lock.place.find(str(path))
            await become(lambda: place.queue.owner is None)  # noqa: B023
        assert is_free(path)

    asyncio.run(main())


def test_the_loop_goes_on_while_many_wait_for_other_processes(tmp_path: Path) -> None:
    """More than the default executor has threads, and the holder's own work in that executor comes through."""
    code = """
locks = [SessionLock(f"{path}/{n}") for n in range(40)]
for lock in locks: assert lock.acquire()
say("held")
hear()
for lock in locks: lock.release()
hear()
"""

    async def main(peer: Peer) -> None:
        await hear(peer)
        locks = [aio.SessionLock(tmp_path / str(number)) for number in range(40)]
        async with is_responsive(1.0):
            tasks = [asyncio.create_task(lock.acquire(30)) for lock in locks]
            assert not await aio.SessionLock(tmp_path / "0").acquire(0)
            assert await asyncio.to_thread(lambda: 7) == 7
            peer.say()
            assert all(await asyncio.gather(*tasks))

    with Peer(code, tmp_path) as peer:
        asyncio.run(main(peer))


def test_a_waiter_whose_loop_was_closed_is_passed_over(path: Path) -> None:
    lock = bough.lock.SessionLock(path)
    assert lock.acquire()
    loop = asyncio.new_event_loop()

    async def wait() -> None:
        await aio.SessionLock(path).acquire(None)

    def run() -> None:
        waiting = loop.create_task(wait())
        loop.run_until_complete(become(lambda: in_line(path) == 1))
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert in_line(path) == 1
    lock.release()
    assert is_free(path)


def test_a_section_entered_by_an_exception(path: Path) -> None:
    async def main() -> None:
        async def section() -> None:
            raise AssertionError("inside another's section")

        lock = aio.SessionLock(path)
        assert await lock.acquire()
        with pytest.raises(SessionLockedError):
            await outside(aio.with_session_lock(path, section))
        with pytest.raises(SessionLockedError) as caught:
            await outside(aio.with_session_lock(path, section, timeout=0.02))
        assert caught.value.holder is not None
        await lock.release()

    asyncio.run(main())
    assert is_free(path)


def test_acquired_by_wait_for_and_released_by_the_caller(path: Path) -> None:
    async def main() -> None:
        lock = aio.SessionLock(path)
        assert await asyncio.wait_for(lock.acquire(5), 5)
        assert lock.token
        await lock.release()
        assert lock.token is None

    asyncio.run(main())
    assert is_free(path)
