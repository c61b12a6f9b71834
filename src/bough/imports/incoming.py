"""What comes in, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from bough.changes import check_name
from bough.errors import InvalidRequestError
from bough.model import Message


class IncomingEntry(NamedTuple):
    """What comes in as one: a message, or a few in a row. They are read when they are needed."""

    messages: Callable[[], Sequence[Message]]


def entry(*messages: Message) -> IncomingEntry:
    """Messages that are at hand."""
    return IncomingEntry(lambda: messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingBranch:
    """A branch to be brought in: the first ``shared`` entries of the branch ``parent_id``, which comes before it, then
    ``entries``, which are gone through once.

    Name, metadata and time of creation (aware; None for now) go to a branch that is new, or that is still empty.
    """

    id: str
    name: str
    entries: Sequence[IncomingEntry]
    parent_id: str | None = None
    shared: int = 0
    metadata: Mapping[str, Any] | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did: how many branches it made, how many messages came and how many of them it stored.

    ``operation`` is the number of the operation, None where everything was there already.
    """

    branches: int
    came: int
    messages: int
    operation: int | None


def check_incoming(incoming: Sequence[IncomingBranch]) -> None:
    """``InvalidRequestError`` where two branches have one id, a name is none, or a parent does not come before."""
    entries: dict[str, int] = {}
    for branch in incoming:
        if branch.id in entries:
            raise InvalidRequestError("two of the branches have the same id")
        check_name(branch.name)
        if branch.shared > entries.get(branch.parent_id or "", 0):
            raise InvalidRequestError(f"branch {branch.id!r} shares more than its parent has, or comes before it")
        entries[branch.id] = branch.shared + len(branch.entries)
