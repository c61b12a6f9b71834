"""The full-text index: an FTS5 table of every message's :func:`~bough.search.terms`, without their text.

1. It is derived, and brought up to date when somebody searches, in short transactions; never inside an append. Who
   searches does not wait for a writer to do so: what is not in the index yet is read.
2. ``search_mark`` says how far it goes in a segment, and ``search_run`` what is in it: messages ``start`` to ``stop``
   have the rows from ``first`` on. One that cannot be read is in no run, so that each search comes upon it.
3. An index that was made by other rules (``search_state``) is not asked, and made anew.
4. What an index row means never changes while its run stands; :func:`forget` removes both. What was given up is in no
   run, and :func:`catch_up` passes over it.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import apsw

from bough import codec
from bough.model import BranchRecord, Finding, Piece
from bough.search import TOKENIZER, Found, Query, terms, text_of
from bough.stores.scan import newest_first, scan_piece
from bough.stores.sqlite.connections import Connection

if TYPE_CHECKING:
    from bough.stores.base import Store

BATCH = 500
"""How many messages are indexed in one transaction."""

SESSIONS = (
    "SELECT s.id FROM session s CROSS JOIN branch b ON b.session = s.key"
    " CROSS JOIN segment g ON g.session = s.key AND g.number = b.tip"
    " WHERE s.deleted_at IS NULL GROUP BY s.key ORDER BY max(g.updated_at) DESC, s.id"
)
"""All sessions in the order of a search."""

_KEY = "SELECT key FROM session WHERE id = ? AND deleted_at IS NULL"
_BEHIND = (
    "SELECT g.number, coalesce(m.upto, 0), g.next FROM segment g"
    " LEFT JOIN search_mark m ON m.session = g.session AND m.segment = g.number"
    " WHERE g.session = ? AND g.next > coalesce(m.upto, 0) LIMIT ?"
)
_RUNS = (
    "SELECT first, start, stop FROM search_run WHERE session = ?1 AND segment = ?2 AND start < ?4"
    " AND start >= coalesce("
    "(SELECT max(start) FROM search_run WHERE session = ?1 AND segment = ?2 AND start <= ?3), ?3)"
)
_ADD_RUN = "INSERT INTO search_run (first, session, segment, start, stop) VALUES (?, ?, ?, ?, ?)"


class Run(NamedTuple):
    """What the index holds of a segment: row ``first`` is the message at ``start``."""

    start: int
    stop: int
    first: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the index knows of one session: runs and matching positions, both ascending, by segment."""

    runs: Mapping[str, list[Run]]
    matches: Mapping[str, array[int]]


NOTHING = Snapshot({}, {})


def is_behind(connection: Connection, session_id: str) -> bool:
    """Whether :func:`catch_up` has something to do."""
    key = connection.row(_KEY, (session_id,))
    if key is None:
        return False
    return not _is_current(connection) or connection.row(_BEHIND, (*key, 1)) is not None


def catch_up(connection: Connection, session_id: str) -> bool:
    """Takes up to ``BATCH`` messages of a session into the index; whether there may be more."""
    key = connection.row(_KEY, (session_id,))
    if key is None:
        return False
    if not _is_current(connection):
        wipe(connection)
        connection.execute("INSERT INTO search_state VALUES (?)", (TOKENIZER,))
    room = BATCH
    for segment, start, end in connection.rows(_BEHIND, (*key, BATCH)):
        room -= _take_in(connection, key[0], segment, start, end, room)
        if room == 0:
            return True
    return False


def forget(connection: Connection, key: int, segment: int, *, start: int = 0, stop: int | None = None) -> None:
    """Takes what the index holds of a segment out of it: of all of it, which is taken in again then, or of a run that
    was given up."""
    place = key, segment
    end = sys.maxsize if stop is None else stop
    runs = connection.rows(_RUNS, (*place, start, end))
    try:
        for first, begin, behind in runs:
            low, high = max(begin, start), min(behind, end)
            if low >= high:
                continue
            connection.execute(
                "DELETE FROM search_index WHERE rowid >= ? AND rowid < ?", (first + low - begin, first + high - begin)
            )
            connection.execute("DELETE FROM search_run WHERE first = ?", (first,))
            for left, right in ((begin, low), (high, behind)):
                if left < right:
                    connection.execute(_ADD_RUN, (first + left - begin, *place, left, right))
    except apsw.CorruptError:  # it is derived, and must not be in the way
        discard(connection)
    if stop is None:
        connection.execute("DELETE FROM search_mark WHERE session = ? AND segment = ?", place)


def wipe(connection: Connection) -> None:
    """Empties the index."""
    connection.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")
    connection.execute("DELETE FROM search_run")
    connection.execute("DELETE FROM search_mark")
    connection.execute("DELETE FROM search_state")


def discard(connection: Connection) -> bool:
    """Has the index made anew when somebody searches next."""
    connection.execute("DELETE FROM search_state")
    return True


def look(connection: Connection, query: Query, session_id: str) -> Snapshot:
    """All that the index knows of a query in a session, in the caller's read transaction."""
    if not _is_current(connection):
        return NOTHING
    rows = connection.rows(
        "SELECT g.id, r.start, r.stop, r.first FROM session s CROSS JOIN search_run r ON r.session = s.key"
        " CROSS JOIN segment g ON g.session = s.key AND g.number = r.segment"
        " WHERE s.id = ? AND s.deleted_at IS NULL ORDER BY r.first",
        (session_id,),
    )
    runs: dict[str, list[Run]] = {}
    matches: dict[str, array[int]] = {}
    if rows:
        found = connection.execute(
            "SELECT rowid FROM search_index WHERE search_index MATCH ? AND rowid >= ? AND rowid < ?",
            (query.fts5(), rows[0][3], rows[-1][3] + rows[-1][2] - rows[-1][1]),
        )
        row = next(found, None)
        for segment, start, stop, first in rows:
            runs.setdefault(segment, []).append(Run(start, stop, first))
            positions = matches.setdefault(segment, array("q"))
            while row is not None and row[0] < first + stop - start:
                if row[0] >= first:
                    positions.append(start + row[0] - first)
                row = next(found, None)
    for segment, held in runs.items():
        held.sort()
        matches[segment] = array("q", sorted(matches[segment]))
    return Snapshot(runs, matches)


def walk(
    store: Store, query: Query, session_id: str, branches: Iterable[BranchRecord], known: Snapshot
) -> Iterator[Found | Finding]:
    """The hits of one session in the order of a search."""
    for piece in newest_first(branches):
        matches = known.matches.get(piece.segment, array("q"))
        for part, is_known in _parts(piece, known.runs.get(piece.segment, [])):
            if is_known:
                low, high = bisect_left(matches, part.start), bisect_left(matches, part.stop)
                for position in reversed(matches[low:high]):
                    yield Found(session_id, piece.segment, position)
            else:
                yield from scan_piece(store, query, session_id, part)


def _parts(piece: Piece, runs: list[Run]) -> Iterator[tuple[Piece, bool]]:
    """The piece from its end, cut where the index begins and ends to know it."""
    segment, start, at = piece
    for run in reversed(runs):
        stop = min(run.stop, at)
        if stop <= max(run.start, start):
            continue
        if stop < at:
            yield Piece(segment, stop, at), False
        at = max(run.start, start)
        yield Piece(segment, at, stop), True
    if start < at:
        yield Piece(segment, start, at), False


def _is_current(connection: Connection) -> bool:
    row = connection.row("SELECT tokenizer FROM search_state")
    return row is not None and row[0] == TOKENIZER


def _take_in(connection: Connection, key: int, segment: int, start: int, end: int, room: int) -> int:
    """Up to ``room`` messages of one segment, between which there may be gaps; how many were looked at."""
    readable: list[tuple[int, str]] = []
    looked = last = 0
    for position, payload in connection.execute(
        "SELECT position, CAST(payload AS BLOB) FROM message"
        " WHERE session = ? AND segment = ? AND position >= ? ORDER BY position LIMIT ?",
        (key, segment, start, room),
    ):
        looked, last = looked + 1, position
        try:
            readable.append((position, terms(text_of(codec.decode(payload)))))
        except (ValueError, TypeError):
            continue
    begin = 0
    for index in range(1, len(readable) + 1):
        if index == len(readable) or readable[index][0] != readable[index - 1][0] + 1:
            _put_run(connection, key, segment, readable[begin:index])
            begin = index
    connection.execute(
        "INSERT INTO search_mark VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET upto = excluded.upto",
        (key, segment, last + 1 if looked == room else end),
    )
    return looked


def _put_run(connection: Connection, key: int, segment: int, rows: list[tuple[int, str]]) -> None:
    start, stop = rows[0][0], rows[-1][0] + 1
    [first] = connection.row(
        "SELECT coalesce((SELECT first + stop - start FROM search_run ORDER BY first DESC LIMIT 1), 1)"
    )
    connection.executemany(
        "INSERT INTO search_index (rowid, words) VALUES (?, ?)",
        ((first + position - start, line) for position, line in rows),
    )
    grown = connection.row(
        "UPDATE search_run SET stop = ?1 WHERE session = ?2 AND segment = ?3 AND stop = ?4"
        " AND first + stop - start = ?5 RETURNING first",
        (stop, key, segment, start, first),
    )
    if grown is None:
        connection.execute(_ADD_RUN, (first, key, segment, start, stop))
