"""What a merge did, and where a message came from."""

from __future__ import annotations

from dataclasses import dataclass

from bough.diff import Diff
from bough.merge.sides import Conflict, Identity
from bough.model import History, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What a merge did or, as a preview, would do: how many messages came to the target and how many left it.

    ``diff`` leads from the target before to the target afterwards, ``new`` are the messages that were made (encoded),
    which in a preview can be read nowhere yet; ``new_at`` is the identity of the first, the others follow it.
    ``operation`` is the number of the operation, None where nothing was written. ``conflicts`` are those that stand in
    the way, in a preview. ``reworded`` is told where a strategy that only adds found nothing to add: how many messages
    the source has edited, of which the target holds another wording. A three-way merge looks at them.
    """

    source: str
    target: str
    strategy: str
    added: int
    removed: int
    operation: int | None
    diff: Diff
    new: tuple[bytes, ...] = ()
    new_at: Identity | None = None
    conflicts: tuple[Conflict, ...] = ()
    reworded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a message comes from. ``segment`` and ``position`` are its identity.

    ``written_on`` is the branch it was first added to, None where the log does not know; ``came_by`` the operation that
    brought it to ``branch_id``, None where it was appended there. ``original`` is the first wording, whose place it
    took; ``stands_for`` the messages that a squash put it for.
    """

    segment: str
    position: int
    written_on: str | None
    branch_id: str | None
    came_by: Operation | None
    original: tuple[str, int] | None
    stands_for: History
