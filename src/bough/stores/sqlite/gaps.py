"""Positions of a segment that cannot be read, so that "is all of this there?" is one look, however much it is.

1. A position below ``segment.next`` is there unless a gap covers it. Gaps of a segment do not overlap; an append never
   touches them.
2. A gap without chain values is one that the chain passes over: nothing was laid there yet (a graft may do so), or the
   rows still stand there with their digests and their texts were erased.
3. A gap with chain values is of rows that were dropped: before it the chain is ``chain_before``, and behind it goes on
   from ``chain_after``. Two of those never touch. What was dropped does not come back.

Everything here runs inside the caller's write transaction.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import NamedTuple

from bough.history import normalise, subtract, union
from bough.model import Piece
from bough.stores.sqlite.connections import Connection

DIGEST = 16
"""Bytes of a message's digest, and of a value of the chain."""

_OVERLAPPING = (  # the last one that begins before the piece ends: it alone may overlap, if any does
    "SELECT g.next, (SELECT p.stop FROM gap p WHERE p.session = g.session AND p.segment = g.number AND p.start < ?3"
    " ORDER BY p.start DESC LIMIT 1) FROM segment g WHERE g.session = ?1 AND g.id = ?2"
)
_TOUCHING = (
    "SELECT start, stop, chain_before, chain_after FROM gap WHERE session = ?1 AND segment = ?2 AND start <= ?4"
    " AND start >= coalesce("
    "(SELECT max(start) FROM gap WHERE session = ?1 AND segment = ?2 AND start < ?3), ?3) ORDER BY start"
)
_DROPPED_BEFORE = (
    "SELECT stop, chain_after FROM gap WHERE session = ? AND segment = ? AND start < ? AND chain_before IS NOT NULL"
    " ORDER BY start DESC LIMIT 1"
)
_DROPPED = (
    "SELECT start, stop, chain_after FROM gap WHERE session = ? AND segment = ? AND chain_before IS NOT NULL"
    " ORDER BY start"
)
_ADD = "INSERT INTO gap (session, segment, start, stop, chain_before, chain_after) VALUES (?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM gap WHERE session = ? AND segment = ? AND start = ?"
_DIGESTS = (
    "SELECT digest FROM message WHERE session = ? AND segment = ? AND position >= ? AND position < ? ORDER BY position"
)
_END = sys.maxsize


class Place(NamedTuple):
    """A segment of one session, as its rows are keyed."""

    session: int
    segment: int


class Gap(NamedTuple):
    """A row of ``gap`` without its place."""

    start: int
    stop: int
    chain_before: bytes | None
    chain_after: bytes | None


def link(chain: bytes, digest: bytes) -> bytes:
    """The chain behind one more message."""
    return blake2b(chain + digest, digest_size=DIGEST).digest()


def is_there(connection: Connection, session: int, piece: Piece) -> bool:
    """Whether every message of the piece can be read."""
    row = connection.row(_OVERLAPPING, (session, piece.segment, piece.stop))
    return row is not None and piece.stop <= row[0] and (row[1] is None or row[1] <= piece.start)


def touching(connection: Connection, place: Place, start: int, stop: int) -> list[Gap]:
    """The gaps that overlap or adjoin a run of positions, in their order."""
    rows = connection.rows(_TOUCHING, (*place, start, stop))
    return [Gap(*row) for row in rows if row[1] >= start]


def leave(connection: Connection, place: Place, start: int, stop: int) -> None:
    """Nothing can be read there: not yet, or not any more."""
    if start < stop:
        _mark(connection, place, Piece("", start, stop), is_there=False)


def fill(connection: Connection, place: Place, start: int, stop: int) -> None:
    """Everything can be read there."""
    _mark(connection, place, Piece("", start, stop), is_there=True)


def _mark(connection: Connection, place: Place, piece: Piece, *, is_there: bool) -> None:
    """Changes gaps of invariant 2; those of invariant 3 stay."""
    found = touching(connection, place, piece.start, piece.stop)
    passed = tuple(Piece("", gap.start, gap.stop) for gap in found if gap.chain_before is None)
    dropped = normalise(Piece("", gap.start, gap.stop) for gap in found if gap.chain_before is not None)
    for _, start, _ in passed:
        connection.execute(_REMOVE, (*place, start))
    rest = subtract(passed, (piece,)) if is_there else subtract(union(passed, (piece,)), dropped)
    for _, start, stop in rest:
        connection.execute(_ADD, (*place, start, stop, None, None))


def drop(connection: Connection, place: Place, start: int, stop: int) -> None:
    """Deletes the messages of a run that ends within the segment, and leaves what the rest of the chain needs.

    The chain is read up to there, from the last gap that has its value.
    """
    found = touching(connection, place, start, stop)
    dropped = [gap for gap in found if gap.chain_before is not None]
    if dropped:
        start, stop = min(start, dropped[0].start), max(stop, dropped[-1].stop)
    before = _chain_at(connection, place, start)
    after = _chain_at(connection, place, stop) if dropped else _extended(connection, place, start, stop, before)
    fill(connection, place, start, stop)
    for gap in dropped:
        connection.execute(_REMOVE, (*place, gap.start))
    connection.execute(
        "DELETE FROM message WHERE session = ? AND segment = ? AND position >= ? AND position < ?",
        (*place, start, stop),
    )
    connection.execute(_ADD, (*place, start, stop, before, after))


def blank(connection: Connection, place: Place, start: int, stop: int) -> None:
    """Erases the texts of a run that ends within the segment, and their salts; the digests stay."""
    connection.execute(
        "UPDATE message SET salt = NULL, payload = NULL"
        " WHERE session = ? AND segment = ? AND position >= ? AND position < ?",
        (*place, start, stop),
    )
    leave(connection, place, start, stop)


def chain_again(connection: Connection, place: Place) -> bytes:
    """The whole chain made anew, for messages were laid before its end."""
    chain, at = b"", 0
    for start, stop, after in connection.rows(_DROPPED, place):
        chain = _extended(connection, place, at, start, chain)
        connection.execute(
            "UPDATE gap SET chain_before = ? WHERE session = ? AND segment = ? AND start = ?", (chain, *place, start)
        )
        chain, at = after, stop
    return _extended(connection, place, at, _END, chain)


def _chain_at(connection: Connection, place: Place, position: int) -> bytes:
    """The chain before a position that no gap of dropped messages has within."""
    row = connection.row(_DROPPED_BEFORE, (*place, position))
    at, chain = row or (0, b"")
    return _extended(connection, place, at, position, chain)


def _extended(connection: Connection, place: Place, start: int, stop: int, chain: bytes) -> bytes:
    for (digest,) in connection.execute(_DIGESTS, (*place, start, stop)):
        chain = link(chain, digest)
    return chain
