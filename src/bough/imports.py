"""Bringing branches of another program in: which messages are new, and where each has its place.

1. What branches share is stored once: a branch begins with the first entries of its parent.
2. What a branch of that id holds already, in that order, is not stored again, so the same import twice adds nothing and
   a grown one adds what is new. A message is known by the id that its program gave it (``metadata`` with ``source`` and
   ``id``), else by its exact encoding.
3. A branch of that id never loses a message: what is new comes behind what it holds.
4. Messages are asked for once, in order, and no more than ``BLOCK_BYTES`` of them are held: what is more is sent ahead
   of the operation, into a segment that nothing refers to before it.

What it deliberately does not do: read files, or know where the branches came from (that is :mod:`bough.transfer`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from bough.changes import check_name, new_id, put_again, put_new
from bough.codec import encode_found
from bough.errors import InvalidRequestError
from bough.history import concat, cut, identity, index_of, length, subtract
from bough.model import BranchRecord, History, Message, Piece, Put, replace

BLOCK_BYTES = 4 << 20
"""Bytes of encoded messages that are held."""


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


Read: TypeAlias = Callable[[History], Iterable[Message]]
"""Reads the messages of a history, in order, a block at a time."""

Send: TypeAlias = Callable[[Piece, Sequence[bytes]], object]
"""Puts messages at positions of a segment that nothing refers to yet."""


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


class _Brought(NamedTuple):
    """A branch's messages as they came in, and for each entry how many there are up to its end."""

    history: History
    ends: array[int]


class Plan:
    """Finds, branch by branch, the puts that bring them in."""

    def __init__(self, present: Mapping[str, BranchRecord], *, read: Read, send: Send) -> None:
        self.puts: list[Put] = []
        self.came = 0
        """How many messages were asked for."""
        self.messages = 0
        """How many of them have a new place."""
        self._present = present
        self._read = read
        self._send = send
        self._segment = new_id()
        self._held: list[bytes] = []
        self._size = 0
        self._brought: dict[str, _Brought] = {}

    def add(self, branch: IncomingBranch) -> None:
        """``InvalidRequestError`` where the branch of that id holds another conversation: no message in common."""
        parent = self._brought[branch.parent_id] if branch.shared and branch.parent_id is not None else None
        begun = cut(parent.history, 0, parent.ends[branch.shared - 1]) if parent else ()
        ends = parent.ends[: branch.shared] if parent else array("L")
        record = self._present.get(branch.id)
        held = record.history if record else ()
        known = _Known(held, self._read(held), behind=begun)
        came = list(begun)
        count = first = length(begun)
        for entry in branch.entries:
            for message in entry.messages():
                line = encode_found(message)
                _extend(came, *(known.next(message, line) or self._place(line)))
                count += 1
            ends.append(count)
        self.came += count - first
        history = concat(tuple(came))
        self._brought[branch.id] = _Brought(history, ends)
        new = subtract(history, held)
        if held and history and length(new) == length(history):
            raise InvalidRequestError(
                f"branch {branch.id!r} holds another conversation", hint="import into a session of its own"
            )
        if record is None or new:
            self.puts.append(_put(branch, record, length(begun), concat(held, new)))

    def rest(self) -> tuple[tuple[Piece, Sequence[bytes]], ...]:
        """The messages that have a place and were not sent."""
        if not self._held:
            return ()
        return ((Piece(self._segment, self.messages - len(self._held), self.messages), self._held),)

    def _place(self, line: bytes) -> tuple[str, int]:
        """A new message's place; sends the messages that are held where they become too many."""
        self._held.append(line)
        self._size += len(line)
        self.messages += 1
        if self._size > BLOCK_BYTES:
            for piece, lines in self.rest():
                self._send(piece, lines)
            self._held, self._size = [], 0
        return self._segment, self.messages - 1


def _extend(pieces: list[Piece], segment: str, position: int) -> None:
    """``pieces`` with one more message, in the last where it continues that."""
    if pieces and pieces[-1].segment == segment and pieces[-1].stop == position:
        pieces[-1] = Piece(segment, pieces[-1].start, position + 1)
    else:
        pieces.append(Piece(segment, position, position + 1))


class _Known:
    """The messages that a branch holds, found in their order, perhaps with others between them."""

    def __init__(self, held: History, messages: Iterable[Message], *, behind: History) -> None:
        self._history = held
        self._indexes: defaultdict[bytes, array[int]] = defaultdict(lambda: array("L"))
        last = index_of(held, behind[-1].segment, behind[-1].stop - 1) if behind else None
        self._cursor = 0 if last is None else last + 1
        for index, message in enumerate(messages):
            self._indexes[_key(message, None)].append(index)

    def next(self, message: Message, line: bytes) -> tuple[str, int] | None:
        """The next one that is the same as ``message``, None where none follows."""
        if not self._indexes:
            return None
        indexes = self._indexes.get(_key(message, line), _NONE)
        at = bisect_left(indexes, self._cursor)
        if at == len(indexes):
            return None
        self._cursor = indexes[at] + 1
        return identity(self._history, indexes[at])


_NONE: array[int] = array("L")


def _key(message: Message, line: bytes | None) -> bytes:
    """By which a message is known again. ``line`` is its encoding, if that was made already."""
    metadata = message.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("source"), str) and isinstance(metadata.get("id"), str):
        line = encode_found({"source": metadata["source"], "id": metadata["id"]})
    return blake2b(encode_found(message) if line is None else line, digest_size=16).digest()


def _put(branch: IncomingBranch, record: BranchRecord | None, shared: int, pieces: History) -> Put:
    if record is None:
        put = put_new(branch.id, branch.name)
        if shared:
            child = replace(put.record, parent_id=branch.parent_id, parent_message_index=shared)
            put = replace(put, record=child)
    else:
        put = put_again(record)
    made = put.record
    if not made.history:
        at = branch.created_at or made.created_at
        made = replace(made, name=branch.name, metadata=branch.metadata, created_at=at)
    return replace(put, record=replace(made, history=pieces))
