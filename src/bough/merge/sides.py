"""What a strategy gets and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from bough.diff import Read, Side
from bough.model import History, Message, Piece

Identity: TypeAlias = tuple[str, int]
"""A message, by segment and position."""


class Sides(Struct, frozen=True, kw_only=True):
    """The two branches of a merge.

    ``base`` is what both began with (:func:`bough.merge.find_base`), None where nobody knows. ``squashed`` are messages
    for which an earlier squash into the target stands, as first wordings (:func:`bough.merge.find_squashed`).
    ``read`` reads messages, as often as it is asked.
    """

    target: Side
    source: Side
    read: Read
    base: Side | None = None
    squashed: History = ()


class NewMessage(Struct, frozen=True):
    """A message to be made. ``original`` is the first wording of the message whose place it takes, if of any."""

    message: Mapping[str, Any]
    original: Identity | None = None


Part: TypeAlias = Piece | NewMessage | Message
"""Messages that exist, or one to be made: a dict is a :class:`NewMessage` that takes no other's place."""

Strategy: TypeAlias = Callable[[Sides], Iterable[Part]]
"""Says what the target holds afterwards. May raise :class:`Conflicts`."""


class Conflict(Struct, frozen=True, kw_only=True):
    """A message that both sides changed, each in its own way.

    ``edit/edit``: two new wordings. ``edit/remove``: the target edited what the source removed; ``remove/edit``: the
    other way round. ``index`` is its place in the target, or where it would be. ``ours`` is the target's wording,
    ``theirs`` the source's, None where it is removed. ``ancestor`` is what both began with, None where the store has it
    no more. ``*_id`` say where those stand; ``original`` is the first wording, by which the message is known.
    """

    kind: Literal["edit/edit", "edit/remove", "remove/edit"]
    index: int
    original: Identity
    ours: Message | None
    theirs: Message | None
    ancestor: Message | None
    ours_id: Identity | None
    theirs_id: Identity | None
    ancestor_id: Identity


class Conflicts(Exception):  # noqa: N818  (it carries what was found; callers are shown a MergeConflictError)
    """Raised by a strategy that cannot go on before somebody decides."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = tuple(conflicts)
