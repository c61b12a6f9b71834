"""Three-way: what each side changed since the base, on both.

For one message, by its wording on each side, where "no" is a wording too (not there):

| target | source | base | afterwards |
|---|---|---|---|
| the same as the source | | | that |
| anything | as in the base | | the target's |
| as in the base | anything else | | the source's |
| other | other | any | a conflict, unless both wordings are equal |

So a message that one side removed and the other left alone is gone, and one that only one side holds, and the base does
not, is new and stays. What both hold and the base does not is measured by its first wording.

1. The target's order stands. What the source adds comes behind what precedes it there, as far as that is in the result;
   behind what the target added at the same place.
2. With the source's present history as the base nothing changes: what was merged or settled once never comes back.
3. Only messages in conflict are read.

What it deliberately does not do: look into messages, or move any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from bough import codec, history
from bough.diff import Atom, Read, Side, atoms, pair
from bough.errors import CorruptBranchError, InvalidRequestError
from bough.merge.sides import Conflict, Conflicts, Identity, NewMessage, Part, Sides, Strategy
from bough.model import Message, Piece

Resolution: TypeAlias = Literal["ours", "theirs", "both"] | Mapping[str, Any] | None
"""One side's wording (which may be that it is removed), the target's and then the source's, or another message; None
leaves the conflict."""

Resolve: TypeAlias = Callable[[Conflict], Resolution]

_ANSWERS = ("ours", "theirs", "both")

START = -1
"""Instead of a row's number: before all of them."""


def three_way(resolve: Resolve | Literal["ours", "theirs", "both"] | None = None) -> Strategy:
    """What both sides changed since the base. ``resolve`` settles conflicts: a function, or one answer for all.

    The strategy raises :class:`Conflicts` with those that nobody settled.
    """
    if not callable(resolve) and resolve not in (None, *_ANSWERS):
        raise _no_answer(resolve)

    def merge(sides: Sides) -> Sequence[Part]:
        rows, source_order = _rows(sides)
        outcomes = [_outcome(row) for row in rows]
        disputed = [number for number, outcome in enumerate(outcomes) if outcome is None]
        unsettled: list[Conflict] = []
        for number, conflict in _conflicts(rows, disputed, sides.read):
            if conflict is None:
                outcomes[number] = _parts(rows[number].ours)
                continue
            outcomes[number] = _settled(rows[number], resolve(conflict) if callable(resolve) else resolve)
            if outcomes[number] is None:
                unsettled.append(conflict)
        if unsettled:
            raise Conflicts(unsettled)
        return list(_arranged(rows, source_order, [outcome or [] for outcome in outcomes]))

    return merge


class _Row(NamedTuple):
    """Messages as each side has them, None where it does not; their first wordings; the index in the target, or where
    they would be. One message at a time but where all wordings are the same."""

    ours: Piece | None
    theirs: Piece | None
    ancestor: Piece | None
    first: Piece
    at: int

    @property
    def is_new(self) -> bool:
        """Whether the target alone knows of it."""
        return self.theirs is None and self.ancestor is None


def _rows(sides: Sides) -> tuple[list[_Row], list[int]]:
    """What the target holds, in its order, then what only the source holds; and the row of each run of the source."""
    target, source, base = sides.target, sides.source, sides.base
    if base is None:
        base = Side(history.common_prefix(target.history, source.history))
    ours, theirs, origin = atoms(target, source, base)
    ours_from, theirs_from = pair(ours, origin), pair(theirs, origin)
    row_of = _opposite(ours, theirs, ours_from, theirs_from)
    opposite = {row: number for number, row in row_of.items()}

    rows: list[_Row] = []
    index = 0
    for number, (piece, first) in enumerate(ours):
        held = theirs[opposite[number]].piece if number in opposite else None
        ancestor = origin[ours_from[number]].piece if number in ours_from else first if held else None
        rows.append(_Row(piece, held, ancestor, first, index))
        index += piece.stop - piece.start

    order: list[int] = []
    index = 0
    for number, (piece, first) in enumerate(theirs):
        if number in row_of:
            row = rows[row_of[number]]
            index = row.at + first.stop - first.start
        else:
            ancestor = origin[theirs_from[number]].piece if number in theirs_from else None
            rows.append(_Row(None, piece, ancestor, first, index))
        order.append(row_of.get(number, len(rows) - 1))
    return rows, order


def _opposite(
    ours: Sequence[Atom], theirs: Sequence[Atom], ours_from: Mapping[int, int], theirs_from: Mapping[int, int]
) -> dict[int, int]:
    """Which of ``ours`` each of ``theirs`` is: by what they come from in the base, else by themselves."""
    by_origin = {origin: number for number, origin in ours_from.items()}
    found = {number: by_origin[origin] for number, origin in theirs_from.items() if origin in by_origin}
    our_new = [number for number in range(len(ours)) if number not in ours_from]
    their_new = [number for number in range(len(theirs)) if number not in theirs_from]
    pairs = pair([theirs[number] for number in their_new], [ours[number] for number in our_new])
    return found | {their_new[mine]: our_new[other] for mine, other in pairs.items()}


def _outcome(row: _Row) -> list[Part] | None:
    """What becomes of a row; None where both changed it."""
    if row.ours == row.theirs or row.theirs == row.ancestor:
        return _parts(row.ours)
    if row.ours == row.ancestor:
        return _parts(row.theirs)
    return None


def _parts(*pieces: Piece | None) -> list[Part]:
    return [piece for piece in pieces if piece]


def _conflicts(rows: Sequence[_Row], disputed: Sequence[int], read: Read) -> Iterator[tuple[int, Conflict | None]]:
    """Each disputed row with its conflict; None where both sides say the same after all."""
    sides = [piece for number in disputed for piece in (rows[number].ours, rows[number].theirs) if piece]
    messages = iter(read(history.normalise(sides)) if sides else ())
    both = [
        (next(messages) if rows[number].ours else None, next(messages) if rows[number].theirs else None)
        for number in disputed
    ]
    differ = [ours is None or theirs is None or _differ(ours, theirs) for ours, theirs in both]
    real = [rows[number] for number, is_real in zip(disputed, differ, strict=True) if is_real]
    ancestors = iter(_read_what_is_there(real, read))
    for number, (ours, theirs), is_real in zip(disputed, both, differ, strict=True):
        if not is_real:
            yield number, None
            continue
        row = rows[number]
        yield (
            number,
            Conflict(
                kind="edit/remove" if theirs is None else "remove/edit" if ours is None else "edit/edit",
                index=row.at,
                original=_identity(row.first),
                ours=ours,
                theirs=theirs,
                ancestor=next(ancestors),
                ours_id=row.ours and _identity(row.ours),
                theirs_id=row.theirs and _identity(row.theirs),
                ancestor_id=_identity(row.ancestor or row.first),
            ),
        )


def _identity(piece: Piece) -> Identity:
    return piece.segment, piece.start


def _differ(ours: Message, theirs: Message) -> bool:
    return codec.encode_found(ours) != codec.encode_found(theirs)


def _read_what_is_there(rows: Sequence[_Row], read: Read) -> list[Message | None]:
    """The ancestors of the rows; None where one was given up or is damaged, which must not hinder the merge."""
    pieces = [row.ancestor or row.first for row in rows]
    if not pieces:
        return []
    try:
        return [*read(history.normalise(pieces))]
    except CorruptBranchError:
        return [_read_one(piece, read) for piece in pieces]


def _read_one(piece: Piece, read: Read) -> Message | None:
    try:
        return read((piece,))[0]
    except CorruptBranchError:
        return None


def _settled(row: _Row, answer: Resolution) -> list[Part] | None:
    if answer is None:
        return None
    if isinstance(answer, Mapping):
        return [NewMessage(answer, _identity(row.first))]
    if answer not in _ANSWERS:
        raise _no_answer(answer)
    return _parts(row.ours if answer != "theirs" else None, row.theirs if answer != "ours" else None)


def _no_answer(answer: object) -> InvalidRequestError:
    return InvalidRequestError(
        f"{answer!r} settles no conflict", hint=f"{', '.join(_ANSWERS)}, or a message to take the place of both"
    )


def _arranged(rows: Sequence[_Row], source_order: Sequence[int], outcomes: Sequence[list[Part]]) -> Iterator[Part]:
    """The target's rows in their order, what only the source has behind what precedes it there (rule 1)."""
    behind: defaultdict[int, list[Part]] = defaultdict(list)
    anchor = START
    for number in source_order:
        if rows[number].ours is None:
            behind[anchor] += outcomes[number]
        else:  # what both hold is in the result, in one wording or the other
            anchor = number
    waiting = behind[START]
    for number, row in enumerate(rows):
        if row.ours is None:
            break
        if not outcomes[number]:
            continue
        if not row.is_new:
            yield from waiting
            waiting = []
        yield from outcomes[number]
        waiting += behind[number]
    yield from waiting
