"""``os.fork`` while the store is in use, many threads on one store, and signals in the middle of a commit."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Self

import apsw
import pytest
from sqlite_store_kit import SESSION, WAIT, ask, check_file, in_child, lines, manager_of, say, start, status_of, texts

from bough.errors import BoughError
from bough.manager import ConversationBranchManager
from bough.model import Append
from bough.search import parse
from bough.stores.sqlite import SqliteStore


class Crowd:
    """Threads that do something all the time until told to end; an exception in one is one of the test."""

    def __init__(self, *works: Callable[[int], object]) -> None:
        self._done = threading.Event()
        self._errors: list[BaseException] = []
        self.rounds = [0] * len(works)
        self._threads = [
            threading.Thread(target=self._run, args=(number, work), daemon=True) for number, work in enumerate(works)
        ]

    def _run(self, number: int, work: Callable[[int], object]) -> None:
        try:
            for n in count():
                work(n)
                self.rounds[number] = n + 1
                if self._done.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  (raised again in the test's own thread)
            self._errors.append(error)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(WAIT)
            assert not thread.is_alive(), "it waits, and should not"
        if self._errors:
            raise self._errors[0]


def descriptors(path: Path) -> list[str]:
    """What this process has open of the file and what stands beside it."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if name.startswith(str(path)) and "-locks/" not in name:
            found.append(name)
    return found


# -- fork ------------------------------------------------------------------------------------------------------------


def test_parent_and_child_go_on_after_a_fork_while_threads_write(tmp_path: Path) -> None:
    """No deadlock in either, and each message is there once."""
    path = tmp_path / "store.db"
    forks = 40
    store = SqliteStore(path, durability="lazy", lock_timeout=WAIT)
    manager = ConversationBranchManager(SESSION, store=store)
    for name in ("children", "t0", "t1", "t2"):
        manager.create_branch(name, name)

    def write(name: str) -> Callable[[int], object]:
        return lambda n: store.commit(SESSION, Append(branch_id=name, messages=lines(f"{n}")))

    def work(number: int) -> None:
        store.commit(SESSION, Append(branch_id="children", messages=lines(f"{number}")))
        assert manager.get_messages("t0") is not None
        assert len(list(store.operations(SESSION))) == 5
        store.close()

    def look(_: int) -> None:
        for _hit in store.search(parse("0"), session_id=SESSION):
            pass

    with Crowd(write("t0"), write("t1"), write("t2"), look) as crowd:
        children = []
        for number in range(forks):
            children.append(start(lambda: work(number)))  # noqa: B023
            store.commit(SESSION, Append(branch_id="main", messages=lines(f"{number}")))
        statuses = [status_of(child) for child in children]
    assert statuses == [0] * forks
    assert texts(manager, "main") == [str(n) for n in range(forks)]
    assert sorted(texts(manager, "children")) == sorted(str(n) for n in range(forks))
    for number in range(3):
        assert texts(manager, f"t{number}") == [str(n) for n in range(crowd.rounds[number])]
    assert min(crowd.rounds) > 0
    store.close()
    check_file(path)


def test_a_child_has_no_connection_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager = manager_of(path)
    manager.add_messages(say("one"))
    assert descriptors(path) != []

    def look() -> None:
        assert descriptors(path) == []
        assert texts(manager) == ["one"]
        assert descriptors(path) != []

    assert in_child(look) == 0
    manager.add_messages(say("two"))
    assert texts(manager) == ["one", "two"]


def test_a_fork_waits_for_who_is_at_work(tmp_path: Path) -> None:
    """A connection that is lent in that moment is not carried over either."""
    path = tmp_path / "store.db"
    manager = manager_of(path)
    store = manager.store
    assert isinstance(store, SqliteStore)
    at_work, finish = threading.Event(), threading.Event()

    def work(connection: apsw.Connection) -> None:
        connection.execute("UPDATE branch SET name = 'New', digest = NULL")
        at_work.set()
        assert finish.wait(WAIT)

    def release() -> None:
        end = time.monotonic() + 5
        while not store._connections._forking and time.monotonic() < end:
            pass
        finish.set()

    worker = threading.Thread(target=lambda: store._transaction(work, patience=WAIT))
    worker.start()
    assert at_work.wait(WAIT)
    releaser = threading.Thread(target=release)
    releaser.start()

    def look() -> None:
        assert descriptors(path) == []
        assert manager.get_all_branches()[0].name == "New"

    assert in_child(look) == 0
    worker.join(WAIT)
    releaser.join(WAIT)
    manager.add_messages(say("one"))
    check_file(path)


def test_a_connection_that_is_lost_is_closed_at_once(tmp_path: Path) -> None:
    """A signal may come between taking and giving. No collector has to run, so none is carried over a fork."""
    path = tmp_path / "store.db"
    manager = manager_of(path)
    store = manager.store
    assert isinstance(store, SqliteStore)
    gc.disable()
    try:
        connection = store._connections.take(create=False, patience=1.0)
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        assert descriptors(path) != []
        del connection
        assert descriptors(path) == []
    finally:
        gc.enable()
    manager_of(path, lock_timeout=1.0).add_messages(say("one"))


def test_a_connection_that_comes_back_in_a_transaction_is_not_lent_again(tmp_path: Path) -> None:
    """A signal may come in the way of the ROLLBACK."""
    path = tmp_path / "store.db"
    manager = manager_of(path)
    store = manager.store
    assert isinstance(store, SqliteStore)
    connection = store._connections.take(create=False, patience=1.0)
    assert connection is not None
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE branch SET name = 'Lost'")
    store._connections.give(connection)
    manager_of(path, lock_timeout=1.0).add_messages(say("one"))
    manager.add_messages(say("two"))
    assert texts(manager) == ["one", "two"]
    assert manager.get_all_branches()[0].name != "Lost"


def test_a_fork_while_iterators_are_half_read(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"word {n}" for n in range(600))))
        for n in range(250):
            manager.create_branch(f"b{n}", f"B {n}")
        operations = manager.store.operations(SESSION)
        hits = manager.store.search(parse("word"), session_id=SESSION)
        numbers = [next(operations).number for _ in range(5)]
        found = [next(hits) for _ in range(5)]

        def finish() -> None:
            assert len(list(operations)) == 246
            assert len(list(hits)) == 595
            manager.add_messages(say("of the child"))

        assert in_child(finish) == 0
        numbers += [operation.number for operation in operations]
        found += list(hits)
        assert numbers == list(range(251, 0, -1))
        assert len(set(found)) == 600
        assert texts(manager)[-1] == "of the child"
    check_file(path)


def test_multiprocessing_by_fork(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager = manager_of(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=lambda n=n: manager.add_messages(say(f"{n}"))) for n in range(4)]
        for child in children:
            child.start()
    manager.add_messages(say("parent"))
    for child in children:
        child.join(WAIT)
    assert [child.exitcode for child in children] == [0] * 4
    assert sorted(texts(manager)) == ["0", "1", "2", "3", "parent"]
    check_file(path)


def test_a_child_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager = manager_of(path)

    def intrude() -> None:
        hurried = SqliteStore(path, lock_timeout=0.1)
        for store in (hurried, SqliteStore(path, lock_timeout=0)):
            with pytest.raises(BoughError) as caught:
                store.commit(SESSION, Append(branch_id="main", messages=lines("no")))
            assert type(caught.value).__name__ == "SessionLockedError"

    with manager.lock():
        assert in_child(intrude) == 0
        manager.add_messages(say("the parent's"))
        child = start(lambda: manager.add_messages(say("the child's")))
        manager.add_messages(say("the parent's too"))
    assert status_of(child) == 0
    assert texts(manager) == ["the parent's", "the parent's too", "the child's"]


def test_stores_that_come_and_go_while_others_fork(tmp_path: Path) -> None:
    """The store is made at any moment of a fork, and dropped without a close."""
    path = tmp_path / "store.db"
    manager_of(path).close()

    def come_and_go(n: int) -> None:
        store = SqliteStore(path, durability="lazy", lock_timeout=WAIT)
        store.commit(SESSION, Append(branch_id="main", messages=lines(f"{n}")))
        if n % 3 == 0:
            store.close()
        if n % 20 == 0:
            gc.collect()

    with Crowd(come_and_go, come_and_go) as crowd:
        children = [start(lambda: manager_of(path).add_messages(say("child"))) for _ in range(40)]
        statuses = [status_of(child) for child in children]
    assert statuses == [0] * 40
    assert len(texts(manager_of(path))) == 40 + sum(crowd.rounds)
    gc.collect()
    check_file(path)


# -- threads ---------------------------------------------------------------------------------------------------------


def test_many_threads_on_one_store(tmp_path: Path) -> None:
    """Each verb, reads and searches, a dozen threads; connections are no more than threads were at work."""
    path = tmp_path / "store.db"
    store = SqliteStore(path, durability="lazy", lock_timeout=WAIT)
    main = ConversationBranchManager(SESSION, store=store)
    main.add_messages(say("first"))
    threads, rounds = 12, 3
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with ConversationBranchManager(SESSION, store=store) as manager:
                for n in range(rounds):
                    manager.checkout("main")
                    fork = manager.fork(f"t{number}")
                    manager.add_messages(say(f"word {number} {n}"))
                    manager.rename_branch(fork.id, f"name {number} {n}")
                    assert texts(manager)[-1] == f"word {number} {n}"
                    manager.checkout("main")
                    manager.merge(fork.id)
                    assert len(manager.search(f'"word {number}"', limit=None)) == n + 1
                    assert next(store.operations(SESSION)).number > n
                    manager.delete_branch(fork.id)
                    with manager.lock():
                        manager.add_messages(say(f"locked {number} {n}"))
        except BaseException as error:  # noqa: BLE001  (raised again in the test's own thread)
            errors.append(error)

    crowd = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(WAIT)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    said = texts(main)
    wanted = [f"{word} {number} {n}" for word in ("word", "locked") for number in range(threads) for n in range(rounds)]
    assert sorted(said) == sorted(["first", *wanted])
    open_now = len([name for name in descriptors(path) if name == str(path)])
    assert 1 <= open_now <= threads + 1
    for _ in range(200):
        main.get_messages()
        main.add_messages(say("more"))
    assert len([name for name in descriptors(path) if name == str(path)]) == open_now
    store.close()
    assert descriptors(path) == []
    check_file(path)


def test_one_thread_uses_one_connection(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager = manager_of(path)
    for n in range(30):
        manager.add_messages(say(f"word {n}"))
        manager.search("word")
        list(manager.store.operations(SESSION))
        manager.fork(f"f{n}")
    assert len([name for name in descriptors(path) if name == str(path)]) == 1


def test_stores_that_are_dropped_close_their_connections(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for n in range(30):
        manager_of(path).add_messages(say(f"{n}"))
    gc.collect()
    assert descriptors(path) == []


def test_nothing_is_left_open_that_keeps_the_log_from_being_emptied(tmp_path: Path) -> None:
    """Half-read iterators and answers hold no snapshot: a checkpoint gets all the way."""
    path = tmp_path / "store.db"
    manager = manager_of(path)
    manager.add_messages(say(*(f"word {n}" for n in range(600))))
    for n in range(150):
        manager.create_branch(f"b{n}", f"B {n}")
    operations = manager.store.operations(SESSION)
    hits = manager.store.search(parse("word"), session_id=SESSION)
    keep: list[Any] = [next(operations), next(hits), manager.store.load(SESSION)]
    with pytest.raises(BoughError):
        manager.get_messages("absent")
    manager.add_messages(say("last"))
    [(busy, in_log, moved)] = ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert (busy, in_log, moved) == (0, 0, 0)
    assert os.stat(f"{path}-wal").st_size == 0
    assert keep
    assert len(list(operations)) == 150


# -- signals ---------------------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    pass


def interrupted_at_random(path: Path, seconds: float) -> int:
    """Appends, forks and searches, broken off by a signal at any bytecode; returns how often that happened.

    After each time the store works at once, and what was acknowledged is there.
    """
    store = SqliteStore(path, durability="lazy", lock_timeout=5.0)
    ConversationBranchManager(SESSION, store=store)
    other = manager_of(path, lock_timeout=5.0)
    acknowledged = -1
    times = 0
    armed = False

    def strike(*_: object) -> None:
        if armed:
            raise Interrupted

    before = signal.signal(signal.SIGALRM, strike)
    end = time.monotonic() + seconds
    n = 0
    try:
        while time.monotonic() < end:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + (times % 97) * 0.00002)
                while True:
                    store.commit(SESSION, Append(branch_id="main", messages=lines(str(n))))
                    acknowledged = n
                    n += 1
                    if n % 7 == 0:
                        store.load(SESSION)
                        list(store.search(parse("absent"), session_id=SESSION))
            except Interrupted:
                armed = False
                times += 1
                n += 1
            if times % 50 == 0:
                other.add_messages(say("other"))
                seen = [int(text) for text in texts(other, "main") if text != "other"]
                assert seen[-1] in (acknowledged, acknowledged + 1)
                assert seen == sorted(set(seen))
            store.commit(SESSION, Append(branch_id="main", messages=lines(str(n))))
            acknowledged = n
            n += 1
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # No thread is waited for that is not there: a fork from another thread goes through.
    forked: list[int] = []
    thread = threading.Thread(target=lambda: forked.append(in_child(lambda: store.load(SESSION))), daemon=True)
    thread.start()
    thread.join(WAIT)
    assert forked == [0]
    assert len([name for name in descriptors(path) if name == str(path)]) < 8
    store.close()
    other.store.close()
    return times


def test_a_signal_that_breaks_off_a_commit_leaves_a_store_that_works(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert in_child(lambda: _some(interrupted_at_random(path, 2.0))) == 0
    check_file(path)


@pytest.mark.torture
def test_signals_that_break_off_many_commits(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert in_child(lambda: _some(interrupted_at_random(path, 30.0))) == 0
    check_file(path)


def _some(times: int) -> None:
    assert times > 100
