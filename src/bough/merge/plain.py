"""The strategies that look at histories alone: append, replace, pick, squash. Only squash reads, what it sums up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from bough import edits, history
from bough.diff import Side, atoms
from bough.errors import InvalidRequestError
from bough.merge.sides import Part, Sides, Strategy
from bough.model import History, Message, Piece

Chosen: TypeAlias = History | Iterable[int | range]
"""Messages of a history, or their indexes; the stop of a range is exclusive."""


def append(sides: Sides) -> Sequence[Part]:
    """The target, then what the source holds and the target does not hold in any wording, in the source's order."""
    return [*sides.target.history, *_missing(sides)]


def replace(sides: Sides) -> Sequence[Part]:
    """The source's messages."""
    return sides.source.history


def pick(chosen: Chosen) -> Strategy:
    """Only the ``chosen`` messages of the source, in the order chosen, behind the target's, if it does not hold them.

    ``InvalidRequestError`` for what the source does not hold, when merging.
    """
    wanted: tuple[Piece | int | range, ...] = tuple(chosen)

    def merge(sides: Sides) -> Sequence[Part]:
        source, target = sides.source, sides.target
        picked = distinct(history.normalise(_chosen(wanted, source.history)))
        return [*target.history, *edits.subtract(picked, source.edits, target.history, target.edits)]

    return merge


def _chosen(chosen: Sequence[Piece | int | range], source: History) -> Iterator[Piece]:
    size = history.length(source)
    for item in chosen:
        if isinstance(item, Piece):
            if history.subtract((item,), source):
                raise InvalidRequestError("the source does not hold all of the chosen messages")
            yield item
            continue
        indexes = item if isinstance(item, range) else range(item, item + 1)
        if indexes and (min(indexes[0], indexes[-1]) < 0 or max(indexes[0], indexes[-1]) >= size):
            raise InvalidRequestError(f"{item!r} is outside the source's {size} messages")
        for run in [indexes] if indexes.step == 1 else (range(at, at + 1) for at in indexes):
            yield from history.cut(source, run.start, max(run.start, run.stop))


def distinct(pieces: History) -> History:
    """Each message where it stands for the first time."""
    return history.normalise(dict.fromkeys(atom.piece for atom in atoms(Side(pieces))[0]))


def squash(text: str | Callable[[list[Message]], Message | str], *, role: str = "assistant") -> Strategy:
    """One new message behind the target's, for all that :func:`append` would add: ``{"role": role, "content": text}``.

    A callable gets the messages and returns the text or the whole message. What an earlier squash stands for is not
    squashed again; where nothing else is missing the target stays as it is. A later ``append`` brings the originals:
    the target does not hold them, and who asks for them wants them.
    """

    def merge(sides: Sides) -> Sequence[Part]:
        missing = edits.subtract(_missing(sides), sides.source.edits, sides.squashed, ())
        if not missing:
            return sides.target.history
        made = text if isinstance(text, str) else text(sides.read(missing))
        message: Message = {"role": role, "content": made} if isinstance(made, str) else made
        return [*sides.target.history, message]

    return merge


def _missing(sides: Sides) -> History:
    target, source = sides.target, sides.source
    return edits.subtract(source.history, source.edits, target.history, target.edits)
