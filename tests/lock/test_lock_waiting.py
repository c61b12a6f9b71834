"""Threads, tasks and time limits inside one process, and the wait for another one."""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lock_peer import HOLD, Peer

from bough.lock import SessionLock, guard, with_session_lock
from bough.lock.queue import Queue


def in_thread(fn: Callable[[], object]) -> object:
    """What ``fn`` returns in another thread."""
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(fn()))
    thread.start()
    thread.join(20)
    assert result, "the thread raised or hangs"
    return result[0]


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        os.sched_yield()


def test_another_thread_does_not_nest(path: Path) -> None:
    lock = SessionLock(path)
    with lock:
        assert in_thread(lambda: SessionLock(path).acquire()) is False
        assert in_thread(lock.acquire) is False
        in_thread(lock.release)
        assert lock.check(), "a thread that does not hold the lock cannot release it"


def test_a_new_thread_is_not_taken_for_one_that_ended(path: Path) -> None:
    """Thread numbers are used again."""
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with SessionLock(path):
            held.set()
            end.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    assert [in_thread(lambda: SessionLock(path).acquire()) for _ in range(20)] == [False] * 20
    end.set()
    holder.join(10)


def test_a_thread_that_ends_without_releasing_lets_go(path: Path) -> None:
    lock = SessionLock(path)
    for _ in range(3):
        assert in_thread(lambda: lock.acquire() and lock.acquire()) is True
        assert lock.token is None
        assert not (path.parent / "session.lock").exists()
    got: list[bool] = []
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        assert lock.acquire()
        held.set()
        end.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    waiter = threading.Thread(target=lambda: got.append(SessionLock(path).acquire(10)))
    waiter.start()
    end.set()
    holder.join(10)
    waiter.join(10)
    assert got == [True]


def test_one_object_in_two_threads(path: Path) -> None:
    lock = SessionLock(path)
    assert lock.acquire()
    got: list[int | None] = []

    def other() -> None:
        assert lock.acquire(None)
        got.append(lock.token)
        lock.release()

    thread = threading.Thread(target=other)
    thread.start()
    first = lock.token
    lock.release()
    thread.join(10)
    assert first is not None
    assert got[0] is not None
    assert got[0] > first
    assert not lock.is_locked()


def test_first_come_first_served() -> None:
    queue = Queue()
    assert queue.enter("holder", 0)
    order: list[int] = []

    def wait(number: int) -> None:
        assert queue.enter(number, math.inf)
        order.append(number)
        queue.leave()

    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        until(lambda: len(queue._line) == number + 1)  # noqa: B023
    queue.leave()
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))
    assert queue.owner is None


def test_who_gives_up_does_not_hold_up_the_line() -> None:
    queue = Queue()
    assert queue.enter("holder", 0)
    gave_up = threading.Thread(target=lambda: queue.enter("impatient", time.monotonic() + 0.05))
    gave_up.start()
    until(lambda: len(queue._line) == 1)
    got = threading.Event()

    def wait() -> None:
        if queue.enter("patient", math.inf):
            got.set()

    patient = threading.Thread(target=wait)
    patient.start()
    gave_up.join(10)
    until(lambda: len(queue._line) == 1)
    queue.leave()
    assert got.wait(10)
    assert queue.owner == "patient"
    patient.join(10)


def test_threads_of_one_process_never_overlap(path: Path) -> None:
    inside = 0
    worst = 0

    def work() -> None:
        nonlocal inside, worst
        for _ in range(50):
            with_session_lock(path, section, timeout=30)

    def section() -> None:
        nonlocal inside, worst
        inside += 1
        worst = max(worst, inside)
        os.sched_yield()
        inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert worst == 1


def test_what_a_task_started_inside_its_hold_nests_and_other_tasks_do_not(path: Path) -> None:
    async def main() -> list[bool]:
        mine = SessionLock(path)

        async def try_it() -> bool:
            other = SessionLock(path)
            taken = other.acquire()
            other.release()
            return taken

        async def when_told(go: asyncio.Event) -> bool:
            await go.wait()
            return await try_it()

        go = asyncio.Event()
        stranger = asyncio.create_task(when_told(go))
        assert mine.acquire()
        go.set()
        results = [await stranger, await try_it(), await asyncio.create_task(try_it())]
        results.append(await asyncio.to_thread(lambda: SessionLock(path).acquire() and SessionLock(path).acquire()))
        assert mine.check()
        mine.release()
        return results

    assert asyncio.run(main()) == [False, True, True, True]


@pytest.mark.parametrize("timeout", [0.02, 0.2])
def test_timeout_is_kept_against_a_thread_and_a_process(path: Path, timeout: float) -> None:
    def measure() -> float:
        began = time.monotonic()
        assert SessionLock(path).acquire(timeout) is False
        return time.monotonic() - began

    with SessionLock(path):
        waited = in_thread(measure)
        assert isinstance(waited, float)
        assert timeout * 0.9 <= waited < timeout + 1
    with Peer(HOLD, path) as peer:
        peer.hear()
        assert timeout * 0.9 <= measure() < timeout + 1


@pytest.mark.parametrize("timeout", [10, None])
def test_woken_by_the_release_of_another_process(path: Path, timeout: float | None) -> None:
    with Peer(HOLD, path) as peer:
        held, token = peer.hear().split()
        assert held == "held"
        lock = SessionLock(path)
        assert lock.acquire(0.02) is False
        threading.Thread(target=lambda: in_thread(lambda: peer.say())).start()
        assert lock.acquire(timeout)
        assert lock.token is not None
        assert lock.token > int(token)
        lock.release()
        assert peer.hear() == "released"


def test_a_process_that_comes_again_and_again_rests_for_one_that_waits(path: Path) -> None:
    """By the kernel's count of its rests. Who waits is stopped, so that the lock is never taken in between: how long it
    would be starved without the rests is the scheduler's whim (up to 3,000 holds were seen)."""

    def rests() -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        for _ in range(20 * guard.TURNS):
            with lock:
                pass
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before

    lock = SessionLock(path)
    assert rests() < 10, "for nobody"
    with Peer("SessionLock(path).acquire(None)", path) as peer:
        with lock:
            until(lambda: _waits_for_flock(peer.pid))
            peer.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, peer.pid, os.WSTOPPED)
        assert rests() >= 19


def test_a_wait_that_was_given_up_keeps_nothing(path: Path) -> None:
    """The thread that still blocks in the kernel gets the lock when its holder goes, and must let go of it."""
    with Peer(HOLD, path) as first:
        first.hear()
        assert SessionLock(path).acquire(0.02) is False
        first.say()
        assert first.hear() == "released"
        with Peer(HOLD, path) as second:
            assert second.hear().startswith("held")
            assert SessionLock(path).acquire(0.02) is False
            second.say()
            assert second.hear() == "released"
    with SessionLock(path) as lock:
        assert lock.check()


def test_a_wait_that_was_given_up_is_taken_over_by_the_next(path: Path) -> None:
    with Peer(HOLD, path) as peer:
        peer.hear()
        assert SessionLock(path).acquire(0.02) is False
        assert SessionLock(path).acquire(0.02) is False
        waiting = [thread for thread in threading.enumerate() if thread.name == "bough-lock-wait"]
        assert len(waiting) == 1, "one thread a path, however often somebody waits"
        peer.say()
        with_session_lock(path, lambda: None, timeout=10)


def test_a_guard_in_transit_is_not_taken_for_a_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locked, and no record: somebody comes, goes, or lets go of what nobody waits for any more."""
    monkeypatch.setattr(guard, "TRANSIT", 10)
    with (path.parent / "session.lock.guard").open("wb") as file:
        (path.parent / "session.lock.guard").chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        lock = SessionLock(path)
        results: list[bool] = []
        thread = threading.Thread(target=lambda: results.append(lock.acquire(0)))
        thread.start()
        until(lambda: _waits_for_flock(os.getpid()))
        fcntl.flock(file, fcntl.LOCK_UN)
        thread.join(10)
    assert results == [True]


def test_interrupted_wait_leaves_the_line(path: Path) -> None:
    with Peer(HOLD, path) as holder:
        holder.hear()
        code = """
lock = SessionLock(path)
say("waiting")
try:
    lock.acquire(None if sys.argv[2] == "None" else 60)
except KeyboardInterrupt:
    say("interrupted", lock.acquire(0))
hear()
say(lock.acquire(10))
hear()
"""
        for timeout in ("None", "60"):
            with Peer(code, path, timeout) as peer:
                assert peer.hear() == "waiting"
                until(lambda: _waits_for_flock(peer.pid))
                peer.process.send_signal(2)
                assert peer.hear() == "interrupted False"


def _waits_for_flock(pid: int) -> bool:
    """Whether the kernel lists a request of that process as blocked."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("-> FLOCK" in line and str(pid) in line.split() for line in lines)
