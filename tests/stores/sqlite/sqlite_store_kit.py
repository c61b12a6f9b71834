"""What the tests of the SQLite store share: children that really end, raw looks at the file, and a check of the whole.

A look into the file from outside goes through a connection of its own: reading the file with ``open`` and closing it
would drop the locks that SQLite holds in this process.
"""

from __future__ import annotations

import os
import select
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import apsw

from bough.codec import encode
from bough.history import length, subtract, union
from bough.manager import ConversationBranchManager
from bough.model import Message
from bough.stores.base import Durability
from bough.stores.sqlite import SqliteStore

SESSION = "talk"
WAIT = 60.0
"""Seconds after which something that should have ended counts as stuck."""


def say(*texts: str) -> list[Message]:
    return [{"role": "user", "content": text} for text in texts]


def lines(*texts: str) -> list[bytes]:
    return [encode(message) for message in say(*texts)]


def manager_of(
    path: Path, session: str = SESSION, *, durability: Durability = "lazy", lock_timeout: float = 60.0
) -> ConversationBranchManager:
    """A manager with a store of its own, as another process would have it."""
    store = SqliteStore(path, durability=durability, lock_timeout=lock_timeout)
    return ConversationBranchManager(session, store=store)


def texts(manager: ConversationBranchManager, branch_id: str | None = None) -> list[str]:
    return [message["content"] for message in manager.get_messages(branch_id)]


def enter(store: SqliteStore, session: str = SESSION) -> None:
    """Takes the lock of a session, and lets it go."""
    with store.lock(session):
        pass


def each(*acts: Callable[[], object]) -> tuple[Callable[[], object], ...]:
    return acts


# -- processes -------------------------------------------------------------------------------------------------------


def fork() -> int:
    """``os.fork``, whatever threads the test runner has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def start(work: Callable[[], object]) -> int:
    """The process id of a forked child that does ``work`` and exits with 0, or with 99 where that raised."""
    child = fork()
    if child == 0:
        status = 99
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    """The exit status of a child; minus the number of the signal that ended it. One that is stuck is an error."""
    watch = os.pidfd_open(child)
    try:
        if not select.select([watch], [], [], WAIT)[0]:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise AssertionError("the child is stuck")
    finally:
        os.close(watch)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], object]) -> int:
    return status_of(start(work))


class Gate:
    """Opens once, for all processes that wait for it: a pipe whose writing end is closed."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def wait(self) -> None:
        """For children: what they inherited of the other end is closed first."""
        os.close(self._writer)
        os.read(self._reader, 1)

    def open(self) -> None:
        os.close(self._writer)
        os.close(self._reader)


# -- the file --------------------------------------------------------------------------------------------------------


@contextmanager
def raw(path: Path) -> Iterator[apsw.Connection]:
    """A connection of a stranger."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(60_000)
    try:
        yield connection
    finally:
        connection.close()


def ask(path: Path, sql: str, *bindings: Any) -> list[Any]:
    with raw(path) as connection:
        return connection.execute(sql, bindings).fetchall()


def digest(line: bytes, salt: bytes) -> bytes:
    return blake2b(line, digest_size=16, salt=salt).digest()


def ends_and_chains(rows: Callable[[str], list[Any]]) -> tuple[dict[Any, int], dict[Any, bytes]]:
    """Where each segment that has messages or gaps ends, and the chain there; everything before is looked at."""
    gaps: dict[tuple[int, int], list[Any]] = {}
    for session, segment, *gap in rows(
        "SELECT session, segment, start, stop, chain_before, chain_after FROM gap ORDER BY 1, 2, 3"
    ):
        gaps.setdefault((session, segment), []).append(gap)
    logs: dict[tuple[int, int], dict[int, Any]] = {}
    for session, segment, position, *row in rows(
        "SELECT session, segment, position, salt, digest, CAST(payload AS BLOB) FROM message ORDER BY 1, 2, 3"
    ):
        logs.setdefault((session, segment), {})[position] = row
    chains: dict[tuple[int, int], bytes] = {}
    ends: dict[tuple[int, int], int] = {}
    for place in gaps.keys() | logs.keys():
        log, chain, at = logs.get(place, {}), b"", 0
        for start, stop, before, after in [*gaps.get(place, []), (1 << 40, 1 << 40, None, None)]:
            assert at <= start <= stop
            for position in sorted(each for each in log if at <= each < start):
                salt, found, payload = log[position]
                assert (position, found) == (at, digest(payload, salt))
                chain, at = blake2b(chain + found, digest_size=16).digest(), at + 1
            assert at == start or start == 1 << 40, (place, at, start)
            for position in sorted(each for each in log if start <= each < stop):
                assert (before, log[position][0], log[position][2]) == (None, None, None)
                chain = blake2b(chain + log[position][1], digest_size=16).digest()
            if before is not None:
                assert chain == before
                chain = after
            at = stop if start < 1 << 40 else at
        chains[place], ends[place] = chain, at
    return ends, chains


def check_file(path: Path) -> None:
    """All that must hold of a file whatever happened to it: SQLite's own rules, and those of ``schema``.

    Digests and chains are right; a segment goes on behind its last message or gap; each position below that is there or
    in one gap; what a branch or an operation refers to is there, or was given up; operations are numbered from 1, none
    is left out; index runs lie within their segment and cover a row each. ``verify`` finds nothing.
    """
    with raw(path) as connection:

        def rows(sql: str) -> list[Any]:
            return connection.execute(sql).fetchall()

        assert rows("PRAGMA integrity_check") == [("ok",)]
        ends, chains = ends_and_chains(rows)
        segments = {
            (session, number): (id_, following, chain)
            for session, number, id_, following, chain in rows("SELECT session, number, id, next, chain FROM segment")
        }
        assert {place: (ends.get(place, 0), chains.get(place, b"")) for place in segments} == {
            place: (following, chain) for place, (_, following, chain) in segments.items()
        }
        assert ends.keys() <= segments.keys()
        numbers: dict[int, list[int]] = {}
        for session, number in rows("SELECT session, number FROM operation ORDER BY 1, 2"):
            numbers.setdefault(session, []).append(number)
        for found in numbers.values():
            assert found == list(range(1, len(found) + 1))
        sessions = {key for (key,) in rows("SELECT key FROM session")}
        assert {session for session, _ in segments} <= sessions
        assert {session for (session,) in rows("SELECT DISTINCT session FROM branch")} <= numbers.keys()
        indexed = {row for (row,) in rows("SELECT rowid FROM search_index")}
        covered: list[int] = []
        for first, session, segment, at, stop in rows("SELECT * FROM search_run ORDER BY first"):
            assert 0 <= at < stop <= segments[session, segment][1]
            covered += range(first, first + stop - at)
        assert len(covered) == len(set(covered))
        assert set(covered) == indexed
        names = [id_ for (id_,) in rows("SELECT id FROM session WHERE deleted_at IS NULL")]
    store = SqliteStore(path)
    try:
        for name in names:
            state = store.load(name)
            assert state.findings == ()
            assert [finding for finding in store.verify(name) if finding.severity != "note"] == []
            for record in state.branches.values():
                assert len(store.read(name, record.history)) == record.length
            log = list(store.operations(name))
            freed = union(*(operation.freed for operation in log))
            for operation in log:
                for change in operation.branches:
                    for side in (change.before, change.after):
                        kept = subtract(side.history, freed) if side else ()
                        assert len(store.read(name, kept)) == length(kept)
    finally:
        store.close()
