"""From what a strategy returns to the change of one record."""

from __future__ import annotations

from collections.abc import Iterable

from bough import codec, edits, history
from bough.changes import put_again
from bough.errors import InvalidMessageError
from bough.merge.sides import NewMessage, Part, Sides
from bough.model import BranchRecord, Edit, Piece, Put, Tip, replace


def lower(parts: Iterable[Part], record: BranchRecord, sides: Sides) -> Put | None:
    """The target's ``record`` with ``parts`` for its content; None where it is so already.

    New messages take the next positions of its tip segment. ``InvalidMessageError`` with the index in the result, for a
    part that is neither piece nor message too.
    """
    segment, first = record.tip
    pieces: list[Piece] = []
    lines: list[bytes] = []
    made: list[Edit] = []
    index = 0
    for part in parts:
        if isinstance(part, Piece):
            pieces.append(part)
            index += part.stop - part.start
            continue
        new = part if isinstance(part, NewMessage) else NewMessage(part)
        try:
            lines.append(codec.encode(new.message))
        except InvalidMessageError as error:
            raise InvalidMessageError(error.path, error.reason, index=index) from None
        at = first + len(lines) - 1
        pieces.append(Piece(segment, at, at + 1))
        if new.original is not None:
            made.append(Edit(segment, at, *new.original))
        index += 1
    merged = history.normalise(pieces)
    known = [side.edits for side in (sides.target, sides.source, sides.base) if side is not None]
    kept = edits.kept(merged, *known, made)
    if merged == record.history and kept == record.edits:
        return None
    return replace(put_again(record, history=merged, edits=kept, tip=Tip(segment, first + len(lines))), messages=lines)
