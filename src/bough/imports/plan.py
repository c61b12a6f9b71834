"""Which places messages get, and which branches come to hold them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from bough import edits
from bough.branch import MAIN_NAME
from bough.changes import new_id, put_again, put_new
from bough.codec import encode_found
from bough.errors import InvalidRequestError
from bough.history import concat, cut, length, normalise, starts_with, union
from bough.imports.incoming import IncomingBranch
from bough.imports.known import Identity, Known, Path, Places, Read, ReadLog
from bough.model import BranchRecord, Edit, History, Message, Piece, Put, replace
from bough.stores.base import MAX_ID_BYTES

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
        read_log: ReadLog,
    ) -> None:
        self.came = 0
        """How many messages were asked for."""
        self.messages = 0
        """How many of them have a new place."""
        self._present = present
        self._known = Known(present, wanted, read, read_log)
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
        path = Path(self._known, record.history if record else ())
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
        another conversation: no message in common, and no import before."""
        there = union(*(brought.history for brought in self._brought.values()))
        held = chain.from_iterable(record.edits for record in self._present.values())
        wordings = _Wordings({*held, *self._edits.values()})
        newest = self._newest(there, wordings)
        homes: dict[str, tuple[str, History]] = {}
        puts = []
        for branch_id, brought in self._brought.items():
            for name, history in self._ways(brought, there, wordings, newest):
                homes[branch_id] = name, history
                record = self._present.get(name)
                if record is None or record.history != history:
                    put = self._put(brought, name, homes.get(brought.branch.parent_id or ""))
                    kept = edits.kept(history, wordings.of(history))
                    puts.append(replace(put, record=replace(put.record, history=history, edits=kept)))
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
        self, brought: _Brought, there: History, wordings: _Wordings, newest: Mapping[Identity, Identity]
    ) -> Iterator[tuple[str, History]]:
        """The branches that a branch comes to, and what each holds then (rule 3): those that stay as they are, but for
        new wordings, and the one that takes it in. ``there`` is all that comes in."""
        history = brought.history
        for number in count(1):
            name = brought.branch.id if number == 1 else _beside(brought.branch.id, number)
            if number > 1 and name in self._brought:
                continue
            record = self._present.get(name)
            held = _renewed(record.history, newest) if record else ()
            if starts_with(history, held):
                yield name, history
                return
            near = wordings.of(history, held)
            new = edits.subtract(history, near, held, near)
            if number == 1 and held and length(new) == length(history) and not self._known.log.segments:
                raise InvalidRequestError(
                    f"branch {name!r} holds another conversation", hint="import into a session of its own"
                )
            mine, other = (edits.first_wordings(each, near) for each in (held, history))
            if starts_with(other, mine):
                yield name, concat(held, cut(history, length(held), length(history)))
                return
            if starts_with(mine, other):
                yield name, held
                return
            if not brought.has_keys:
                yield name, concat(held, new)
                return
            is_as_imported = record is not None and self._known.log.ends.get(name) == record.version
            if is_as_imported and not edits.subtract(held, near, there, wordings.of(there)):
                yield name, history
                return
            yield name, held
            if not new:
                return

    def _newest(self, there: History, wordings: _Wordings) -> dict[Identity, Identity]:
        """Which messages are there in a newer wording of an import's: those wordings, by each older one of an
        import's."""
        found: dict[Identity, Identity] = {}
        others: dict[Identity, list[Identity]] = {}
        places = Places(there)
        for edit in wordings:
            identity, first = (edit.segment, edit.position), (edit.original_segment, edit.original_position)
            if identity[0] != self.segment and self._known.is_own(identity):
                continue
            others.setdefault(first, [first]).append(identity)
            if places.index(identity) is not None:
                found[first] = identity
        return {old: new for first, new in found.items() for old in others[first] if old != new}

    def _put(self, brought: _Brought, name: str, parent: tuple[str, History] | None) -> Put:
        branch, record = brought.branch, self._present.get(name)
        if record is None:
            put = put_new(name, branch.name)
            made = replace(put.record, metadata=branch.metadata, created_at=branch.created_at or put.record.created_at)
            if (
                brought.shared
                and parent is not None
                and starts_with(parent[1], cut(brought.history, 0, brought.shared))
            ):
                made = replace(made, parent_id=parent[0], parent_message_index=brought.shared)
            return replace(put, record=made)
        put = put_again(record)
        made = put.record
        if not made.history and made.metadata is None and made.name in (MAIN_NAME, made.id):  # nobody described it
            at = branch.created_at or made.created_at
            made = replace(made, name=branch.name, metadata=branch.metadata, created_at=at)
        return replace(put, record=made)


class _Wordings:
    """Edits, by where they stand: a history needs those of its own messages."""

    def __init__(self, all_of_them: Iterable[Edit]) -> None:
        self._by_segment: dict[str, list[Edit]] = {}
        for edit in sorted(all_of_them):
            self._by_segment.setdefault(edit.segment, []).append(edit)

    def __iter__(self) -> Iterator[Edit]:
        return chain.from_iterable(self._by_segment.values())

    def of(self, *histories: History) -> list[Edit]:
        found: list[Edit] = []
        for segment, start, stop in union(*histories):
            there = self._by_segment.get(segment, [])
            first, last = (bisect_left(there, position, key=attrgetter("position")) for position in (start, stop))
            found += there[first:last]
        return found


def _beside(branch_id: str, number: int) -> str:
    """The name of a branch beside that one."""
    mark = f"-{number}"
    return branch_id.encode()[: MAX_ID_BYTES - len(mark)].decode(errors="ignore") + mark


def _renewed(pieces: History, newest: Mapping[Identity, Identity]) -> History:
    """A history with the newer wordings."""
    old: dict[str, list[int]] = {}
    for segment, position in sorted(newest):
        old.setdefault(segment, []).append(position)
    renewed: list[Piece] = []
    for segment, start, stop in pieces:
        positions = old.get(segment, ())
        at = start
        for number in range(bisect_left(positions, start), bisect_left(positions, stop)):
            other, place = newest[segment, positions[number]]
            renewed += [Piece(segment, at, positions[number]), Piece(other, place, place + 1)]
            at = positions[number] + 1
        renewed.append(Piece(segment, at, stop))
    return normalise(each for each in renewed if each.start < each.stop)


def _extend(pieces: list[Piece], segment: str, position: int) -> None:
    """``pieces`` with one more message, in the last where it continues that."""
    if pieces and pieces[-1].segment == segment and pieces[-1].stop == position:
        pieces[-1] = Piece(segment, pieces[-1].start, position + 1)
    else:
        pieces.append(Piece(segment, position, position + 1))
