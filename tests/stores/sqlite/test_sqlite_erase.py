"""What is erased is in no byte of any file; what is dropped makes room; and nothing of it disturbs anybody else.

Files are looked through by another process: a close of the file here would drop SQLite's locks.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from sqlite_store_kit import (
    SESSION,
    WAIT,
    Gate,
    ask,
    check_file,
    in_child,
    lines,
    manager_of,
    raw,
    say,
    start,
    status_of,
    texts,
)

from bough import changes, history
from bough.errors import CorruptBranchError, InvalidRequestError
from bough.manager import ConversationBranchManager
from bough.model import Append, Commit, Graft, History, Piece, Put, replace
from bough.search import parse
from bough.stores.sqlite import SqliteStore, erasing
from bough.stores.sqlite.connections import Connection

SECRET = "xyzzy-secret"  # noqa: S105


def leaks(path: Path) -> list[str]:
    """The files beside ``path``, itself included, with something of the secret in them: in one piece, or as the words
    that a search index makes of it."""
    reader, writer = os.pipe()

    def look() -> None:
        for each in sorted(path.parent.iterdir()):
            if each.is_file() and b"xyzzy" in each.read_bytes():
                os.write(writer, each.name.encode() + b"\n")

    assert in_child(look) == 0
    os.close(writer)
    said = b""
    while more := os.read(reader, 1 << 16):
        said += more
    os.close(reader)
    return said.decode().split()


def secrets(store: SqliteStore, session: str = SESSION) -> History:
    """Every message with the secret in it that a branch holds, or held by the log."""
    everything = history.union(
        *(record.history for record in store.load(session).branches.values()),
        *(
            side.history
            for operation in store.operations(session)
            for change in operation.branches
            for side in (change.before, change.after)
            if side is not None
        ),
    )
    freed = history.union(*(operation.freed for operation in store.operations(session)))
    found = []
    for segment, begin, stop in history.subtract(everything, freed):
        for at in range(begin, stop):
            [message] = store.read(session, (Piece(segment, at, at + 1),))
            if "xyzzy" in str(message):
                found.append(Piece(segment, at, at + 1))
    return history.union(tuple(found))


def give_up(store: SqliteStore, free: History, *, erase: bool = True, session: str = SESSION) -> Commit:
    """Takes messages from all branches, and frees them."""
    puts = [
        changes.put_again(each, history=history.subtract(each.history, free))
        for each in store.load(session).branches.values()
        if history.subtract(free, each.history) != free
    ]
    return store.commit(session, changes.change("purge" if erase else "gc", *puts, free=free, erase=erase))


def marks(path: Path) -> list[int]:
    return [mark for (mark,) in ask(path, "SELECT erasing FROM session WHERE erasing <> 0")]


# -- no byte ---------------------------------------------------------------------------------------------------------


def appended(manager: ConversationBranchManager) -> None:
    manager.add_messages(say("before", SECRET, "after"))


def forked(manager: ConversationBranchManager) -> None:
    appended(manager)
    manager.fork("Fork")
    manager.add_messages(say("more"))
    manager.fork_from_message("Fork", 2)


def merged(manager: ConversationBranchManager) -> None:
    forked(manager)
    manager.add_messages(say("from the fork " + SECRET))
    manager.checkout("main")
    manager.merge("fork-2")


def set_again(manager: ConversationBranchManager) -> None:
    appended(manager)
    manager.set_messages(say("before", "another", SECRET + " again", "after"))
    manager.set_messages(say("before"))


def undone(manager: ConversationBranchManager) -> None:
    set_again(manager)
    manager.undo()
    manager.undo()


def deleted(manager: ConversationBranchManager) -> None:
    merged(manager)
    manager.delete_branch("fork-2")


def searched(manager: ConversationBranchManager) -> None:
    merged(manager)
    assert len(manager.search("xyzzy")) == 2
    manager.add_messages(say(*(f"filler {n}" for n in range(1000))))
    manager.search("filler")


def on_pages_that_were_split(manager: ConversationBranchManager) -> None:
    """Short and long messages, and branches that come and go, so that pages are left with old content."""
    for n in range(60):
        manager.checkout("main")
        manager.add_messages(say(f"{SECRET} {n}" * (1 + n % 3 * 200), "short"))
        manager.fork(f"b {n}")
        manager.add_messages(say("long " * 500))
        if n % 2:
            manager.checkout("main")
            manager.delete_branch(f"b-{n}")
    manager.checkout("main")


def dropped_before(manager: ConversationBranchManager) -> None:
    """A gc leaves bytes in free pages; a purge takes those along."""
    appended(manager)
    store = manager.store
    assert isinstance(store, SqliteStore)
    manager.add_messages(say(SECRET + " two"))
    give_up(store, secrets(store)[:1], erase=False)


def brought(manager: ConversationBranchManager) -> None:
    store = manager.store
    record = store.load(SESSION).branches["main"]
    run = Piece("theirs", 3, 6)
    put = Put(record=replace(record, history=(run,)), expected=record.version)
    store.commit(SESSION, Graft(runs=((run, lines("a", SECRET, "c")),), puts=(put,)))


LIVES = (
    *(appended, forked, merged, set_again, undone, deleted, searched),
    *(on_pages_that_were_split, dropped_before, brought),
)


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_no_byte_is_left(tmp_path: Path, life: Callable[[ConversationBranchManager], None]) -> None:
    path = tmp_path / "store.db"
    with manager_of(path, "other") as other:
        other.add_messages(say("other", "words"))
        other.search("words")
    with manager_of(path) as manager:
        life(manager)
        assert leaks(path)
        store = manager.store
        assert isinstance(store, SqliteStore)
        free = secrets(store)
        kept = {
            id_: store.read(SESSION, history.subtract(record.history, free))
            for id_, record in store.load(SESSION).branches.items()
        }
        give_up(store, free)
        assert leaks(path) == []
        assert marks(path) == []
        for id_, record in store.load(SESSION).branches.items():
            assert store.read(SESSION, record.history) == kept[id_]
        for piece in free:
            with pytest.raises(CorruptBranchError, match="purged"):
                store.read(SESSION, (piece,))
        assert list(store.search(parse("xyzzy"))) == []
        assert len(list(store.search(parse("words")))) == 1
        manager.add_messages(say("goes on"))
        assert texts(manager)[-1] == "goes on"
        assert [finding for finding in store.verify(SESSION) if finding.severity != "note"] == []
    check_file(path)


def test_the_copy_that_a_change_of_schema_left_goes_too(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        appended(manager)
        for name in ("schema-1", "schema-2", "schema-2.77-88"):
            Path(f"{path}.{name}").write_text(SECRET)
        Path(f"{path}.schema-2.mine").write_text("not ours")
        store = manager.store
        assert isinstance(store, SqliteStore)
        give_up(store, secrets(store))
    assert leaks(path) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["store.db", "store.db.schema-2.mine"]


def test_what_was_erased_is_refused_whoever_brings_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        appended(manager)
        store = manager.store
        assert isinstance(store, SqliteStore)
        [piece] = free = secrets(store)
        give_up(store, free)
        with pytest.raises(CorruptBranchError, match="purged"):
            store.commit(SESSION, Graft(runs=((piece, lines(SECRET)),)))
        assert leaks(path) == []
        give_up(store, (Piece(piece.segment, 0, 3),), erase=False)  # a gc that comes upon it
        assert ask(path, "SELECT count(*) FROM message") == [(0,)]
        with pytest.raises(CorruptBranchError, match="given up"):
            store.commit(SESSION, Graft(runs=((piece, lines(SECRET)),)))
    check_file(path)


def test_a_branch_that_cannot_be_read_is_in_the_way(tmp_path: Path) -> None:
    """Nobody knows what it holds."""
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        forked(manager)
        manager.checkout("main")
        store = manager.store
        assert isinstance(store, SqliteStore)
        free = secrets(store)
        with raw(path) as connection:
            connection.execute("UPDATE branch SET history = '{' WHERE id = 'fork'")
        with pytest.raises(CorruptBranchError):
            give_up(store, free)
        assert store.read(SESSION, free) == say(SECRET)


# -- others ----------------------------------------------------------------------------------------------------------


def hold(path: Path, ready: int, until: Gate) -> None:
    """A reader that keeps its snapshot."""
    with raw(path) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM message").fetchall()
        os.write(ready, b".")
        until.wait()
        connection.execute("ROLLBACK")


def test_a_reader_of_another_process_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path, lock_timeout=WAIT) as manager:
        appended(manager)
        store = manager.store
        assert isinstance(store, SqliteStore)
        reader, writer = os.pipe()
        gate = Gate()
        child = start(lambda: hold(path, writer, gate))
        assert os.read(reader, 1) == b"."
        free = secrets(store)
        real = erasing._cut_log

        def cut(connection: Connection, patience: float) -> bool:
            assert not real(connection, 0)
            assert leaks(path)
            gate.open()
            return real(connection, patience)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(erasing, "_cut_log", cut)
            give_up(store, free)
        assert leaks(path) == []
        assert status_of(child) == 0
        os.close(reader)
        os.close(writer)
    check_file(path)


def test_another_one_that_cuts_the_log_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself does not wait for that one, which waits for a reader."""
    path = tmp_path / "store.db"
    with manager_of(path, lock_timeout=WAIT) as manager:
        appended(manager)
        store = manager.store
        assert isinstance(store, SqliteStore)
        free = secrets(store)
        reader, writer = os.pipe()
        gate = Gate()
        children = [start(lambda: hold(path, writer, gate))]
        assert os.read(reader, 1) == b"."
        real = erasing._cut_log
        tries: list[int] = []

        def rival() -> None:
            os.close(gate._writer)  # else the gate stays shut as long as this process lives
            with raw(path) as connection:
                connection.execute("SELECT count(*) FROM session").fetchall()
                with suppress(apsw.BusyError):
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

        def cut(connection: Connection, patience: float) -> bool:
            children.append(start(rival))
            with raw(path) as other:
                other.set_busy_timeout(0)
                with suppress(apsw.BusyError):
                    while True:  # until the rival is at it
                        other.execute("BEGIN IMMEDIATE; ROLLBACK")
            wait = connection.patience
            wait.deadline = time.monotonic() + WAIT

            def waiting(tried: int) -> bool:
                if not tries:
                    gate.open()
                tries.append(tried)
                return wait(tried)

            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(connection, "patience", waiting, raising=False)
                return real(connection, patience)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(erasing, "_cut_log", cut)
            give_up(store, free)
        assert tries
        assert leaks(path) == []
        assert marks(path) == []
        assert [status_of(child) for child in children] == [0, 0]
        os.close(reader)
        os.close(writer)
    check_file(path)


def test_a_reader_that_does_not_let_go_is_told_of_and_the_next_operation_finishes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path, lock_timeout=0.3) as manager, manager_of(path, "other") as other:
        appended(manager)
        store = manager.store
        assert isinstance(store, SqliteStore)
        reader, writer = os.pipe()
        gate = Gate()
        child = start(lambda: hold(path, writer, gate))
        assert os.read(reader, 1) == b"."
        free = secrets(store)
        began = time.monotonic()
        give_up(store, free)  # it is done, and says nothing
        assert time.monotonic() - began < 5
        assert texts(manager) == ["before", "after"]
        assert leaks(path)
        [finding] = store.verify(SESSION)
        assert (finding.severity, "close other programs" in finding.advice) == ("warning", True)
        other.create_branch("x", "X")  # another session's operation: it tries, without waiting
        assert leaks(path)
        assert len(list(store.verify(SESSION))) == 1
        gate.open()
        assert status_of(child) == 0
        store.commit(SESSION, Append(branch_id="main", messages=lines("an append leaves it alone")))
        assert marks(path)
        other.create_branch("y", "Y")
        assert leaks(path) == []
        assert list(store.verify(SESSION)) == []
        os.close(reader)
        os.close(writer)
    check_file(path)


def test_no_room_for_a_new_file_leaves_the_purge_done_and_told_of(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path, durability="full") as manager:
        appended(manager)
        store = manager.store
        assert isinstance(store, SqliteStore)

        def fail(*_: object) -> None:
            raise apsw.FullError("no room")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(erasing, "_cut_log", fail)
            give_up(store, secrets(store))
        assert texts(manager) == ["before", "after"]
        assert len(list(store.verify(SESSION))) == 1
        manager.rename_branch("main", "Renamed")
        assert leaks(path) == []
        assert list(store.verify(SESSION)) == []
        [connection] = store._connections._idle
        assert connection.pragma("secure_delete") == 0
    check_file(path)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(n, id=f"exhaustive-{n}", marks=pytest.mark.torture) for n in range(2, 12))]
)
def test_killed_at_any_moment_of_a_purge(tmp_path: Path, seed: int) -> None:
    """Either nothing is gone, or it is; and then verify tells until the next operation has finished it."""
    chance = random.Random(seed)
    outcomes = set()
    for turn in range(10):
        path = tmp_path / str(turn) / "store.db"
        with manager_of(path) as manager:
            manager.add_messages(say(*(f"{SECRET} {n}" for n in range(20)), *("long " * 400 for _ in range(20))))
            manager.search("long")
            store = manager.store
            assert isinstance(store, SqliteStore)
            free = secrets(store)
            steps_left = int(10 ** chance.uniform(1, 4.5))

        def purge() -> None:
            left = steps_left  # noqa: B023

            def kill() -> bool:
                nonlocal left
                left -= 1
                if left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return False

            apsw.connection_hooks.append(lambda connection: connection.set_progress_handler(kill, 1))
            give_up(SqliteStore(path), free)  # noqa: B023

        status = in_child(purge)
        assert status in (0, -signal.SIGKILL)
        with manager_of(path) as manager:
            store = manager.store
            assert isinstance(store, SqliteStore)
            findings = [finding for finding in store.verify(SESSION) if finding.severity != "note"]
            if manager.get_messages()[0]["content"].startswith(SECRET):
                outcomes.add("before")
                assert status != 0
                assert findings == []
                give_up(store, free)
            elif findings:
                outcomes.add("between")
                assert "was erased" in findings[0].place
                manager.create_branch("next", "Next")
            else:
                outcomes.add("after")
            assert leaks(path) == []
            assert [finding for finding in store.verify(SESSION) if finding.severity != "note"] == []
        check_file(path)
    assert len(outcomes) > 1


# -- gc --------------------------------------------------------------------------------------------------------------


def test_what_is_dropped_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say("first"))
        manager.fork("Side")
        manager.add_messages(say(*(f"{n} " + "x" * 400 for n in range(20_000))))
        manager.search("x")
        side = manager.store.load(SESSION).branches["side"]
        manager.checkout("main")
        manager.delete_branch("side")
        store = manager.store
        assert isinstance(store, SqliteStore)
        free = history.cut(side.history, 1, side.length)
        ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        size = path.stat().st_size
        give_up(store, free, erase=False)
        assert ask(path, "SELECT count(*), sum(stop - start) FROM gap, (SELECT count(*) AS n FROM message)") == [
            (1, 20_000)
        ]
        assert ask(path, "SELECT count(*) FROM message") == [(1,)]
        assert ask(path, "PRAGMA freelist_count")[0][0] * 4096 > size // 2
        manager.add_messages(say(*(f"again {n} " + "x" * 400 for n in range(15_000))))
        ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size < size * 1.1  # the pages are used again
        assert len(list(store.search(parse("again"), session_id=SESSION))) == 15_000
    check_file(path)


def test_a_gc_leaves_next_to_nothing_in_free_pages(tmp_path: Path) -> None:
    """Only a purge makes sure."""
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.fork("Gone")
        manager.add_messages(say(*(f"xyzzy {n}" for n in range(2000))))
        manager.checkout("main")
        manager.delete_branch("gone")
        manager.gc(keep=timedelta())
        store = manager.store
        assert isinstance(store, SqliteStore)
        [connection] = store._connections._idle
        assert connection.pragma("secure_delete") == 0
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        connection.close()
    assert path.read_bytes().count(b"xyzzy") < 20


def test_neighbouring_gaps_are_one(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"{n}" for n in range(20))))
        manager.search("none")
        store = manager.store
        assert isinstance(store, SqliteStore)
        [(segment, _, _)] = store.load(SESSION).branches["main"].history
        for begin, stop, gaps in (
            (4, 6, [(4, 6)]),
            (8, 10, [(4, 6), (8, 10)]),
            (6, 7, [(4, 7), (8, 10)]),
            (7, 8, [(4, 10)]),
            (12, 14, [(4, 10), (12, 14)]),
            (2, 15, [(2, 15)]),
            (19, 20, [(2, 15), (19, 20)]),
        ):
            give_up(store, (Piece(segment, begin, stop),), erase=False)
            assert ask(path, "SELECT start, stop FROM gap ORDER BY start") == gaps
            check_file(path)
        give_up(store, (Piece(segment, 15, 17),))
        give_up(store, (Piece(segment, 0, 1),))
        give_up(store, (Piece(segment, 14, 18),))  # dropped, erased, there
        check_file(path)
        assert ask(path, "SELECT start, stop FROM gap ORDER BY start") == [(0, 1), (2, 15), (15, 18), (19, 20)]
        assert texts(manager) == ["1", "18"]
        manager.add_messages(say("new"))
        assert texts(manager) == ["1", "18", "new"]
    check_file(path)


def test_the_chain_goes_on_over_a_gap_when_messages_are_laid_before_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        store = manager.store
        assert isinstance(store, SqliteStore)
        runs = ((Piece("theirs", 0, 2), lines("a", "b")), (Piece("theirs", 6, 12), lines(*"cdefgh")))
        store.commit(SESSION, Graft(runs=runs))
        give_up(store, (Piece("theirs", 8, 10),), erase=False)
        check_file(path)
        store.commit(SESSION, Graft(runs=((Piece("theirs", 3, 5), lines("x", "y")),)))
        assert ask(path, "SELECT start, stop FROM gap ORDER BY start") == [(2, 3), (5, 6), (8, 10)]
        check_file(path)
        assert [each.severity for each in store.verify(SESSION)] == ["note"]


def test_what_was_dropped_is_not_found_and_the_rest_is_found_without_being_read_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"word {n}" for n in range(100))))
        manager.search("word")
        store = manager.store
        assert isinstance(store, SqliteStore)
        [(segment, _, _)] = store.load(SESSION).branches["main"].history
        give_up(store, (Piece(segment, 10, 20), Piece(segment, 99, 100)), erase=False)
        assert ask(path, "SELECT start, stop FROM search_run ORDER BY start") == [(0, 10), (20, 99)]
        assert [each.position for each in store.search(parse("word"), session_id=SESSION)] == [  # type: ignore[union-attr]
            *range(98, 19, -1),
            *range(9, -1, -1),
        ]
        manager.add_messages(say("word new"))
        assert len(list(store.search(parse("word"), session_id=SESSION))) == 90
        assert len(list(store.search(parse("15"), session_id=SESSION))) == 0
    check_file(path)


def test_others_read_and_write_while_a_gc_goes_on(tmp_path: Path) -> None:
    """Whoever holds a branch reads all of it at any moment; what is appended meanwhile is kept."""
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"kept {n}" for n in range(50))))
        for n in range(6):
            manager.fork(f"b{n}")
            manager.add_messages(say(*(f"{n} {m}" for m in range(2000))))
            manager.checkout("main")
    gate = Gate()

    def write() -> None:
        gate.wait()
        with manager_of(path) as mine:
            for n in range(100):
                mine.store.commit(SESSION, Append(branch_id="main", messages=lines(f"new {n}")))

    def read() -> None:
        gate.wait()
        with manager_of(path) as mine:
            for _ in range(60):
                found = texts(mine, "main")
                assert found == [f"kept {n}" for n in range(50)] + [f"new {n}" for n in range(len(found) - 50)]
                mine.search("kept")

    def collect() -> None:
        gate.wait()
        store = SqliteStore(path, lock_timeout=WAIT)
        for n in range(6):
            record = store.load(SESSION).branches[f"b{n}"]
            with suppress(InvalidRequestError):
                store.commit(SESSION, changes.change("gc", free=history.cut(record.history, 0, 60)))
                raise AssertionError("branches hold that")
            own = history.cut(record.history, 50, record.length)
            give_up(store, own, erase=n == 3)

    children = [start(write), start(read), start(collect)]
    gate.open()
    assert [status_of(child) for child in children] == [0, 0, 0]
    with manager_of(path) as manager:
        assert len(texts(manager, "main")) == 150
        assert [len(texts(manager, f"b{n}")) for n in range(6)] == [50] * 6
    check_file(path)
