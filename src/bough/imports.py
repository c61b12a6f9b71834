"""Bringing branches of another program in: which messages are new, and where each has its place. Pure.

1. Messages with one key are one message: it is stored once, in the segment of the branch that first needs it.
2. What a branch of that id holds already, in that order, is not stored again, so the same import twice adds nothing and
   a grown one adds what is new. A comparison is of the exact encoding.
3. A branch of that id never loses a message: what is new comes behind what it holds.

What it deliberately does not do: read files, or know where the branches came from (that is :mod:`bough.transfer`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from bough.changes import check_name, put_again, put_new
from bough.errors import InvalidRequestError
from bough.history import concat, normalise
from bough.model import BranchRecord, History, Piece, Put, Tip, replace


class IncomingMessage(NamedTuple):
    """A message to be brought in. Where two branches share it, its ``key`` is the same in both."""

    key: Hashable
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingBranch:
    """A branch to be brought in, with all its messages in order, no key twice.

    Name, metadata and time of creation (aware; None for now) go to a branch that is new, or that is still empty.
    """

    id: str
    name: str
    messages: Sequence[IncomingMessage]
    metadata: Mapping[str, Any] | None = None
    created_at: datetime | None = None

    @property
    def keys(self) -> list[Hashable]:
        return [message.key for message in self.messages]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did: how many branches it made, how many messages it stored.

    ``operation`` is the number of the operation, None where everything was there already.
    """

    branches: int
    messages: int
    operation: int | None


class _Place(NamedTuple):
    """Where a message stands: its identity, and the branch and index at which it was met first."""

    segment: str
    position: int
    branch_id: str
    at: int


def check_incoming(incoming: Sequence[IncomingBranch]) -> None:
    """``InvalidRequestError`` where two branches have one id, a name is none, or a branch has one message twice."""
    if len({branch.id for branch in incoming}) < len(incoming):
        raise InvalidRequestError("two of the branches have the same id")
    for branch in incoming:
        check_name(branch.name)
        if len(set(branch.keys)) < len(branch.messages):
            raise InvalidRequestError(f"branch {branch.id!r} holds one message twice")


def plan_import(
    incoming: Sequence[IncomingBranch],
    lines: Mapping[Hashable, bytes],
    present: Mapping[str, tuple[BranchRecord, Sequence[bytes]]],
) -> tuple[Put, ...]:
    """The puts that bring ``incoming`` in; none for a branch that holds it all.

    ``lines`` has the encoded message of each key, ``present`` the record and the encoded messages of each branch that
    is there already. ``InvalidRequestError`` where one of those holds another conversation: no message in common.
    """
    places: dict[Hashable, _Place] = {}
    held: dict[str, set[Hashable]] = {}
    for branch in incoming:
        if branch.id in present:
            held[branch.id] = _recognise(branch, *present[branch.id], lines, places)
            if present[branch.id][1] and branch.messages and not held[branch.id]:
                raise InvalidRequestError(
                    f"branch {branch.id!r} holds another conversation", hint="import into a session of its own"
                )

    puts: list[Put] = []
    for branch in incoming:
        put = put_again(present[branch.id][0]) if branch.id in present else _put_first(branch, places)
        record = put.record if put.record.history else _labelled(put.record, branch)
        new, pieces = _place(branch, record, held.get(branch.id, set()), places)
        if put.expected is None or pieces:
            grown = replace(
                record,
                history=concat(record.history, pieces),
                tip=Tip(record.tip.segment, record.tip.next + len(new)),
            )
            puts.append(replace(put, record=grown, messages=[lines[key] for key in new]))
    return tuple(puts)


def _recognise(
    branch: IncomingBranch,
    record: BranchRecord,
    its_lines: Sequence[bytes],
    lines: Mapping[Hashable, bytes],
    places: dict[Hashable, _Place],
) -> set[Hashable]:
    """The keys that the branch holds in their order, perhaps with other messages between them. Notes the places."""
    where: dict[bytes, list[int]] = {}
    for index in range(len(its_lines) - 1, -1, -1):
        where.setdefault(its_lines[index], []).append(index)
    identities = [(segment, position) for segment, start, stop in record.history for position in range(start, stop)]
    held: set[Hashable] = set()
    cursor = 0
    for key in branch.keys:
        indexes = where.get(lines[key], [])
        while indexes and indexes[-1] < cursor:
            indexes.pop()
        if indexes:
            index = indexes.pop()
            cursor = index + 1
            held.add(key)
            places.setdefault(key, _Place(*identities[index], branch.id, index))
    return held


def _labelled(record: BranchRecord, branch: IncomingBranch) -> BranchRecord:
    at = branch.created_at or record.created_at
    return replace(record, name=branch.name, metadata=branch.metadata, created_at=at)


def _put_first(branch: IncomingBranch, places: Mapping[Hashable, _Place]) -> Put:
    """A new, empty branch. Its parent is the branch that holds the last of the messages it begins with."""
    fork: _Place | None = None
    for key in branch.keys:
        if key not in places:
            break
        fork = places[key]
    put = put_new(branch.id, branch.name)
    if fork is None:
        return put
    return replace(put, record=replace(put.record, parent_id=fork.branch_id, parent_message_index=fork.at + 1))


def _place(
    branch: IncomingBranch, record: BranchRecord, held: set[Hashable], places: dict[Hashable, _Place]
) -> tuple[list[Hashable], History]:
    """The keys that get a new place at the branch's tip, and the pieces of all that the branch does not hold yet."""
    segment, start = record.tip
    index = record.length
    added: list[Hashable] = []
    pieces: list[Piece] = []
    for key in branch.keys:
        if key in held:
            continue
        if key not in places:
            places[key] = _Place(segment, start + len(added), branch.id, index)
            added.append(key)
        place = places[key]
        pieces.append(Piece(place.segment, place.position, place.position + 1))
        index += 1
    return added, normalise(pieces)
