"""Edited messages as one message in several wordings: which identity stands for which. Pure.

An edit puts a new message in the place of an old one; :class:`bough.model.Edit` says of which first wording. Here
histories are seen through their edits, so that a message and its other wordings count as the same one.

1. Nothing costs more than the number of pieces and of edits.
2. Without edits everything is what the plain algebra (:mod:`bough.history`) says.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter, itemgetter

from bough import history
from bough.model import Edit, History, Piece


def split(pieces: History, edits: Iterable[Edit]) -> Iterator[tuple[Piece, Piece]]:
    """Each run of a history with the run of first wordings it stands for: as long, and the same one but for edits."""
    by_segment: dict[str, list[Edit]] = {}
    for edit in sorted(edits):
        by_segment.setdefault(edit.segment, []).append(edit)
    for segment, start, stop in pieces:
        at = start
        changed = by_segment.get(segment, ())
        for number in range(bisect_left(changed, start, key=attrgetter("position")), len(changed)):
            edit = changed[number]
            if edit.position >= stop:
                break
            if edit.position < at:
                continue  # one message in two edits: the first counts
            if at < edit.position:
                yield Piece(segment, at, edit.position), Piece(segment, at, edit.position)
            at = edit.position + 1
            original = Piece(edit.original_segment, edit.original_position, edit.original_position + 1)
            yield Piece(segment, edit.position, at), original
        if at < stop:
            yield Piece(segment, at, stop), Piece(segment, at, stop)


def first_wordings(pieces: History, edits: Iterable[Edit]) -> History:
    """The history with the first wording of each message: as long, message for message."""
    return history.normalise(original for _, original in split(pieces, edits))


def subtract(pieces: History, edits: Iterable[Edit], other: History, other_edits: Iterable[Edit]) -> History:
    """What ``pieces`` holds and ``other`` does not hold in any wording, in the order of ``pieces``."""
    edits, other_edits = tuple(edits), tuple(other_edits)
    if not edits and not other_edits:
        return history.subtract(pieces, other)
    held = history.union(first_wordings(other, other_edits))
    rest: list[Piece] = []
    for piece, original in split(pieces, edits):
        for _, start, stop in history.subtract((original,), held):
            begin = piece.start + start - original.start
            rest.append(Piece(piece.segment, begin, begin + stop - start))
    return history.normalise(rest)


def kept(pieces: History, *edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Those of the edits whose message the history holds: the ``edits`` of a record with that history."""
    known = sorted({edit for group in edits for edit in group})
    held = history.union(pieces)
    found: list[Edit] = []
    for edit in known:
        at = bisect_right(held, (edit.segment, edit.position), key=itemgetter(0, 1)) - 1
        if at >= 0 and held[at].segment == edit.segment and edit.position < held[at].stop:
            found.append(edit)
    return tuple(found)


def edit_of(pieces: History, edits: Iterable[Edit], index: int, segment: str, position: int) -> Edit:
    """That the message at ``index`` is replaced by the one at ``position`` of ``segment``."""
    old = history.identity(pieces, index)
    for edit in edits:
        if (edit.segment, edit.position) == old:
            return Edit(segment, position, edit.original_segment, edit.original_position)
    return Edit(segment, position, *old)
