"""The rows are what ``schema`` says; damage is met where it is and hides nothing else; what a connection remembers of a
branch is dropped when somebody else has written."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import pytest
from sqlite_store_kit import (
    SESSION,
    WAIT,
    ask,
    check_file,
    digest,
    each,
    enter,
    in_child,
    lines,
    raw,
    say,
    start,
    status_of,
    texts,
)

from bough import codec
from bough.changes import change, put_again, put_new
from bough.errors import (
    BoughError,
    BranchMovedError,
    BranchNotFoundError,
    CorruptBranchError,
    SessionLockedError,
    SessionNotFoundError,
)
from bough.manager import ConversationBranchManager
from bough.model import Append, Graft, Piece
from bough.search import parse
from bough.stores.sqlite import SqliteStore, rows


def append(store: SqliteStore, *said: str, branch: str = "main", session: str = SESSION) -> object:
    return store.commit(session, Append(branch_id=branch, messages=lines(*said)))


def read(store: SqliteStore, branch: str = "main", session: str = SESSION) -> list[str]:
    record = store.load(session).branches[branch]
    return [message["content"] for message in store.read(session, record.history)]


def begun(path: Path, *said: str, session: str = SESSION) -> SqliteStore:
    store = SqliteStore(path, durability="lazy", lock_timeout=WAIT)
    manager = ConversationBranchManager(session, store=store)
    if said:
        manager.add_messages(say(*said))
    return store


# -- rows ------------------------------------------------------------------------------------------------------------


def test_digests_and_chain_are_what_the_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = begun(path, "one", "two")
    append(store, "three")
    found = ask(path, "SELECT position, salt, digest, CAST(payload AS BLOB) FROM message ORDER BY position")
    assert [row[0] for row in found] == [0, 1, 2]
    assert [row[3] for row in found] == lines("one", "two", "three")
    chain = b""
    for _, salt, held, payload in found:
        assert len(salt) == len(held) == 16
        assert held == blake2b(payload, digest_size=16, salt=salt).digest() == digest(payload, salt)
        chain = blake2b(chain + held, digest_size=16).digest()
    assert len({salt for _, salt, _, _ in found}) == 3
    assert ask(path, "SELECT next, chain FROM segment") == [(3, chain)]
    store.close()


def test_a_chain_goes_over_what_is_there_however_it_came(tmp_path: Path) -> None:
    """Grafts in any order, with gaps and overlaps, give the chain that one in order gives."""
    whole = [f"message {n}".encode() for n in range(60)]
    payloads = [codec.encode({"content": text.decode()}) for text in whole]
    for seed in range(8):
        path = tmp_path / f"{seed}.db"
        chance = random.Random(seed)
        store = SqliteStore(path, durability="lazy")
        store.commit(SESSION, change("init", put_new("main", "Main"), head="main"))
        held: set[int] = set()
        for _ in range(12):
            start_ = chance.randrange(60)
            stop = min(60, start_ + chance.randrange(1, 12))
            store.commit(SESSION, Graft(runs=((Piece("theirs", start_, stop), payloads[start_:stop]),)))
            held |= set(range(start_, stop))
            if chance.random() < 0.3:
                list(store.search(parse("message"), session_id=SESSION))
        assert ask(path, "SELECT position FROM message ORDER BY 1") == [(n,) for n in sorted(held)]
        check_file(path)
        first = min(held)
        with pytest.raises(CorruptBranchError):
            store.commit(SESSION, Graft(runs=((Piece("theirs", first, first + 1), [b"{}"]),)))
        store.close()
        check_file(path)


def test_times_are_whole_milliseconds_from_one_end_to_the_other() -> None:
    chance = random.Random(1)
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    span = (last - first) // timedelta(milliseconds=1)
    moments = [first, last, *(first + timedelta(milliseconds=chance.randrange(span)) for _ in range(5000))]
    near = datetime(2026, 1, 1, tzinfo=UTC)
    moments += [near + timedelta(milliseconds=n) for n in range(3000)]
    for moment in moments:
        assert rows.moment(rows.milliseconds(moment)) == moment


def test_a_position_is_not_given_out_again_by_anybody(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store, other = begun(path, "one", "two", "three"), SqliteStore(path)
    record = store.load(SESSION).branches["main"]
    other.commit(SESSION, change("set", put_again(record, history=record.history[:0])))
    append(store, "four")
    assert read(other) == ["four"]
    assert other.load(SESSION).branches["main"].history == (Piece(record.tip.segment, 3, 4),)
    check_file(path)


# -- what a connection remembers -------------------------------------------------------------------------------------


def set_shorter(other: SqliteStore) -> None:
    record = other.load(SESSION).branches["main"]
    other.commit(SESSION, change("set", put_again(record, history=(Piece(record.tip.segment, 0, 1),))))


MEANWHILE: dict[str, tuple[Callable[[SqliteStore], object], list[str] | type[BoughError]]] = {
    "nothing": (lambda other: None, ["one", "two", "mine"]),
    "append": (lambda other: append(other, "theirs"), ["one", "two", "theirs", "mine"]),
    "set": (set_shorter, ["one", "mine"]),
    "rename": (
        lambda other: ConversationBranchManager(SESSION, store=other).rename_branch("main", "New"),
        ["one", "two", "mine"],
    ),
    "search": (lambda other: list(other.search(parse("one"))), ["one", "two", "mine"]),
    "moved": (lambda other: other.move(SESSION, "elsewhere"), BranchNotFoundError),
    "deleted": (lambda other: other.move(SESSION, None), BranchNotFoundError),
    "moved, and a new one": (
        lambda other: (other.move(SESSION, "elsewhere"), ConversationBranchManager(SESSION, store=other)),
        ["mine"],
    ),
    "deleted and brought back": (lambda other: other.move(other.move(SESSION, None), SESSION), ["one", "two", "mine"]),
}


@pytest.mark.parametrize("where", ["same store", "another store", "another process"])
@pytest.mark.parametrize("case", MEANWHILE)
def test_an_append_goes_to_the_branch_as_it_is_by_then(tmp_path: Path, case: str, where: str) -> None:
    path = tmp_path / "store.db"
    store = begun(path, "one", "two")
    meanwhile, expected = MEANWHILE[case]
    if where == "same store":
        meanwhile(store)
    elif where == "another store":
        meanwhile(SqliteStore(path))
    else:  # a fork closes the connections of this process, so the other one is there first
        go, gone = os.pipe()
        done, finished = os.pipe()

        def work() -> None:
            os.close(gone)
            os.read(go, 1)
            meanwhile(SqliteStore(path))
            os.write(finished, b"x")

        child = start(work)
        os.close(go)
        os.close(finished)
        append(store, "two")
        set_shorter(store)
        append(store, "two")
        os.close(gone)
        os.read(done, 1)
        os.close(done)
        assert status_of(child) == 0
    if isinstance(expected, list):
        append(store, "mine")
        assert read(store) == expected
        assert read(SqliteStore(path)) == expected
    else:
        with pytest.raises(expected):
            append(store, "mine")
    check_file(path)


def test_a_refused_or_failed_append_leaves_nothing_remembered(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = begun(path, "one")
    append(store, "two")
    connection = store._connections._idle[0]
    connection.pragma("max_page_count", connection.pragma("page_count"))
    with pytest.raises(BoughError):
        append(store, "x" * 100_000)
    connection.pragma("max_page_count", 1 << 30)
    append(store, "three")
    assert read(store) == ["one", "two", "three"]
    check_file(path)


def test_what_is_remembered_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, durability="lazy")
    for n in range(1500):
        store.commit(f"s{n}", change("init", put_new("main", "Main"), head="main"))
    for n in range(1500):
        append(store, "x", session=f"s{n}")
    assert sum(len(connection.known) for connection in store._connections._idle) <= 1001
    store.close()


# -- damage ----------------------------------------------------------------------------------------------------------


def damaged(path: Path, sql: str) -> None:
    with raw(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(sql)
        assert connection.changes() == 1


@pytest.mark.parametrize(
    "payload", ["'{\"role\"'", "CAST(x'7bff7d' AS TEXT)", "''", "'[]'", "'{},{}'", "NULL", "'{\"n\":NaN}'"]
)
def test_a_damaged_message_is_named_and_hides_no_other(tmp_path: Path, payload: str) -> None:
    path = tmp_path / "store.db"
    store = begun(path, *(f"word {n}" for n in range(20)))
    manager = ConversationBranchManager(SESSION, store=store)
    manager.create_branch("whole", "Whole", "main", 5)
    segment = store.load(SESSION).branches["main"].tip.segment
    damaged(path, f"UPDATE message SET payload = {payload} WHERE position = 7")  # noqa: S608
    with pytest.raises(CorruptBranchError) as caught:
        manager.get_messages()
    assert segment in caught.value.place
    assert str(path) in caught.value.place
    assert texts(manager, "whole") == [f"word {n}" for n in range(5)]
    append(store, "word 20")
    for _ in range(2):
        hits = manager.search("word", limit=None)
        assert len(hits) == 20
        assert len(hits.findings) >= 1
    manager.fork_from_message("Before", 7)
    assert texts(manager) == [f"word {n}" for n in range(7)]
    store.close()


@pytest.mark.parametrize(
    "change_",
    [
        "name = CAST(x'ff' AS TEXT)",
        "history = '[[[['",
        "history = CAST(x'5bff5d' AS TEXT)",
        "history = '[[1,2,3]]'",
        "tip = 99",
        "created_at = 1 << 62",
        "created_at = -(1 << 62)",
        "metadata = '{'",
        "metadata = CAST(x'ff' AS TEXT)",
        "extra = '{'",
        "parent_id = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_damaged_branch_is_a_finding_and_is_not_written_over(tmp_path: Path, change_: str) -> None:
    path = tmp_path / "store.db"
    store = begun(path, "word one")
    manager = ConversationBranchManager(SESSION, store=store)
    manager.create_branch("side", "Side", "main")
    damaged(path, f"UPDATE branch SET {change_} WHERE id = 'side'")  # noqa: S608
    before = ask(path, "SELECT * FROM branch WHERE id = 'side' AND name IS NOT NULL") if "ff" not in change_ else None
    [finding] = store.load(SESSION).findings
    assert (finding.branch_id, set(store.load(SESSION).branches)) == ("side", {"main"})
    assert "side" in finding.place
    for act in each(
        lambda: store.load(SESSION, only=["side"]),
        lambda: manager.checkout("side"),
        lambda: append(store, "x", branch="side"),
        lambda: store.commit(SESSION, change("create", put_new("side", "Again"))),
    ):
        with pytest.raises(CorruptBranchError) as caught:
            act()
        assert caught.value.branch_id == "side"
    manager.add_messages(say("word two"))
    assert texts(manager) == ["word one", "word two"]
    manager.create_branch("other", "Other", "main")
    hits = manager.search("word")
    assert len(hits) == 2
    assert len(hits.findings) == 1
    if before is not None:
        assert ask(path, "SELECT * FROM branch WHERE id = 'side' AND name IS NOT NULL") == before
    store.close()


@pytest.mark.parametrize(
    "change_",
    ["branches = '['", "branches = CAST(x'ff' AS TEXT)", "kind = CAST(x'ff' AS TEXT)", "at = 1 << 62", "detail = '{'"],
)
def test_a_damaged_operation_is_named_and_those_after_it_are_read(tmp_path: Path, change_: str) -> None:
    path = tmp_path / "store.db"
    store = begun(path, "one")
    manager = ConversationBranchManager(SESSION, store=store)
    for n in range(5):
        manager.create_branch(f"b{n}", f"B {n}")
    damaged(path, f"UPDATE operation SET {change_} WHERE number = 3")  # noqa: S608
    operations = store.operations(SESSION)
    assert [next(operations).number for _ in range(3)] == [6, 5, 4]
    with pytest.raises(CorruptBranchError, match="operation 3"):
        next(operations)
    manager.undo()
    assert len(manager.get_all_branches()) == 5
    store.close()


# -- the lock --------------------------------------------------------------------------------------------------------


def test_the_lock_keeps_others_out(tmp_path: Path) -> None:
    """Threads, other stores on the file, other processes. Another session goes on, and so do the holder's commits."""
    path = tmp_path / "store.db"
    store = begun(path, "one")
    begun(path, session="other").close()
    other = SqliteStore(path, lock_timeout=0.05)

    def intrude(by: SqliteStore) -> None:
        for act in each(
            lambda: append(by, "no"),
            lambda: by.commit(SESSION, change("create", put_new("side", "Side"))),
            lambda: by.move(SESSION, None),
            lambda: enter(by),
        ):
            with pytest.raises(SessionLockedError) as caught:
                act()
            assert caught.value.holder is not None
            assert caught.value.holder.pid == holder
        append(by, "yes", session="other")
        assert read(by) == ["one", "two"]

    holder = os.getpid()
    with store.lock(SESSION):
        append(store, "two")
        errors: list[BaseException] = []
        for by in (other, SqliteStore(path, lock_timeout=0.05)):
            thread = threading.Thread(target=lambda: _noted(errors, lambda: intrude(by)))  # noqa: B023
            thread.start()
            thread.join(WAIT)
        assert errors == []
        assert in_child(lambda: intrude(SqliteStore(path, lock_timeout=0.05))) == 0
        with store.lock(SESSION), other.lock(SESSION):
            append(other, "three")
        append(store, "four")
        with pytest.raises(SessionLockedError):
            _in_thread(lambda: append(other, "no"))
    append(other, "five")
    assert read(store) == ["one", "two", "three", "four", "five"]
    with pytest.raises(SessionNotFoundError), store.lock("absent"):
        pass
    store.close()


def _noted(errors: list[BaseException], work: Callable[[], object]) -> None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001  (looked at by the test)
        errors.append(error)


def _in_thread(work: Callable[[], object]) -> None:
    errors: list[BaseException] = []
    thread = threading.Thread(target=lambda: _noted(errors, work))
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_a_holder_that_is_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = begun(path, "one")
    reader, writer = os.pipe()

    def hold() -> None:
        mine = SqliteStore(path)
        with mine.lock(SESSION):
            append(mine, "two")
            os.write(writer, b"x")
            signal.pause()

    holder = start(hold)
    assert os.read(reader, 1) == b"x"
    with pytest.raises(SessionLockedError):
        append(SqliteStore(path, lock_timeout=0), "no")
    os.kill(holder, signal.SIGKILL)
    assert status_of(holder) == -signal.SIGKILL
    append(SqliteStore(path, lock_timeout=5.0), "three")
    assert read(store) == ["one", "two", "three"]
    os.close(reader)
    os.close(writer)
    check_file(path)


def test_no_commit_of_another_slips_in_while_the_lock_is_held(tmp_path: Path) -> None:
    """Writers at work all the time; what the holder sees on entry is what it sees until it leaves."""
    path = tmp_path / "store.db"
    store = begun(path)
    done = threading.Event()
    errors: list[BaseException] = []
    stop, stopped = os.pipe()

    def write(mine: SqliteStore, ended: Callable[[], bool]) -> None:
        while not ended():
            append(mine, "x")

    def of_process() -> None:
        os.close(stopped)
        os.set_blocking(stop, False)

        def ended() -> bool:
            try:
                return os.read(stop, 1) == b""
            except BlockingIOError:
                return False

        write(SqliteStore(path, durability="lazy", lock_timeout=WAIT), ended)

    child = start(of_process)
    os.close(stop)
    stores = [store, SqliteStore(path, durability="lazy", lock_timeout=WAIT)]
    threads = [
        threading.Thread(target=lambda each=each: _noted(errors, lambda: write(each, done.is_set)), daemon=True)
        for each in stores
    ]
    for thread in threads:
        thread.start()
    grown = set()
    holder = SqliteStore(path, durability="lazy", lock_timeout=WAIT)
    for _ in range(40):
        with holder.lock(SESSION):
            before = holder.load(SESSION)
            for n in range(3):
                append(holder, "mine")
                assert holder.load(SESSION).branches["main"].length == before.branches["main"].length + n + 1
        grown.add(before.branches["main"].length)
    done.set()
    os.close(stopped)
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert errors == []
    assert status_of(child) == 0
    assert len(grown) > 1
    check_file(path)


def test_a_put_is_checked_against_what_is_there_not_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store, other = begun(path, "one"), SqliteStore(path)
    record = store.load(SESSION).branches["main"]
    append(other, "two")
    with pytest.raises(BranchMovedError):
        store.commit(SESSION, change("rename", put_again(record, name="Lost")))
    assert read(store) == ["one", "two"]
