"""What a verb costs does not depend on how long the conversation is.

Counted, not timed: statements, steps of SQLite's virtual machine, and pages that the write-ahead log grows by.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest
from sqlite_store_kit import SESSION, ask, check_file, raw, say

from bough.changes import change, put_again
from bough.errors import InvalidRequestError
from bough.history import concat, cut
from bough.manager import ConversationBranchManager
from bough.model import Append, BranchRecord, Graft, History, Piece, Put, Tip, replace
from bough.search import parse
from bough.stores.sqlite import (
    SqliteStore,
    erasing,
    gaps,
    grafts,
    reading,
    search,
    store,
    verify,
    verify_segment,
    writing,
)

FRAME = 24 + 4096


class Cost(NamedTuple):
    statements: int
    steps: int
    pages: int


@contextmanager
def counted(at: SqliteStore, path: Path) -> Iterator[list[Cost]]:
    """What the store's one connection does within; the list has one entry afterwards."""
    [connection] = at._connections._idle
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    counts = [0, 0]

    def note(event: dict[str, object]) -> None:
        status = event["stmt_status"]
        assert isinstance(status, dict)
        counts[0] += 1
        counts[1] += status["SQLITE_STMTSTATUS_VM_STEP"]

    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)
    costs: list[Cost] = []
    try:
        yield costs
    finally:
        connection.trace_v2(0)
    assert at._connections._idle == [connection]
    size = os.stat(f"{path}-wal").st_size
    costs.append(Cost(counts[0], counts[1], max(size - 32, 0) // FRAME))


def measure(path: Path, messages: int, pieces: int) -> dict[str, Cost]:
    """The costs of each verb on a branch of so many messages in so many pieces."""
    at = SqliteStore(path, durability="lazy")
    manager = ConversationBranchManager(SESSION, store=at)
    manager.create_branch("source", "Source")
    each = messages // pieces
    total = 0
    for n in range(pieces):
        manager.checkout("source")
        manager.add_messages(say(*(f"{n} {m}" for m in range(each))))
        if n % 2 == 0 or pieces == 1:
            manager.checkout("main")
            manager.merge("source")
        else:
            manager.checkout("main")
            manager.add_messages(say(*(f"main {n} {m}" for m in range(each))))
        total += each
    if pieces > 1:
        assert len(at.load(SESSION).branches["main"].history) > pieces // 2
    manager.create_branch("small", "Small")
    manager.checkout("small")
    manager.add_messages(say("small"))
    manager.checkout("main")
    line = [b'{"role":"user","content":"new"}']

    def forget_and_append() -> None:
        at._connections._idle[0].known.clear()
        at.commit(SESSION, Append(branch_id="main", messages=line))

    verbs: dict[str, Callable[[], object]] = {
        "append": lambda: at.commit(SESSION, Append(branch_id="main", messages=line)),
        "append by another": forget_and_append,
        "tail": lambda: (
            at.read(SESSION, (at.load(SESSION, only=["main"]).branches["main"].history[-1],)[:1])
            if pieces > 1
            else at.read(SESSION, (last_of(at),))
        ),
        "load": lambda: at.load(SESSION, only=["main"]),
        "fork": lambda: manager.fork("Forked"),
        "checkout": lambda: manager.checkout("main"),
        "merge": lambda: manager.merge("small"),
        "undo": manager.undo,
        "rename": lambda: manager.rename_branch("forked", "Renamed"),
        "delete": lambda: manager.delete_branch("forked"),
        "operations": lambda: next(at.operations(SESSION)),
        "reset": lambda: put(at, lambda record: cut(record.history, 0, record.length - 1)),
        "cherry-pick": lambda: put(at, lambda record: concat(record.history, tip_of(at, "small"))),
        "edit": lambda: put(
            at, lambda record: concat(cut(record.history, 0, 1), cut(record.history, 2, record.length))
        ),
        "graft": lambda: lay(at),
        "gc": lambda: drop_last(at),
    }
    costs = {}
    for name, verb in verbs.items():
        found: list[Cost] = []
        for _ in range(7 if "append" in name else 1):  # now and then one of them finds a page full
            with counted(at, path) as seen:
                verb()
            found += seen
        costs[name] = min(found)
    at.close()
    return costs


def put(at: SqliteStore, history: Callable[[BranchRecord], History]) -> None:
    record = at.load(SESSION, only=["main"]).branches["main"]
    at.commit(SESSION, change("set", put_again(record, history=history(record))))


def lay(at: SqliteStore) -> None:
    """A branch that is brought with all of main's history."""
    record = at.load(SESSION, only=["main"]).branches["main"]
    new = replace(record, id="laid", tip=Tip("laid", 0), history=cut(record.history, 0, record.length - 1))
    at.commit(SESSION, Graft(puts=(Put(record=new, expected=None),)))


def drop_last(at: SqliteStore) -> None:
    """A gc that finds nothing to drop, but looks at every branch."""
    with pytest.raises(InvalidRequestError):
        at.commit(SESSION, change("gc", free=(last_of(at),)))


def tip_of(at: SqliteStore, branch_id: str) -> History:
    return at.load(SESSION, only=[branch_id]).branches[branch_id].history[-1:]


def last_of(at: SqliteStore) -> Piece:
    segment, _, stop = at.load(SESSION, only=["main"]).branches["main"].history[-1]
    return Piece(segment, stop - 1, stop)


@pytest.mark.parametrize("many", [100_000, pytest.param(1_000_000, marks=pytest.mark.torture)])
def test_no_verb_costs_more_in_a_long_conversation(tmp_path: Path, many: int) -> None:
    """10 messages against very many; pages may be one or two more, for trees that are a level higher."""
    short, long = (measure(tmp_path / f"{count}.db", count, 1) for count in (10, many))
    for verb, cost in short.items():
        assert long[verb].statements == cost.statements, verb
        assert long[verb].steps <= cost.steps + 12, verb
        assert long[verb].pages <= cost.pages + 3, verb
    assert short["append"].statements <= 4  # BEGIN, INSERT, UPDATE, COMMIT
    assert long["append"].steps < 200
    assert long["append"].pages <= 4


def test_an_append_to_a_branch_of_300_pieces_costs_what_one_to_a_single_piece_costs(tmp_path: Path) -> None:
    one, many = measure(tmp_path / "1.db", 300, 1), measure(tmp_path / "300.db", 300, 300)
    for verb in ("append", "append by another"):
        assert many[verb].statements == one[verb].statements, verb
        assert many[verb].steps <= one[verb].steps + 12, verb
    assert many["append"].pages <= one["append"].pages + 1


def test_a_fork_takes_less_than_a_kilobyte(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    at = SqliteStore(path, durability="lazy")
    manager = ConversationBranchManager(SESSION, store=at)
    manager.add_messages(say(*(f"{n}" for n in range(1000))))

    def size() -> int:
        ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size

    before = size()
    for n in range(1000):
        manager.checkout("main")
        manager.fork_from_message(f"fork {n}", n)
    grown = size() - before
    for n in range(1000):
        manager.checkout("main")
        manager.checkout(f"fork-{n}")
    switches = size() - before - grown
    assert grown - switches // 2 < 1000 * 1024  # each round had a switch as well
    at.close()
    check_file(path)


def test_an_append_touches_no_branch_no_operation_and_no_index(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    at = SqliteStore(path)
    manager = ConversationBranchManager(SESSION, store=at)
    manager.add_messages(say("word"))
    manager.search("word")
    others = ("branch", "operation", "session", "search_run", "search_state", "search_index_data")
    before = {name: ask(path, f"SELECT * FROM {name}") for name in others}  # noqa: S608
    manager.add_messages(say("word", "word"))
    assert {name: ask(path, f"SELECT * FROM {name}") for name in others} == before  # noqa: S608
    assert ask(path, "SELECT count(*) FROM message") == [(3,)]
    at.close()


CONSTANTS = sorted(
    {
        (f"{module.__name__.rpartition('.')[2]}.{name}", value % "AND b.id IN (?)" if "%s" in value else value)
        for module in (erasing, gaps, grafts, reading, store, search, verify, verify_segment, writing)
        for name, value in vars(module).items()
        if isinstance(value, str) and re.match(r"(SELECT|INSERT|UPDATE|DELETE) ", value)
    }
)


@pytest.mark.parametrize("name", [name for name, _ in CONSTANTS])
def test_no_statement_scans_a_table(tmp_path: Path, name: str) -> None:
    """But those that are about all sessions, which go through the sessions alone."""
    path = tmp_path / "store.db"
    at = SqliteStore(path)
    ConversationBranchManager(SESSION, store=at).add_messages(say("word"))
    list(at.search(parse("word")))
    at.close()
    with raw(path) as connection:
        sql = dict(CONSTANTS)[name]
        marks = re.findall(r"\?(\d*)", sql)
        bindings = [None] * max(len(marks) if "" in marks else 0, *(int(mark or 0) for mark in marks), 0)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
    scans = [step for step in plan if re.match(r"SCAN (?!CONSTANT|\()", step)]
    all_sessions = {
        "store._SESSIONS": ["s"],
        "search.SESSIONS": ["s"],
        "erasing._MARKED": ["session"],
        "verify._KEYS": ["session", "sqlite_sequence"],
    }
    assert [step.split()[1] for step in scans] == all_sessions.get(name, []), plan


def test_the_plans_are_of_all_statements_that_matter() -> None:
    assert len(CONSTANTS) >= 35
