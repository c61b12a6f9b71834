"""Messages that a session holds already, known again when they come in once more. Pure.

1. A message with an ``id`` of its program's own (in its ``metadata``, beside ``source``) is known by that, whatever it
   says by now.
2. One with a ``place`` instead (its program gives no ids: ``line-17``) is known by that, where it says the same or has
   grown: the half of an answer that was still being written, a turn whose call came a moment later.
3. Any other is known by its exact encoding, as often as the branch that it comes to has it.
4. What an import stored gives way to what the program says now. What anybody else stored is the user's, and stays; an
   edit is known by its first wording too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias

from bough.codec import encode_found
from bough.errors import CorruptBranchError
from bough.history import subtract, union
from bough.model import BranchRecord, Edit, History, Message, Piece, Version

Identity: TypeAlias = tuple[str, int]

Read: TypeAlias = Callable[[History], Iterable[Message]]
"""Reads the messages of a history, in order, a block at a time."""


class Log(NamedTuple):
    """What the log says of imports: the segments that they made, and each branch as the last of them left it."""

    segments: Collection[str] = ()
    ends: Mapping[str, Version] = {}


ReadLog: TypeAlias = Callable[[], Log]


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
        self, branches: Mapping[str, BranchRecord], wanted: Iterable[str], read: Read, read_log: ReadLog
    ) -> None:
        """``wanted`` are the branches that come in: what cannot be read of others hinders nothing."""
        self._read = read
        self._read_log = read_log
        self._segments: list[str] = []
        self._numbers: dict[str, int] = {}  # of segments
        self._at = array("L")  # of each entry: its segment, its position, a digest of what it says
        self._positions = array("Q")
        self._said = bytearray()
        self._entries: dict[bytes, int | list[int]] = {}  # by key
        self._seen: History = ()
        self._firsts: dict[int, Piece] = {}  # of entries that are first wordings: where they stand
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
            if self.is_own(identity):
                with suppress(CorruptBranchError):  # the first wording was given up
                    first = Piece(edit.original_segment, edit.original_position, edit.original_position + 1)
                    [message] = self._read((first,))
                    self._firsts[len(self._at)] = first
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
    def log(self) -> Log:
        """Is read where it is needed."""
        return self._read_log()

    def is_own(self, identity: Identity) -> bool:
        """Whether the message is the user's: no import stored it."""
        return identity[0] not in self.log.segments

    def mark(self, number: int) -> int:
        """The identity of an entry as one number."""
        return self._at[number] << 48 | self._positions[number]

    def said(self, number: int) -> bytes:
        return bytes(self._said[number * _SIZE : (number + 1) * _SIZE])

    def message(self, number: int) -> Message:
        segment, position = self.identity(number)
        [message] = self._read((self._firsts.get(number) or Piece(segment, position, position + 1),))
        return message


class Path:
    """Finds the messages of one incoming branch. ``held`` is the history of the branch of that id."""

    def __init__(self, known: Known, held: History) -> None:
        self._known = known
        self._places = Places(held)
        self._orders: dict[bytes, Iterator[int]] = {}
        self._used: set[int] = set()
        self.has_keys = True
        """Whether all messages so far had an id or a place."""

    def find(self, message: Message, line: bytes) -> Match | None:
        """The one that is the same; ``line`` is the message encoded."""
        key = key_of(message, line)
        if key.kind == "content":
            self.has_keys = False
            return self._next(key.digest)
        free = [each for each in self._known.of(key.digest) if self._known.mark(each) not in self._used]
        if len(free) > 1:
            free.sort(key=lambda each: self._places.index(self._known.identity(each)) is None)
        number, is_changed = self._best(free, message, key) if free else (None, False)
        if number is None:
            return None
        self._used.add(self._known.mark(number))
        return Match(self._known.identity(number), is_changed)

    def _best(self, free: Sequence[int], message: Message, key: Key) -> tuple[int | None, bool]:
        """Which of the entries it is, the own branch's first, and whether that is to give way."""
        said = _said(message)
        for number in free:
            if self._known.said(number) == said:
                return number, False
        grown = (number for number in free if has_grown(self._known.message(number), message))
        found = next(grown, free[0] if key.kind == "id" else None)
        return found, found is not None and not self._known.is_own(self._known.identity(found))

    def _next(self, digest: bytes) -> Match | None:
        if digest not in self._orders:
            found = ((self._places.index(self._known.identity(each)), each) for each in self._known.of(digest))
            self._orders[digest] = iter([each for index, each in sorted(found, key=_index) if index is not None])
        number = next(self._orders[digest], None)
        return None if number is None else Match(self._known.identity(number))


def _index(found: tuple[int | None, int]) -> int:
    return -1 if found[0] is None else found[0]


class Places:
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
