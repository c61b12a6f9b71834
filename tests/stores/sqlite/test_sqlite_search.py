"""The full-text index: derived, brought up to date by a search and by nothing else, and never in anybody's way."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from sqlite_store_kit import SESSION, ask, check_file, in_child, manager_of, raw, say, start, status_of

from bough import codec, history
from bough.manager import ConversationBranchManager
from bough.model import BranchRecord, Finding, Graft, Piece, Put, Tip
from bough.search import TOKENIZER, Found, parse
from bough.stores.scan import scan
from bough.stores.sqlite import SqliteStore, search


def indexed(path: Path) -> int:
    return int(ask(path, "SELECT coalesce(sum(stop - start), 0) FROM search_run")[0][0])


def hits(store: SqliteStore, query: str = "word", session: str | None = SESSION) -> list[Found | Finding]:
    """What a search finds; and it is what reading everything finds."""
    found = list(store.search(parse(query), session_id=session))
    assert found == list(scan(store, parse(query), session, None))
    return found


def test_only_a_search_brings_the_index_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        store = manager.store
        assert isinstance(store, SqliteStore)
        manager.add_messages(say("word one", "word two"))
        manager.fork("Side")
        manager.add_messages(say("word three"))
        manager.undo()
        assert indexed(path) == 0
        assert len(hits(store)) == 3 - 1
        assert indexed(path) == 3  # what no branch holds may come back
        manager.add_messages(say(*(f"word {n}" for n in range(1200))))
        assert indexed(path) == 3
        assert len(hits(store)) == 1202
        assert indexed(path) == 1203
        assert ask(path, "SELECT count(*) FROM search_run WHERE stop - start > 1000") == [(1,)]
    check_file(path)


def test_sessions_are_indexed_when_they_are_searched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for name in ("a", "b", "c"):
        manager_of(path, name).add_messages(say(f"word {name}"))
    store = SqliteStore(path)
    assert len(hits(store, session="b")) == 1
    assert indexed(path) == 1
    search_all = store.search(parse("word"))
    next(search_all)
    assert indexed(path) == 2
    assert len(list(search_all)) == 2
    assert indexed(path) == 3
    store.close()


def test_an_index_of_other_rules_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for name in ("a", "b"):
        manager_of(path, name).add_messages(say("word one", "word two"))
    store = SqliteStore(path)
    assert len(list(store.search(parse("word")))) == 4
    with raw(path) as connection:  # as another version would have left it
        connection.execute("UPDATE search_state SET tokenizer = 'other'")
        connection.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")
        connection.execute(
            "INSERT INTO search_index (rowid, words) VALUES (1, 'nothing'), (2, 'of'), (3, 'ours'), (4, 'x')"
        )
    assert len(hits(store, session="a")) == 2
    assert ask(path, "SELECT * FROM search_state") == [(TOKENIZER,)]
    assert len(hits(store, session="b")) == 2
    assert indexed(path) == 4
    store.close()
    check_file(path)


def test_a_search_waits_for_no_writer_and_misses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say("word one"))
        store = manager.store
        assert isinstance(store, SqliteStore)
        hits(store)
        manager.add_messages(say("word two", "word three"))
        with raw(path) as writer:
            writer.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            assert len(hits(store)) == 3
            assert len(hits(SqliteStore(path, lock_timeout=30.0))) == 3
            assert time.monotonic() - began < 10
            assert indexed(path) == 1
            writer.execute("ROLLBACK")
        assert len(hits(store)) == 3
        assert indexed(path) == 3


def test_a_search_goes_past_the_holder_of_the_sessions_lock(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager = manager_of(path)
    manager.add_messages(say("word one"))
    with manager.lock():
        assert in_child(lambda: hits(SqliteStore(path, lock_timeout=0.1))) == 0
    assert indexed(path) == 1


def test_messages_that_come_below_the_mark_are_found(tmp_path: Path) -> None:
    """Grafts into gaps of a segment that is indexed already."""
    payloads = [codec.encode({"content": f"word {n}"}) for n in range(50)]
    for seed in range(6):
        path = tmp_path / f"{seed}.db"
        chance = random.Random(seed)
        store = SqliteStore(path, durability="lazy")
        ConversationBranchManager(SESSION, store=store).add_messages(say("word ours"))
        seen: set[int] = set()
        version = None
        at = codec.now()
        for _ in range(15):
            begin = chance.randrange(50)
            stop = min(50, begin + chance.randrange(1, 8))
            seen |= set(range(begin, stop))
            record = BranchRecord(
                id="theirs",
                name="Theirs",
                history=history.normalise(Piece("theirs", n, n + 1) for n in sorted(seen)),
                tip=Tip("tip", 0),
                created_at=at,
                updated_at=at,
                operation=1,
            )
            runs = ((Piece("theirs", begin, stop), payloads[begin:stop]),)
            version = (
                store.commit(SESSION, Graft(runs=runs, puts=(Put(record=record, expected=version),)))
                .branches["theirs"]
                .version
            )
            assert len(hits(store)) == 1 + len(seen)
        held = sorted(
            position
            for (position,) in ask(
                path, "SELECT position FROM message m JOIN segment g ON g.number = m.segment WHERE g.id = 'theirs'"
            )
        )
        with raw(path) as connection:
            covered = [
                n
                for begin, stop in connection.execute(
                    "SELECT start, stop FROM search_run r JOIN segment g ON g.number = r.segment WHERE g.id = 'theirs'"
                )
                for n in range(begin, stop)
            ]
        assert sorted(covered) == held
        pieces = tuple(Piece("theirs", n, n + 1) for n in held)
        known = store._reading(lambda connection: search.look(connection, parse("word"), SESSION), None)
        assert known is not None
        assert list(known.matches["theirs"]) == [piece.start for piece in pieces]
        store.close()
        check_file(path)


@pytest.mark.parametrize("at", [0, 3, 499, 500, 1199])
def test_a_message_that_cannot_be_read_is_a_finding_each_time(tmp_path: Path, at: int) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"word {n}" for n in range(1200))))
        with raw(path) as connection:
            connection.execute("UPDATE message SET payload = '{' WHERE position = ?", (at,))
        for _ in range(4):
            found = list(manager.store.search(parse("word"), session_id=SESSION))
            assert len([each for each in found if isinstance(each, Found)]) == 1199
            assert [type(each) for each in found if not isinstance(each, Found)] == [Finding]
        assert indexed(path) == 1199
        manager.add_messages(say("word last"))
        assert len(manager.search("word", limit=None)) == 1200


def test_a_damaged_index_is_a_finding_and_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"word {n}" for n in range(300))))
        assert len(manager.search("word", limit=None)) == 300
        with raw(path) as connection:
            connection.execute("UPDATE search_index_data SET block = zeroblob(length(block)) WHERE id > 10")
        found = SqliteStore(path)
        result = list(found.search(parse("word"), session_id=SESSION))
        assert len([each for each in result if isinstance(each, Found)]) == 300
        assert [each.place for each in result if isinstance(each, Finding)] == [f"{path}: the search index"]
        again = list(found.search(parse("word"), session_id=SESSION))
        assert len(again) == 300
        assert all(isinstance(each, Found) for each in again)
        found.close()
    check_file(path)


def test_killed_while_indexing(tmp_path: Path) -> None:
    """The index covers whole batches, and the next search finds everything."""
    path = tmp_path / "store.db"
    manager_of(path).add_messages(say(*(f"word {n}" for n in range(6000))))
    seen = set()
    for _ in range(12):
        reader, writer = os.pipe()

        def work() -> None:
            store = SqliteStore(path, durability="lazy")
            with raw(path) as connection:
                connection.execute("DELETE FROM search_state")
            os.write(writer, b"x")  # noqa: B023
            list(store.search(parse("word"), session_id=SESSION))

        child = start(work)
        os.close(writer)
        assert os.read(reader, 1)
        moment = time.monotonic_ns() + random.randrange(60_000_000)
        while time.monotonic_ns() < moment:
            pass
        os.kill(child, signal.SIGKILL)
        status_of(child)
        os.close(reader)
        seen.add(indexed(path))
        check_file(path)
    assert len(seen) > 1
    store = SqliteStore(path)
    assert len(list(store.search(parse("word"), session_id=SESSION))) == 6000
    assert indexed(path) == 6000
    store.close()
    check_file(path)


def test_processes_that_index_at_the_same_moment(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager_of(path).add_messages(say(*(f"word {n}" for n in range(3000))))

    def work() -> None:
        store = SqliteStore(path, durability="lazy")
        for _ in range(3):
            assert len(list(store.search(parse("word"), session_id=SESSION))) == 3000

    children = [start(work) for _ in range(4)]
    assert [status_of(child) for child in children] == [0] * 4
    assert indexed(path) == 3000
    check_file(path)


def test_many_messages_that_cannot_be_read_do_not_hold_the_index_up(tmp_path: Path) -> None:
    """More of them than are indexed at a time, at the beginning, and one at the end."""
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say(*(f"word {n}" for n in range(1700))))
    with raw(path) as connection:
        connection.execute("UPDATE message SET payload = '{broken' WHERE position < 600 OR position = 1699")
    store = SqliteStore(path)
    found = list(store.search(parse("word"), session_id=SESSION))
    assert len([each for each in found if isinstance(each, Found)]) == 1099
    assert ask(path, "SELECT start, stop FROM search_run") == [(600, 1699)]
    assert ask(path, "SELECT upto FROM search_mark") == [(1700,)]
    assert not store._reading(lambda connection: search.is_behind(connection, SESSION), True)
    assert list(store.search(parse("word"), session_id=SESSION)) == found
    store.close()
