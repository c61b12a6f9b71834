"""The messages of one segment against their digests, its gaps and its chain.

1. A block of messages is read in one transaction with the gaps in it. The chain's value at a position does not change
   when others append, drop or erase messages; so it is carried from block to block.
2. Where it does not fit in the end, a graft may have made it anew meanwhile: it is read once more, in one transaction,
   before anything is said. That tells between which two known values of the chain it goes wrong.
3. A block that SQLite cannot read is read by halves, down to the messages that are damaged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import apsw
from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from bough import codec
from bough.stores.sqlite.connections import Connection, snapshot
from bough.stores.sqlite.gaps import DIGEST, Gap, Place, link

T = TypeVar("T")

_BLOCK = 2000
"""How many messages are looked at in one read transaction."""

_END = "SELECT next, chain FROM segment WHERE session = ? AND number = ?"
_GAPS = "SELECT start, stop, chain_before, chain_after FROM gap WHERE session = ? AND segment = ? ORDER BY start"
_GAPS_WITHIN = (
    "SELECT start, stop, chain_before, chain_after FROM gap WHERE session = ?1 AND segment = ?2 AND start < ?4"
    " AND start >= coalesce((SELECT max(start) FROM gap WHERE session = ?1 AND segment = ?2 AND start <= ?3), ?3)"
    " AND stop > ?3 ORDER BY start"
)
_POSITION = "iif(typeof(position) = 'integer', position, -1)"
_MESSAGES = (  # a flipped bit in a row's header gives a value another type: what has it fits nothing
    f"SELECT {_POSITION}, iif(typeof(salt) = 'text', x'', salt), iif(typeof(digest) = 'blob', digest, x''),"  # noqa: S608
    " iif(typeof(payload) IN ('text', 'null'), CAST(payload AS BLOB), x'') FROM message"
    " WHERE session = ? AND segment = ? AND position >= ? AND position < ? ORDER BY position"
)
_DIGESTS = (
    f"SELECT {_POSITION}, CAST(digest AS BLOB) FROM message WHERE session = ? AND segment = ?"  # noqa: S608
    " ORDER BY position"
)
BEHIND = "stand behind the end of their segment"
_BEYOND = "SELECT max(position) FROM message WHERE session = ? AND segment = ?"


class _Object(Struct):
    """Any JSON object: its keys are passed over, so that a block is checked without making anything of it."""


_check_json = Decoder(list[_Object]).decode


class Reading(Protocol):
    """What ``look`` finds with a connection; ``nothing`` where there is no file."""

    def __call__(self, look: Callable[[Connection], T], nothing: T) -> T: ...


class Trouble(NamedTuple):
    """What is wrong with the messages ``start`` to ``stop`` of the segment."""

    start: int
    stop: int
    problem: str


_Row: TypeAlias = tuple[int, bytes | None, bytes, bytes | None]
"""Position, salt, digest and payload."""


class _Block(NamedTuple):
    """Messages ``start`` to ``stop``, and what the segment said in the same transaction."""

    start: int
    stop: int
    next: int
    chain: bytes
    gaps: list[Gap]
    rows: list[_Row]
    unreadable: list[int]
    beyond: int
    """Where the rows of the segment end, which should be at ``next`` at most. Known in the last block."""


class _Check:
    """What is known while a segment is gone through."""

    def __init__(self) -> None:
        self.chain = b""
        self.fits = True
        self.lost: list[int] = []
        """Positions whose digests are not known; the chain cannot fit behind them."""

    def block(self, block: _Block) -> Iterator[Trouble]:
        at, first = block.start, 0
        for gap in [*block.gaps, Gap(block.stop, block.stop, None, None)]:
            begin, end = max(gap.start, block.start), min(gap.stop, block.stop)
            behind = bisect_left(block.rows, begin, key=_position)
            yield from self._messages(at, begin, block.rows[first:behind], block.unreadable)
            at, first = end, bisect_left(block.rows, end, key=_position)
            yield from self._within(gap, begin, block.rows[behind:first])
        if block.beyond > block.next:
            yield Trouble(block.next, block.beyond, BEHIND)

    def _within(self, gap: Gap, begin: int, rows: list[_Row]) -> Iterator[Trouble]:
        if gap.chain_before is not None and gap.chain_after is not None:
            self.fits &= begin != gap.start or self.chain == gap.chain_before
            self.chain = gap.chain_after
            yield from _grouped((position, "stands where messages were given up") for position, _, _, _ in rows)
            return
        for _, _, digest, _ in rows:
            self.chain = link(self.chain, digest)
        yield from _grouped(
            (position, "is said to be erased or never brought, but stands there")
            for position, _, _, payload in rows
            if payload is not None
        )

    def _messages(self, start: int, stop: int, rows: list[_Row], unreadable: list[int]) -> Iterator[Trouble]:
        """Messages that should all be there."""
        if len(rows) != stop - start:
            known = {position for position, _, _, _ in rows}
            away = [position for position in range(start, stop) if position not in known]
            self.lost += away
            damaged = set(unreadable)
            yield from _grouped(
                (position, "cannot be read: the page that it is on is damaged" if position in damaged else "is missing")
                for position in away
            )
        chain = self.chain
        try:
            bad = set()
            for position, salt, digest, payload in rows:
                if blake2b(payload, digest_size=DIGEST, salt=salt).digest() != digest:  # type: ignore[arg-type]
                    bad.add(position)
                chain = blake2b(chain + digest, digest_size=DIGEST).digest()
        except (TypeError, ValueError):  # something is NULL or too long
            chain = self.chain
            bad = {row[0] for row in rows if not _is_whole(row)}
            for _, _, digest, _ in rows:
                chain = link(chain, digest)
        self.chain = chain
        if bad or not _are_json([payload for _, _, _, payload in rows]):
            yield from _grouped((row[0], _problem(row[3], row[0] in bad)) for row in rows)


def walk(reading: Reading, place: Place) -> Iterator[Trouble]:
    """Everything that is wrong in a segment, in the order of positions. ``CorruptBranchError``."""
    check = _Check()
    at = 0
    while True:
        block = reading(lambda connection: _block(connection, place, at), None)  # noqa: B023
        if block is None:
            return
        yield from check.block(block)
        at = max([block.stop, *(gap.stop for gap in block.gaps if gap.chain_before is not None)])
        if at >= block.next:
            break
    if check.fits and check.chain == block.chain:
        return
    for start, stop in reading(lambda connection: _misfits(connection, place), list[tuple[int, int]]()):
        if not any(start <= position < stop for position in check.lost):
            yield Trouble(start, stop, "do not fit the chain of digests: some were moved, swapped or replaced")


def _block(connection: Connection, place: Place, start: int) -> _Block | None:
    with snapshot(connection):
        end = connection.row(_END, place)
        if end is None:
            return None
        stop = min(start + _BLOCK, end[0])
        rows, unreadable = _rows(connection, place, start, stop)
        gaps = [Gap(*row) for row in connection.rows(_GAPS_WITHIN, (*place, start, stop))]
        beyond = _beyond(connection, place) if stop >= end[0] else 0
        following, chain = end
        return _Block(start, stop, following, chain, gaps, rows, unreadable, beyond)


def _beyond(connection: Connection, place: Place) -> int:
    try:
        [last] = connection.row(_BEYOND, place)
    except apsw.CorruptError:
        return 0  # the page that it would be on is told of anyway
    return 0 if last is None else last + 1


def _rows(connection: Connection, place: Place, start: int, stop: int) -> tuple[list[_Row], list[int]]:
    """The rows of a block, and the positions that cannot be read."""
    if start >= stop:
        return [], []
    try:
        return _in_order(connection.rows(_MESSAGES, (*place, start, stop)), start, stop), []
    except apsw.CorruptError:
        if stop - start == 1:
            return [], [start]
    middle = (start + stop) // 2
    low, high = _rows(connection, place, start, middle), _rows(connection, place, middle, stop)
    return low[0] + high[0], low[1] + high[1]


def _in_order(rows: list[_Row], start: int, stop: int) -> list[_Row]:
    """The rows that stand where they should: of damaged keys SQLite gives what it finds."""
    if [row[0] for row in rows] == list(range(start, stop)):
        return rows
    kept: list[_Row] = []
    for row in rows:
        if (kept[-1][0] if kept else start - 1) < row[0] < stop:
            kept.append(row)
    return kept


def _misfits(connection: Connection, place: Place) -> list[tuple[int, int]]:
    """The runs between two known values of the chain over which the digests do not lead from one to the other."""
    found: list[tuple[int, int]] = []
    with snapshot(connection):
        following, end = connection.row(_END, place)
        known = [gap for gap in (Gap(*row) for row in connection.rows(_GAPS, place)) if gap.chain_before is not None]
        try:
            digests = iter(connection.rows(_DIGESTS, place))
        except apsw.CorruptError:
            return []  # told of already
        row = next(digests, None)
        chain, since = b"", 0
        for gap in [*known, Gap(following, following, end, end)]:
            while row is not None and row[0] < gap.start:
                chain = link(chain, row[1] or b"")
                row = next(digests, None)
            if chain != gap.chain_before:
                found.append((since, gap.start))
            while row is not None and row[0] < gap.stop:
                row = next(digests, None)
            chain, since = gap.chain_after or b"", gap.stop
    return found


def _position(row: _Row) -> int:
    return row[0]


def _is_whole(row: _Row) -> bool:
    try:
        return blake2b(row[3], digest_size=DIGEST, salt=row[1]).digest() == row[2]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _are_json(lines: list[bytes | None]) -> bool:
    try:
        return len(_check_json(b"[%b]" % b",".join(lines))) == len(lines)  # type: ignore[arg-type]
    except (DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        return False


def _problem(payload: bytes | None, is_bad: bool) -> str | None:
    """What is wrong with one message; None where nothing is."""
    if payload is None:
        return "has lost its text"
    try:
        codec.decode(payload)
    except ValueError:
        return "does not fit its digest and is no JSON object any more" if is_bad else "is no JSON object"
    return "does not fit its digest: it was changed" if is_bad else None


def _grouped(problems: Iterable[tuple[int, str | None]]) -> Iterator[Trouble]:
    """Neighbours with the same problem as one."""
    run: Trouble | None = None
    for position, problem in problems:
        if run is not None and (run.stop, run.problem) == (position, problem):
            run = run._replace(stop=position + 1)
            continue
        if run is not None:
            yield run
        run = None if problem is None else Trouble(position, position + 1, problem)
    if run is not None:
        yield run
