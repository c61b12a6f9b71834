"""What gc may give up, as pure functions on operations and branch records.

1. Kept is what a branch or a tag holds, and what an operation within the retention needs to be undone.
2. An operation is within it if it is younger than the age, or one of the last so many. What gives messages up, and
   cannot be undone, does not count among these: else a second gc would find less to keep than the first.
3. The log itself stays: numbers, histories and merge bases cost little and hold no message.
4. A message is given up once: what an earlier gc or purge gave up is not counted again.
5. Messages that nothing has or ever had go only where they are handed in (``unreachable``), whatever the retention: a
   copy that was interrupted goes on from them. What a branch, a tag or an operation speaks of is none of them.

Times decide here what is old, and nothing else: an operation dated by a clock that was ahead is kept for longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from bough.attributes import Retention, tags_of
from bough.history import length, subtract, union
from bough.model import History, Operation, Piece, SessionState

DEFAULT_AGE = timedelta(days=30)


class Garbage(Struct, frozen=True, kw_only=True):
    """What gc would give up and why it keeps the rest; ``in_branches``, ``for_tags`` and ``for_undo`` count messages,
    each for the first of the three that holds it. ``unreachable`` counts those of ``free`` that nothing has or ever
    had. ``undo_to`` is the oldest operation that stays undoable."""

    free: History
    unreachable: int
    in_branches: int
    for_tags: int
    for_undo: int
    undo_to: int | None


class GarbageReport(Struct, frozen=True, kw_only=True):
    """What a gc gave up, or would: messages, and their bytes as JSON. The rest as in :class:`Garbage`.

    ``operation`` is the number of the operation, None where nothing was done.
    """

    messages: int
    bytes: int
    unreachable: int
    in_branches: int
    for_tags: int
    for_undo: int
    undo_to: int | None
    operation: int | None


class PurgeReport(Struct, frozen=True, kw_only=True):
    """What a purge erased: how many messages and which, the branches (with the index of the first of them) and tags
    that held some, and how many other wordings of them the session still has. ``operation`` is None where nothing was
    done."""

    messages: int
    history: History
    branches: dict[str, int]
    tags: tuple[str, ...]
    other_wordings: int
    operation: int | None


def find_garbage(
    state: SessionState,
    operations: Sequence[Operation],
    retention: Retention,
    now: datetime,
    *,
    unreachable: History = (),
) -> Garbage:
    """What can go, given all operations of the session, newest first, and what the store finds unreachable."""
    age = DEFAULT_AGE if retention.age is None and retention.operations is None else retention.age
    undoable = [operation for operation in operations if not operation.freed]
    retained = [
        operation
        for rank, operation in enumerate(undoable)
        if (age is not None and now - operation.at < age) or rank < (retention.operations or 0)
    ]
    in_branches = union(*(record.history for record in state.branches.values()))
    for_tags = union(in_branches, *(tag.history for tag in tags_of(state.attributes).values()))
    gone = union(*(operation.freed for operation in operations))
    kept = union(for_tags, subtract(union(*histories_of(retained)), gone))
    known = union(kept, gone, *histories_of(operations))
    strays = subtract(unreachable, known)
    return Garbage(
        free=subtract(union(known, strays), union(kept, gone)),
        unreachable=length(strays),
        in_branches=length(in_branches),
        for_tags=length(for_tags) - length(in_branches),
        for_undo=length(kept) - length(for_tags),
        undo_to=min((operation.number for operation in retained), default=None),
    )


def histories_of(operations: Iterable[Operation]) -> Iterator[History]:
    """All histories that the operations speak of."""
    for operation in operations:
        for entry in operation.branches:
            for record in (entry.before, entry.after):
                if record is not None:
                    yield record.history
        if operation.attributes is not None:
            for attributes in operation.attributes:
                yield from (tag.history for tag in tags_of(attributes).values())
        source = operation.detail.get("source_history")
        if isinstance(source, list):
            yield tuple(Piece(*piece) for piece in source)
