"""Messages that a session holds already, known again when they come in once more. Pure.

1. A message with an ``id`` of its program's own (in its ``metadata``, beside ``source``) is known by that, whatever it
   says by now.
2. One with a ``place`` instead (its program gives no ids: ``line-17``) is known by that, where it says the same or has
   grown: the half of an answer that was still being written, a turn whose call came a moment later.
3. Any other is known by its exact encoding, in the order of the branch that it comes to.
4. What was edited is known by its first wording too. An edit that was made here stays; one that an import made gives
   way to the next.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias

from bough.codec import encode_found
from bough.errors import CorruptBranchError
from bough.history import subtract, union
from bough.model import BranchRecord, Edit, History, Message, Piece

Identity: TypeAlias = tuple[str, int]

Read: TypeAlias = Callable[[History], Iterable[Message]]
"""Reads the messages of a history, in order, a block at a time."""


Imported: TypeAlias = Callable[[], Collection[str]]
"""The segments that imports made."""


class Match(NamedTuple):
    """The message that is the same; ``is_changed`` where it says something else by now."""

    identity: Identity
    is_changed: bool = False


class Key(NamedTuple):
    """By which a message is known again."""

    kind: Literal["id", "place", "content"]
    digest: bytes


class Known:
    """The messages that the branches of a session hold. Holds some bytes of each."""

    def __init__(
        self, branches: Mapping[str, BranchRecord], wanted: Iterable[str], read: Read, imported: Imported
    ) -> None:
        """``wanted`` are the branches that come in: what cannot be read of others hinders nothing."""
        self._read = read
        self._imported = imported
        self._segments: list[str] = []
        self._numbers: dict[str, int] = {}  # of segments
        self._at = array("L")  # of each entry: its segment, its position, a digest of what it says
        self._positions = array("Q")
        self._said = bytearray()
        self._entries: dict[bytes, int | list[int]] = {}  # by key
        self._seen: History = ()
        self.edits: dict[Identity, Edit] = {}
        first = [name for name in wanted if name in branches]
        for name in first:
            self._add_branch(branches[name])
        for name in branches.keys() - first:
            with suppress(CorruptBranchError):
                self._add_branch(branches[name])

    def _add_branch(self, record: BranchRecord) -> None:
        fresh = subtract(record.history, self._seen)
        for identity, message in zip(_identities(fresh), self._read(fresh), strict=True):
            self._add(identity, message)
        self._seen = union(self._seen, fresh)
        for edit in record.edits:
            identity = edit.segment, edit.position
            if identity in self.edits:
                continue
            self.edits[identity] = edit
            with suppress(CorruptBranchError):  # the first wording was given up
                at = edit.original_position
                [message] = self._read((Piece(edit.original_segment, at, at + 1),))
                self._add(identity, message)

    def _add(self, identity: Identity, message: Message) -> None:
        segment, position = identity
        if segment not in self._numbers:
            self._numbers[segment] = len(self._segments)
            self._segments.append(segment)
        number = len(self._at)
        self._at.append(self._numbers[segment])
        self._positions.append(position)
        self._said += _said(message)
        digest = key_of(message, None).digest
        present = self._entries.setdefault(digest, number)
        if isinstance(present, list):
            present.append(number)
        elif present != number:
            self._entries[digest] = [present, number]

    def __bool__(self) -> bool:
        return bool(self._entries)

    def of(self, digest: bytes) -> Sequence[int]:
        """The numbers of the entries under a key."""
        found = self._entries.get(digest, ())
        return found if isinstance(found, list | tuple) else (found,)

    def identity(self, number: int) -> Identity:
        return self._segments[self._at[number]], self._positions[number]

    @cached_property
    def _segments_of_imports(self) -> Collection[str]:
        return self._imported()

    def is_edited_here(self, identity: Identity) -> bool:
        """Whether somebody gave the message this wording, and not an import."""
        return identity in self.edits and identity[0] not in self._segments_of_imports

    def said(self, number: int) -> bytes:
        return bytes(self._said[number * _SIZE : (number + 1) * _SIZE])

    def message(self, number: int) -> Message:
        segment, position = self.identity(number)
        [message] = self._read((Piece(segment, position, position + 1),))
        return message


class Path:
    """Finds the messages of one incoming branch, in their order. ``held`` is the history of the branch of that id."""

    def __init__(self, known: Known, held: History, *, behind: Identity | None) -> None:
        """``behind`` is the message after which the branch's own begin."""
        self._known = known
        self._places = _Places(held)
        start = None if behind is None else self._places.index(behind)
        self._cursor = 0 if start is None else start + 1
        self._orders: dict[bytes, list[tuple[int, int]]] = {}
        self._node = b""
        self._used: set[Identity] = set()
        self.has_keys = True
        """Whether all messages so far had an id or a place."""

    def find(self, message: Message, line: bytes) -> Match | None:
        """The one that is the same; ``line`` is the message encoded."""
        key = key_of(message, line)
        if key.kind == "content":
            self.has_keys = False
            return self._next(key.digest)
        if key.digest != self._node:  # the messages of one node come in a row
            self._node = key.digest
            self._used.clear()
        free = [each for each in self._known.of(key.digest) if self._known.identity(each) not in self._used]
        free.sort(key=lambda each: self._places.index(self._known.identity(each)) is None)
        match = self._best(free, message, key) if free else None
        if match:
            self._used.add(match.identity)
        return match

    def _best(self, free: Sequence[int], message: Message, key: Key) -> Match | None:
        said = _said(message)
        for number in free:
            if self._known.said(number) == said:
                return Match(self._known.identity(number))
        for number in free:
            identity = self._known.identity(number)
            if self._known.is_edited_here(identity):
                if key.kind == "id":
                    return Match(identity)
            elif key.kind == "id" or has_grown(self._known.message(number), message):
                return Match(identity, is_changed=True)
        return None

    def _next(self, digest: bytes) -> Match | None:
        if digest not in self._orders:
            found = ((self._places.index(self._known.identity(each)), each) for each in self._known.of(digest))
            self._orders[digest] = sorted((index, each) for index, each in found if index is not None)
        order = self._orders[digest]
        at = bisect_left(order, self._cursor, key=itemgetter(0))
        if at == len(order):
            return None
        index, number = order[at]
        self._cursor = index + 1
        return Match(self._known.identity(number))


class _Places:
    """At which index of a history each of its messages stands."""

    def __init__(self, pieces: History) -> None:
        self._runs: dict[str, list[tuple[int, int, int]]] = {}
        at = 0
        for segment, start, stop in pieces:
            self._runs.setdefault(segment, []).append((start, stop, at))
            at += stop - start
        for runs in self._runs.values():
            runs.sort()

    def index(self, identity: Identity) -> int | None:
        segment, position = identity
        runs = self._runs.get(segment, ())
        at = bisect_right(runs, position, key=itemgetter(0)) - 1
        if at < 0 or position >= runs[at][1]:
            return None
        return runs[at][2] + position - runs[at][0]


def key_of(message: Message, line: bytes | None) -> Key:
    """``line`` is its encoding, if that was made already."""
    metadata = message.get("metadata")
    if isinstance(metadata, dict) and isinstance(source := metadata.get("source"), str):
        if isinstance(metadata.get("id"), str):
            return Key("id", _digest(encode_found({"source": source, "id": metadata["id"]}), 16))
        if isinstance(metadata.get("place"), str):
            return Key("place", _digest(encode_found({"source": source, "place": metadata["place"]}), 16))
    return Key("content", _digest(encode_found(message) if line is None else line, 16))


def has_grown(before: Message, after: Message) -> bool:
    """Whether ``after`` says all that ``before`` says, and more behind it."""
    old, new = _without_metadata(before), _without_metadata(after)
    texts = old.pop("content", None), new.pop("content", None)
    calls = old.pop("tool_calls", []), new.pop("tool_calls", [])
    return old == new and _goes_on(_parts(texts[0]), _parts(texts[1])) and _goes_on(*map(_parts, calls))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [{"type": "text", "text": value}] if value else []
    return value if isinstance(value, list) else [] if value is None else [value]


def _goes_on(old: Sequence[Any], new: Sequence[Any]) -> bool:
    if not old or old == new[: len(old)]:
        return True
    if len(new) < len(old) or old[:-1] != new[: len(old) - 1]:
        return False
    last, other = old[-1], new[len(old) - 1]
    if not (isinstance(last, dict) and isinstance(other, dict) and last.keys() == other.keys()):
        return False
    return all(
        other[key] == value or (isinstance(value, str) and str(other[key]).startswith(value))
        for key, value in last.items()
    )


_SIZE = 8


def _said(message: Message) -> bytes:
    return _digest(encode_found(_without_metadata(message)), _SIZE)


def _without_metadata(message: Message) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "metadata"}


def _digest(data: bytes, size: int) -> bytes:
    return blake2b(data, digest_size=size).digest()


def _identities(pieces: History) -> Iterator[Identity]:
    for segment, start, stop in pieces:
        for position in range(start, stop):
            yield segment, position
