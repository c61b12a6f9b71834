"""Interleave: two continuations of one conversation, by the times in their messages.

1. The messages with which both sides begin come first; then the rest of both, each side in its own order.
2. Of two next messages the earlier one goes first, at equal times the target's.
3. A message without a time stays behind its predecessor on its own side. Where the rest of a side has no time at all,
   the source's messages come behind the target's, as ``append`` has it.
4. What the target holds stays where it is.
5. Messages are read in blocks, only behind the common beginning, and only if the source has something to add.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from bough import codec, edits, history
from bough.diff import Read, blocks
from bough.merge.plain import distinct
from bough.merge.sides import Part, Sides
from bough.model import History, Message, Piece

TIME_KEYS = ("timestamp", "created_at", "createdAt", "time", "date")
"""Where a message's time is looked for, in this order."""

SECONDS_UNTIL = 1e11
"""From here on a number is milliseconds since the epoch, not seconds: the year 5138, or March 1973."""

MILLISECONDS_UNTIL = 1e14


def message_time(message: Message) -> float | None:
    """Seconds since the epoch of the first of ``TIME_KEYS`` that holds a time: an ISO 8601 text with an offset or
    ``Z``, or a number of seconds or milliseconds since the epoch, told apart by their size."""
    for key in TIME_KEYS:
        value = message.get(key)
        if isinstance(value, str):
            try:
                return codec.parse_time(value).timestamp()
            except ValueError:
                continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) < SECONDS_UNTIL:
                return float(value)
            if abs(value) < MILLISECONDS_UNTIL:
                return value / 1000
    return None


def interleave(sides: Sides) -> Sequence[Part]:
    """The source's messages that the target does not hold, among the target's by time."""
    target, source = sides.target, sides.source
    missing = distinct(edits.subtract(source.history, source.edits, target.history, target.edits))
    if not missing:
        return target.history
    shared = history.length(
        history.common_prefix(
            edits.first_wordings(target.history, target.edits), edits.first_wordings(source.history, source.edits)
        )
    )
    begin, rest = _halves(target.history, shared)
    _, other = _halves(source.history, shared)
    if all(at == -inf for _, at in _timed(other, sides.read)):
        return [*target.history, *missing]
    return history.concat(begin, history.normalise(_by_time(rest, other, missing, sides.read)))


def _halves(pieces: History, at: int) -> tuple[History, History]:
    return history.cut(pieces, 0, at), history.cut(pieces, at, history.length(pieces))


def _by_time(mine: History, other: History, missing: History, read: Read) -> Iterator[Piece]:
    """``mine`` with those of ``other`` that are ``missing``: both are walked in step, the latter as a whole, for the
    times of what stands before a message without one."""
    ours, at = iter(_timed(mine, read)), 0
    pending = next(ours, None)
    wanted = _identities(missing)
    following = next(wanted, None)
    for theirs, time in _timed(other, read):
        if theirs != following:
            continue
        while pending is not None and pending[1] <= time:
            yield pending[0]
            at += 1
            pending = next(ours, None)
        yield theirs
        following = next(wanted, None)
        if following is None:
            break
    yield from history.cut(mine, at, history.length(mine))


def _identities(pieces: History) -> Iterator[Piece]:
    for segment, start, stop in pieces:
        for position in range(start, stop):
            yield Piece(segment, position, position + 1)


def _timed(pieces: History, read: Read) -> Iterator[tuple[Piece, float]]:
    """Each message with its time, or that of the nearest one before it; minus infinity where there is none."""
    time = -inf
    for block in blocks(pieces):
        for piece, message in zip(_identities(block), read(block), strict=True):
            own = message_time(message)
            time = time if own is None else own
            yield piece, time
