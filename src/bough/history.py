"""The algebra of histories: pure functions on tuples of pieces, no I/O.

A history stands for a list of message identities ``(segment, position)``. Each function below equals a plain operation
on that list, at a cost that depends on the number of pieces, never on the number of messages.

Invariants of every history that is returned:
1. No piece is empty.
2. Two neighbours that continue each other in one segment are one piece (so equal lists are equal tuples).

What it deliberately does not know: messages, branches, stores.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from operator import itemgetter

from bough.model import History, Piece


def normalise(pieces: Iterable[Piece]) -> History:
    """The same identities with invariants 1 and 2."""
    out: list[Piece] = []
    for piece in pieces:
        if piece.start >= piece.stop:
            continue
        if out and out[-1].segment == piece.segment and out[-1].stop == piece.start:
            out[-1] = Piece(piece.segment, out[-1].start, piece.stop)
        else:
            out.append(piece)
    return tuple(out)


def length(history: History) -> int:
    """How many messages."""
    total = 0
    for _, start, stop in history:
        total += stop - start
    return total


def cut(history: History, start: int, stop: int) -> History:
    """``history[start:stop]`` for ``0 <= start <= stop <= length``."""
    out: list[Piece] = []
    at = 0
    for segment, first, last in history:
        end = at + last - first
        if end > start:
            if at >= stop:
                break
            out.append(Piece(segment, first + max(start - at, 0), last - max(end - stop, 0)))
        at = end
    return normalise(out)


def concat(*histories: History) -> History:
    """The histories one after another."""
    return normalise(piece for history in histories for piece in history)


def common_prefix(left: History, right: History) -> History:
    """The longest run of identities with which both begin: the common ancestor."""
    out: list[Piece] = []
    for mine, other in zip(left, right, strict=False):
        if mine.segment != other.segment or mine.start != other.start:
            break
        out.append(Piece(mine.segment, mine.start, min(mine.stop, other.stop)))
        if mine.stop != other.stop:
            break
    return tuple(out)


def subtract(history: History, other: History) -> History:
    """What ``history`` holds and ``other`` does not, in the order of ``history``."""
    held: dict[str, list[tuple[int, int]]] = {}  # by segment: runs in ascending order, apart from one another
    for segment, start, stop in sorted(other):
        runs = held.setdefault(segment, [])
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(stop, runs[-1][1]))
        else:
            runs.append((start, stop))
    return normalise(rest for piece in history for rest in _without(piece, held.get(piece.segment, ())))


def _without(piece: Piece, runs: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    segment, at, end = piece
    for index in range(bisect_right(runs, at, key=itemgetter(1)), len(runs)):
        start, stop = runs[index]
        if start >= end:
            break
        if start > at:
            yield Piece(segment, at, start)
        at = stop
    if at < end:
        yield Piece(segment, at, end)


def union(*histories: History) -> History:
    """Each message that any of them holds, once, in the order of segments and positions."""
    out: list[Piece] = []
    for segment, start, stop in sorted(chain.from_iterable(histories)):
        if out and out[-1].segment == segment and start <= out[-1].stop:
            out[-1] = Piece(segment, out[-1].start, max(stop, out[-1].stop))
        else:
            out.append(Piece(segment, start, stop))
    return tuple(out)


def identity(history: History, index: int) -> tuple[str, int]:
    """(segment, position) of the message at ``index``; IndexError outside ``0 <= index < length``."""
    at = 0
    if index >= 0:
        for segment, start, stop in history:
            if index < at + stop - start:
                return segment, start + index - at
            at += stop - start
    raise IndexError(index)


def index_of(history: History, segment: str, position: int) -> int | None:
    """The first index at which the history holds that message, or None."""
    at = 0
    for name, start, stop in history:
        if name == segment and start <= position < stop:
            return at + position - start
        at += stop - start
    return None


def starts_with(history: History, prefix: History) -> bool:
    """Whether ``history`` begins with the whole of ``prefix``."""
    return common_prefix(history, prefix) == prefix


def offsets(history: History) -> list[int]:
    """The index at which each piece begins, and the length at the end: for :func:`piece_at`."""
    return list(accumulate((piece.stop - piece.start for piece in history), initial=0))


def piece_at(starts: list[int], index: int) -> int:
    """Which piece holds ``index``, given :func:`offsets`."""
    return bisect_right(starts, index) - 1
