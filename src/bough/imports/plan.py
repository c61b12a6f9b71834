"""Which places messages get, and which branches come to hold them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import NamedTuple, TypeAlias

from bough import edits
from bough.changes import new_id, put_again, put_new
from bough.codec import encode_found
from bough.errors import InvalidRequestError
from bough.history import concat, cut, length, normalise, starts_with, subtract, union
from bough.imports.incoming import IncomingBranch
from bough.imports.known import Identity, Imported, Known, Path, Read
from bough.model import BranchRecord, Edit, History, Message, Piece, Put, replace

BLOCK_BYTES = 4 << 20
"""Bytes of encoded messages that are held."""

Send: TypeAlias = Callable[[Piece, Sequence[bytes]], object]
"""Puts messages at positions of a segment that nothing refers to yet."""


class _Brought(NamedTuple):
    """A branch's messages as they came in, and for each entry how many there are up to its end."""

    branch: IncomingBranch
    history: History
    ends: array[int]
    shared: int
    has_keys: bool


class Plan:
    """Finds, branch by branch, where messages have their place; then the puts that bring them there."""

    def __init__(
        self,
        present: Mapping[str, BranchRecord],
        wanted: Iterable[str],
        *,
        read: Read,
        send: Send,
        imported: Imported,
    ) -> None:
        self.came = 0
        """How many messages were asked for."""
        self.messages = 0
        """How many of them have a new place."""
        self._present = present
        self._known = Known(present, wanted, read, imported)
        self._send = send
        self.segment = new_id()
        """Of all that it gives a place."""
        self._held: list[bytes] = []
        self._size = 0
        self._brought: dict[str, _Brought] = {}
        self._edits: dict[Identity, Edit] = {}  # by what they replace

    def add(self, branch: IncomingBranch) -> None:
        """Asks for the messages of a branch, whose parent was added before."""
        parent = self._brought[branch.parent_id] if branch.shared and branch.parent_id is not None else None
        begun = cut(parent.history, 0, parent.ends[branch.shared - 1]) if parent else ()
        ends = parent.ends[: branch.shared] if parent else array("L")
        record = self._present.get(branch.id)
        behind = (begun[-1].segment, begun[-1].stop - 1) if begun else None
        path = Path(self._known, record.history if record else (), behind=behind)
        came = list(begun)
        count = first = length(begun)
        for entry in branch.entries:
            for message in entry.messages():
                _extend(came, *self._place(path, message))
                count += 1
            ends.append(count)
        self.came += count - first
        has_keys = path.has_keys and (parent is None or parent.has_keys)
        self._brought[branch.id] = _Brought(branch, concat(tuple(came)), ends, first, has_keys)

    def puts(self) -> list[Put]:
        """What is to be put, once all branches were added. ``InvalidRequestError`` where the branch of an id holds
        another conversation: no message in common."""
        there = union(*(brought.history for brought in self._brought.values()))
        held = chain.from_iterable(record.edits for record in self._present.values())
        wordings = sorted({*held, *self._edits.values()})
        newest = self._newest(there, wordings)
        homes: dict[str, str] = {}
        puts = []
        for branch_id, brought in self._brought.items():
            for name, history in self._ways(brought, there, wordings, newest):
                homes[branch_id] = name
                record = self._present.get(name)
                if record is None or record.history != history:
                    put = self._put(brought, name, homes.get(brought.branch.parent_id or ""))
                    made = replace(put.record, history=history, edits=edits.kept(history, wordings))
                    puts.append(replace(put, record=made))
        return puts

    def rest(self) -> tuple[tuple[Piece, Sequence[bytes]], ...]:
        """The messages that have a place and were not sent."""
        if not self._held:
            return ()
        return ((Piece(self.segment, self.messages - len(self._held), self.messages), self._held),)

    def _place(self, path: Path, message: Message) -> Identity:
        line = encode_found(message)
        match = path.find(message, line) if self._known else None
        if match is None:
            return self._append(line)
        if match.is_changed and match.identity not in self._edits:
            before = self._known.edits.get(match.identity)
            first = (before.original_segment, before.original_position) if before else match.identity
            self._edits[match.identity] = Edit(*self._append(line), *first)
        edit = self._edits.get(match.identity)
        return (edit.segment, edit.position) if edit else match.identity

    def _append(self, line: bytes) -> Identity:
        """A new message's place; sends the messages that are held where they become too many."""
        self._held.append(line)
        self._size += len(line)
        self.messages += 1
        if self._size > BLOCK_BYTES:
            for piece, lines in self.rest():
                self._send(piece, lines)
            self._held, self._size = [], 0
        return self.segment, self.messages - 1

    def _ways(
        self,
        brought: _Brought,
        there: History,
        wordings: Sequence[Edit],
        newest: Mapping[Identity, Identity],
    ) -> Iterator[tuple[str, History]]:
        """The branches that a branch comes to, and what each holds then (rule 3): those that stay as they are, but for
        new wordings, and the one that takes it in. ``there`` is all that comes in."""
        history = brought.history
        for number in count(1):
            name = brought.branch.id if number == 1 else f"{brought.branch.id}-{number}"
            if number > 1 and name in self._brought:
                continue
            record = self._present.get(name)
            held = _renewed(record.history, newest) if record else ()
            new = edits.subtract(history, wordings, held, wordings)
            lost = edits.subtract(held, wordings, there, wordings)
            mine, other = (edits.first_wordings(each, wordings) for each in (held, history))
            if number == 1 and held and history and length(new) == length(history):
                raise InvalidRequestError(
                    f"branch {name!r} holds another conversation", hint="import into a session of its own"
                )
            if starts_with(other, mine):
                yield name, concat(held, cut(history, length(held), length(history)))
                return
            if not new and (lost or starts_with(mine, other)):
                yield name, held
                return
            if not brought.has_keys:
                yield name, concat(held, new)
                return
            if not lost:
                yield name, history
                return
            yield name, held

    def _newest(self, there: History, wordings: Iterable[Edit]) -> dict[Identity, Identity]:
        """Which messages are there in a newer wording of an import's: those wordings, by each older one of an
        import's."""
        found: dict[Identity, Identity] = {}
        others: dict[Identity, list[Identity]] = {}
        for edit in wordings:
            identity, first = (edit.segment, edit.position), (edit.original_segment, edit.original_position)
            if self._known.is_edited_here(identity):
                continue
            others.setdefault(first, [first]).append(identity)
            if not subtract((Piece(*identity, identity[1] + 1),), there):
                found[first] = identity
        return {old: new for first, new in found.items() for old in others[first] if old != new}

    def _put(self, brought: _Brought, name: str, parent: str | None) -> Put:
        branch, record = brought.branch, self._present.get(name)
        if record is None:
            put = put_new(name, branch.name)
            if brought.shared and parent is not None:
                child = replace(put.record, parent_id=parent, parent_message_index=brought.shared)
                put = replace(put, record=child)
        else:
            put = put_again(record)
        made = put.record
        if not made.history:
            at = branch.created_at or made.created_at
            made = replace(made, name=branch.name, metadata=branch.metadata, created_at=at)
        return replace(put, record=made)


def _renewed(pieces: History, newest: Mapping[Identity, Identity]) -> History:
    """A history with the newer wordings."""
    if not newest:
        return pieces
    changed = union(tuple(Piece(segment, at, at + 1) for segment, at in newest))
    renewed: list[Piece] = []
    for piece in pieces:
        at = piece.start
        for segment, start, stop in subtract((piece,), subtract((piece,), changed)):
            renewed.append(Piece(segment, at, start))
            for position in range(start, stop):
                other, place = newest[segment, position]
                renewed.append(Piece(other, place, place + 1))
            at = stop
        renewed.append(Piece(piece.segment, at, piece.stop))
    return normalise(each for each in renewed if each.start < each.stop)


def _extend(pieces: list[Piece], segment: str, position: int) -> None:
    """``pieces`` with one more message, in the last where it continues that."""
    if pieces and pieces[-1].segment == segment and pieces[-1].stop == position:
        pieces[-1] = Piece(segment, pieces[-1].start, position + 1)
    else:
        pieces.append(Piece(segment, position, position + 1))
